import { tf } from "../backend";
import { type GnDiagOptions, gnDiag } from "../curvature";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";

/**
 * theta_j^2 G_jj: twice the loss change, to second order, when weight j alone is removed (the 1/2 is left out, as in the paper).
 * G is the Gauss-Newton matrix of the loss (default: squared error, mean over images and classes); on ReLU nets with frozen norms
 * G_jj = H_jj.
 */
export function diagonal(options: GnDiagOptions = {}): Scorer {
  const { method = "exact", draws = 1, seed = 0 } = options;
  return {
    name: withLoss(
      method === "exact" ? "diagonal" : `diagonal-${method}${draws}${seed === 0 ? "" : `-seed${seed}`}`,
      options,
    ),
    unit: "loss",
    usesData: true,
    score: (model, data) =>
      tf.tidy(
        () => zipTree(prunableWeights(model), gnDiag(model, data, options), (w, g) => tf.mul(tf.square(w), g)) as never,
      ),
  };
}
