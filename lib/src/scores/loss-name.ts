import type { LossOptions } from "../curvature";

/** The name of a score of this loss; the squared error (mean over images and classes) needs no mention. */
export function withLoss(name: string, { loss }: LossOptions): string {
  return loss === undefined || loss.name === "squaredErrorMeanOverNC" ? name : `${name}-${loss.name}`;
}
