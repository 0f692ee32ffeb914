import { tf } from "../backend";
import { hessianProduct, type LossOptions, lossGradient } from "../curvature";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";

/**
 * GraSP (Wang, Zhang, Grosse 2020, arXiv 2002.07376): theta_j (H g)_j, H the Hessian of all layers together.
 * To first order |g|^2 changes by -2 theta_j (H g)_j when weight j goes. The paper's score is S_j = -theta_j (H g)_j and the weights
 * with the HIGHEST S go (their removal keeps the gradient flow); here the highest are kept, so this is -S. Signed.
 * Published in one shot, before training, for `curvature.crossEntropyMeanOverN({ temperature: 200 })`.
 */
export function grasp(options: LossOptions = {}): Scorer {
  return {
    name: withLoss("grasp", options),
    unit: "loss^2 / weight^2",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const { gradient } = lossGradient(model, data, options);
        return zipTree(prunableWeights(model), hessianProduct(model, data, gradient, options), (w, hg) =>
          tf.mul(w, hg),
        ) as never;
      }),
  };
}
