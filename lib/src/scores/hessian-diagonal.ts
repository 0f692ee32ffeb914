import { tf } from "../backend";
import { type HessianDiagOptions, hessianDiag } from "../curvature";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";
import { type Ranking, rankedBy } from "./ranking";

export interface HessianDiagonalOptions extends HessianDiagOptions {
  /** default "signed" */
  readonly ranking?: Ranking;
}

/**
 * theta_j^2 H_jj: twice the second-order loss change when weight j alone is removed, with the Hessian itself (the 1/2 is left out, as
 * in the paper). On ReLU nets with frozen norms it is `diagonal`. On ViTs H_jj is the Gauss-Newton diagonal plus an estimated residual
 * part (`curvature.hessianDiag`) and may be negative: such weights go first when ranked with their sign. Ranked by size, weights whose
 * estimate is noisy rank higher than they should (the size of an estimate is biased upwards).
 */
export function hessianDiagonal({ ranking = "signed", ...options }: HessianDiagonalOptions = {}): Scorer {
  const { draws = 8, seed = 0 } = options;
  const rank = rankedBy(ranking);
  return {
    name: withLoss(`hessianDiagonal${draws}-${ranking}${seed === 0 ? "" : `-seed${seed}`}`, options),
    unit: "loss",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const { diagonal } = hessianDiag(model, data, options);
        return zipTree(prunableWeights(model), diagonal, (w, h) => rank(tf.mul(tf.square(w), h))) as never;
      }),
  };
}
