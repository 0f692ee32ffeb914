import { tf } from "../backend";
import { type GnDiagOptions, gnDiag } from "../curvature";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Scorer, Tree } from "../types";
import { withLoss } from "./loss-name";

export interface DiagonalOptions extends GnDiagOptions {
  /** added to every G_jj, as a share of the mean of G_jj over the prunable weights (default 0) */
  readonly floor?: number;
}

/**
 * theta_j^2 (G_jj + floor mean G): twice the loss change, to second order, when weight j alone is removed (the 1/2 is left out, as in
 * the paper). G is the Gauss-Newton matrix of the loss (default: squared error, mean over images and classes); on ReLU nets with frozen
 * norms G_jj = H_jj. A floor says that no curvature is trusted to be zero; a high one makes magnitude of it.
 * @throws RangeError for a negative floor
 */
export function diagonal(options: DiagonalOptions = {}): Scorer {
  const { method = "exact", draws = 1, seed = 0, floor = 0 } = options;
  if (!(floor >= 0 && Number.isFinite(floor))) throw new RangeError(`floor must be a number >= 0, got ${floor}`);
  const name = [
    "diagonal",
    ...(method === "exact" ? [] : [`${method}${draws}${seed === 0 ? "" : `-seed${seed}`}`]),
    ...(floor === 0 ? [] : [`floor${floor}`]),
  ].join("-");
  return {
    name: withLoss(name, options),
    unit: "loss",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const curvature = gnDiag(model, data, options);
        const least = floor === 0 ? 0 : floor * meanOf(curvature);
        return zipTree(prunableWeights(model), curvature, (w, g) => tf.mul(tf.square(w), tf.add(g, least))) as never;
      }),
  };
}

function meanOf(tree: Tree): number {
  const layers = Object.values(tree);
  const sum = layers.reduce((total, layer) => total + tf.sum(layer).dataSync()[0]!, 0);
  return sum / layers.reduce((count, layer) => count + layer.size, 0);
}
