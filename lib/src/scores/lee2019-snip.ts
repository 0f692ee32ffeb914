import { tf } from "../backend";
import { type LossOptions, lossGradient } from "../curvature";
import { prunableWeights } from "../nets";
import { mapTree, zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";

/**
 * SNIP (Lee, Ajanthan, Torr 2019, arXiv 1810.02340): |theta_j g_j| / sum_k |theta_k g_k|, the share of weight j in the sensitivity of
 * the loss to switches c_j at 1 (d L / d c_j = theta_j g_j). Published with one batch and in one shot.
 */
export function snip(options: LossOptions = {}): Scorer {
  return {
    name: withLoss("snip", options),
    unit: "none",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const { gradient } = lossGradient(model, data, options);
        const sizes = zipTree(prunableWeights(model), gradient, (w, g) => tf.abs(tf.mul(w, g)));
        const total = tf.addN(Object.values(sizes).map((size) => tf.sum(size)));
        return mapTree(sizes, (size) => tf.divNoNan(size, total)) as never;
      }),
  };
}
