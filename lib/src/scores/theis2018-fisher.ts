import { tf } from "../backend";
import { empiricalFisherDiag, type LossOptions } from "../curvature";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";

/**
 * Fisher pruning (Theis et al. 2018, arXiv 1801.05787): theta_j^2 F_jj / 2, F_jj = 1/N sum_n (d l_n / d theta_j)^2 the diagonal of the
 * EMPIRICAL Fisher matrix, l_n the loss of image n alone (squared error: mean over classes): squares of the gradients of single
 * images, not of their mean. F weights what is still wrong and is no Hessian: compare `obd`.
 */
export function fisher(options: LossOptions = {}): Scorer {
  return {
    name: withLoss("fisher", options),
    unit: "loss^2",
    usesData: true,
    score: (model, data) =>
      tf.tidy(
        () =>
          zipTree(prunableWeights(model), empiricalFisherDiag(model, data, options), (w, f) =>
            tf.mul(tf.mul(tf.square(w), f), 0.5),
          ) as never,
      ),
  };
}
