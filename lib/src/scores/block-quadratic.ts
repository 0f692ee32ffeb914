import { tf } from "../backend";
import { type ChunkOptions, gnBlockProduct } from "../curvature";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Scorer } from "../types";

export interface BlockQuadraticOptions extends ChunkOptions {
  /** rank by the value itself (removing a weight with a negative share lowers the quadratic form) or by its size */
  readonly ranking?: "signed" | "absolute";
}

/**
 * theta_j (G_BB theta_B)_j, a block B is one layer's weight tensor: weight j's share of the layer's quadratic form. The sum over
 * a layer is twice the second-order loss change of removing the whole layer; single entries may be negative.
 * One of three readings of the paper's block score (see docs/decisions).
 */
export function blockQuadratic({ ranking = "absolute", ...options }: BlockQuadraticOptions = {}): Scorer {
  if (ranking !== "signed" && ranking !== "absolute")
    throw new RangeError(`ranking must be 'signed' or 'absolute', got '${ranking}'`);
  return {
    name: `blockQuadratic-${ranking}`,
    unit: "loss",
    usesData: true,
    score: (model, data) =>
      tf.tidy(
        () =>
          zipTree(prunableWeights(model), gnBlockProduct(model, data, options), (w, g) => {
            const share = tf.mul(w, g);
            return ranking === "signed" ? share : tf.abs(share);
          }) as never,
      ),
  };
}
