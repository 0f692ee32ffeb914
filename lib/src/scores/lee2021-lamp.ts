import { tf } from "../backend";
import { prunableWeights } from "../nets";
import { mapTree } from "../tree";
import type { Scorer } from "../types";
import { ranked } from "./ranks";

/**
 * Layer-adaptive magnitude (LAMP, Lee et al. 2021, arXiv 2010.07611): theta_j^2 / sum_k theta_k^2 over the weights k of the same
 * layer that are at least as large as j (of equal ones the lower index counts as larger). 1 for the largest of every layer, so no layer
 * dies before all others are down to one weight.
 */
export function lamp(): Scorer {
  return {
    name: "lamp",
    unit: "none",
    usesData: false,
    score: (model) =>
      mapTree(prunableWeights(model), (weight) => {
        const squares = Float64Array.from(weight.dataSync(), (w) => w * w);
        const { sorted, rank } = ranked(squares);
        const sums = new Float64Array(sorted.length);
        for (let i = sorted.length - 1, sum = 0; i >= 0; i--) sums[i] = sum += sorted[i]!;
        const scores = Float32Array.from(squares, (s, j) => (s === 0 ? 0 : s / sums[rank[j]!]!));
        return tf.tensor(scores, weight.shape);
      }),
  };
}
