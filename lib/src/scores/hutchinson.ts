import { stream, tf } from "../backend";
import { hessianProduct, type LossOptions } from "../curvature";
import { prunableWeights } from "../nets";
import { mapTree, zipTree } from "../tree";
import type { Scorer, Tensor, Tree } from "../types";
import { withLoss } from "./loss-name";
import { type Ranking, rankedBy } from "./ranking";

export interface HutchinsonOptions extends LossOptions {
  /** sign vectors, one Hessian product each (default 1) */
  readonly draws?: number;
  readonly seed?: number;
  /** default "signed" */
  readonly ranking?: Ranking;
}

/**
 * theta_j^2 h_j with Hutchinson's estimate of the Hessian's diagonal, h = mean over draws of z * (H z), z +-1 for every weight of all
 * layers: unbiased, with the variance sum_{k != j} H_jk^2 / draws, so off-diagonal weight drowns small entries. The 1/2 is left out.
 */
export function hutchinson({ draws = 1, seed = 0, ranking = "signed", ...options }: HutchinsonOptions = {}): Scorer {
  if (!(Number.isSafeInteger(draws) && draws >= 1))
    throw new RangeError(`draws must be a whole number >= 1, got ${draws}`);
  const rank = rankedBy(ranking);
  return {
    name: withLoss(`hutchinson${draws}-${ranking}${seed === 0 ? "" : `-seed${seed}`}`, options),
    unit: "loss",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const weights = prunableWeights(model);
        const draw = (which: number): Tree => {
          const z = mapTree(weights, (w, name) => signs(seed, which, name, w));
          return zipTree(z, hessianProduct(model, data, z, options), (a, b) => tf.mul(a, b));
        };
        let sum = draw(0);
        for (let i = 1; i < draws; i++)
          sum = tf.tidy(() => {
            const next = zipTree(sum, draw(i), (a, b) => tf.add(a, b));
            tf.dispose(sum as never);
            return next as never;
          });
        return zipTree(weights, sum, (w, h) => rank(tf.mul(tf.square(w), tf.div(h, draws)))) as never;
      }),
  };
}

function signs(seed: number, draw: number, name: string, like: Tensor): Tensor {
  const numbers = stream(seed, "hutchinson", draw, name);
  return tf.tensor(
    Float32Array.from({ length: like.size }, () => numbers.sign()),
    like.shape,
  );
}
