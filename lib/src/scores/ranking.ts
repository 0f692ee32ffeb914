import { tf } from "../backend";
import type { Tensor } from "../types";

/** signed: a weight whose removal lowers the second-order term goes first; absolute: the smallest effect of either sign goes first */
export type Ranking = "signed" | "absolute";

/** What of a signed score is ranked. */
export function rankedBy(ranking: Ranking): (score: Tensor) => Tensor {
  if (ranking !== "signed" && ranking !== "absolute")
    throw new RangeError(`ranking must be 'signed' or 'absolute', got '${ranking}'`);
  return ranking === "signed" ? (score) => score : (score) => tf.abs(score);
}
