import { tf } from "../backend";
import { mapTree } from "../tree";
import type { Scorer } from "../types";
import { ranked } from "./ranks";

/**
 * Any criterion within layers: the weight's rank by `scorer` in its own layer, as a share in (0, 1] (the highest has 1; of equal ones
 * the lower index is higher). Under one threshold for all weights every layer then keeps the same share, to one weight.
 * `layerwise(magnitude())` is layer-wise magnitude pruning.
 */
export function layerwise(scorer: Scorer): Scorer {
  return {
    name: `layerwise-${scorer.name}`,
    unit: "none",
    usesData: scorer.usesData,
    score: (model, data) => {
      const scores = scorer.score(model, data);
      try {
        return mapTree(scores, (score, name) => tf.tensor(sharesOfRank(score.dataSync(), name), score.shape));
      } finally {
        tf.dispose(scores as never);
      }
    },
  };
}

function sharesOfRank(scores: ArrayLike<number>, name: string): Float32Array {
  const values = Float64Array.from(scores);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new Error(`score must be finite, got ${values[bad]} at "${name}"[${bad}]`);
  return Float32Array.from(ranked(values).rank, (place) => (place + 1) / values.length);
}
