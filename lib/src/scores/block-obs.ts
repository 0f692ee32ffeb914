import { tf } from "../backend";
import { type ChunkInverseOptions, gnChunkInverseDiagonal } from "../curvature";
import { prunableWeights } from "../nets";
import { mapTree, zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";

/**
 * theta_j^2 / (2 [(G_BB + lambda I)^-1]_jj): the loss change when weight j is removed and the rest of its block B may make up for
 * it (Optimal Brain Surgeon). A block is `chunk` consecutive inputs of one output filter; lambda = damping x the mean diagonal.
 * G is the Gauss-Newton matrix of the loss (default: squared error, mean over images and classes). Removed weights (exactly zero) are left out of their block. The weights themselves are not updated: only the ranking is used.
 */
export function blockObs(options: Omit<ChunkInverseOptions, "alive"> = {}): Scorer {
  const { chunk = 32, damping = 0.01 } = options;
  return {
    name: withLoss(damping === 0.01 ? `blockObs${chunk}` : `blockObs${chunk}-damping${damping}`, options),
    unit: "loss",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const weights = prunableWeights(model);
        const alive = mapTree(weights, (w) => tf.cast(tf.notEqual(w, 0), "float32"));
        const inverse = gnChunkInverseDiagonal(model, data, { ...options, alive });
        return zipTree(weights, inverse, (w, inv) => tf.div(tf.square(w), tf.mul(inv, 2))) as never;
      }),
  };
}
