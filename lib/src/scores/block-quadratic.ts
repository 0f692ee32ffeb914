import { tf } from "../backend";
import { gnBlockProduct, type LossOptions } from "../curvature";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";
import { type Ranking, rankedBy } from "./ranking";

export interface BlockQuadraticOptions extends LossOptions {
  /** default "absolute" */
  readonly ranking?: Ranking;
}

/**
 * theta_j (G_BB theta_B)_j, a block B is one layer's weight tensor: weight j's share of the layer's quadratic form. The sum over
 * a layer is twice the second-order loss change of removing the whole layer; single entries may be negative.
 * One of three readings of the paper's block score (see docs/decisions).
 */
export function blockQuadratic({ ranking = "absolute", ...options }: BlockQuadraticOptions = {}): Scorer {
  const rank = rankedBy(ranking);
  return {
    name: withLoss(`blockQuadratic-${ranking}`, options),
    unit: "loss",
    usesData: true,
    score: (model, data) =>
      tf.tidy(
        () =>
          zipTree(prunableWeights(model), gnBlockProduct(model, data, options), (w, g) => rank(tf.mul(w, g))) as never,
      ),
  };
}
