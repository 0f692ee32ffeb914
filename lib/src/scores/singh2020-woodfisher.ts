import { tf } from "../backend";
import { empiricalFisherChunkInverseDiagonal, type FisherChunkOptions } from "../curvature";
import { prunableWeights } from "../nets";
import { mapTree, zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";

/**
 * WoodFisher's statistic (Singh, Alistarh 2020, arXiv 2004.14340): theta_j^2 / (2 [(F_BB + lambda I)^-1]_jj) with blocks of the
 * EMPIRICAL Fisher matrix; `blockObs` has the same with the Gauss-Newton matrix. A block is `chunk` consecutive inputs of one output
 * filter, lambda = damping x the mean diagonal of F. Removed weights (exactly zero) are left out of their block; the kept ones are not
 * updated: only the ranking is used.
 */
export function woodFisher({ chunk = 32, damping = 0.01, ...options }: Omit<FisherChunkOptions, "alive"> = {}): Scorer {
  return {
    name: withLoss(`woodFisher${chunk}${damping === 0.01 ? "" : `-damping${damping}`}`, options),
    unit: "loss^2",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const weights = prunableWeights(model);
        const alive = mapTree(weights, (w) => tf.cast(tf.notEqual(w, 0), "float32"));
        const inverse = empiricalFisherChunkInverseDiagonal(model, data, { ...options, chunk, damping, alive });
        return zipTree(weights, inverse, (w, inv) => tf.div(tf.square(w), tf.mul(inv, 2))) as never;
      }),
  };
}
