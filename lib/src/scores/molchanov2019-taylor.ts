import { tf } from "../backend";
import { hessianProduct, type LossOptions, lossGradient } from "../curvature";
import { prunableWeights } from "../nets";
import { mapTree, zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";

export interface TaylorOptions extends LossOptions {
  /** of the Taylor series (default 1) */
  readonly order?: 1 | 2;
}

/**
 * Taylor importance of single weights (Molchanov et al. 2019, arXiv 1906.10771): the square of the loss change when weight j goes,
 *   order 1: (g_j theta_j)^2               (ranks as SNIP does)
 *   order 2: (g_j theta_j - theta_j (H theta)_j / 2)^2, H the Hessian of all layers together
 * All images are one batch.
 */
export function taylor({ order = 1, ...options }: TaylorOptions = {}): Scorer {
  if (order !== 1 && order !== 2) throw new RangeError(`order must be 1 or 2, got ${order}`);
  return {
    name: withLoss(`taylor${order}`, options),
    unit: "loss^2",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const weights = prunableWeights(model);
        const { gradient } = lossGradient(model, data, options);
        const change =
          order === 1
            ? gradient
            : zipTree(gradient, hessianProduct(model, data, weights, options), (g, hw) => tf.sub(g, tf.mul(hw, 0.5)));
        return mapTree(
          zipTree(weights, change, (w, c) => tf.mul(w, c)),
          (t) => tf.square(t),
        ) as never;
      }),
  };
}
