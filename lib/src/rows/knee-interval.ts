import type { Row } from "../types";
import { knees } from "./curve";
import { groupBy, stats } from "./group";
import { meanInterval } from "./interval";

/** The knee of one series on one backbone, over its runs. */
export interface KneeInterval
  extends Pick<Row, "model" | "pretraining" | "protocol" | "taskKind" | "score" | "rounds"> {
  /** an upper bound of the mean when runs are censored */
  readonly mean: number;
  /** sample sd over runs; NaN for one run or a censored one */
  readonly sd: number;
  /** -Infinity and Infinity for one run or a censored one: there is no interval */
  readonly low: number;
  readonly high: number;
  /** null when it is below `smallestKeep` itself */
  readonly median: number | null;
  /** runs, censored ones included */
  readonly n: number;
  /** runs whose knee is below the smallest keep ratio measured */
  readonly censored: number;
  readonly smallestKeep: number;
}

/**
 * Mean knee (`knees`) with its Student-t interval over runs, for every backbone, kind of task, score and number of rounds.
 * A run that stays above the level down to the smallest keep ratio is censored: its knee is only known to be below that ratio. It
 * counts as that ratio in the mean, which is then an upper bound and has no interval; the median stays what it is while fewer than
 * half of the runs are censored. Runs share their backbone (and draws their source), so they are less independent than the interval
 * assumes. Rows may hold several models, pre-trainings and protocols.
 * @param level  share of the dense accuracy, default 0.9
 * @throws RangeError as `knees`
 */
export function kneeIntervals(
  rows: readonly Row[],
  {
    level = 0.9,
    metric = "accuracy",
    confidence = 0.95,
  }: { readonly level?: number; readonly metric?: string; readonly confidence?: number } = {},
): KneeInterval[] {
  return groupBy(rows, ["model", "pretraining", "protocol"]).flatMap(({ key: backbone, rows: own }) =>
    groupBy(knees(own, { level, metric }), ["taskKind", "score", "rounds"]).map(({ key, rows: runs }) => {
      const smallestKeep = smallestKeepOf(own, key, metric);
      const censored = runs.filter(({ knee }) => knee === null).length;
      const known = runs.map(({ knee }) => knee ?? smallestKeep);
      const { mean, sd, low, high } = meanInterval(known, confidence);
      const interval = censored === 0 ? { sd, low, high } : NONE;
      return { ...backbone, ...key, mean, ...interval, median: medianOf(runs), n: runs.length, censored, smallestKeep };
    }),
  );
}

const NONE = { sd: Number.NaN, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };

/** The smallest keep ratio of a series. */
export function smallestKeepOf(
  rows: readonly Row[],
  { score, rounds, taskKind }: Pick<Row, "score" | "rounds" | "taskKind">,
  metric = "accuracy",
): number {
  const keeps = rows
    .filter((r) => r.score === score && r.rounds === rounds && r.taskKind === taskKind && r.metric === metric)
    .map(({ keep }) => keep);
  return stats(keeps).min;
}

/** Of an even number: the mean of the middle two; null when one of them is censored. */
function medianOf(runs: readonly { readonly knee: number | null }[]): number | null {
  const sorted = runs.map(({ knee }) => knee ?? Number.NEGATIVE_INFINITY).sort((a, b) => a - b);
  const middle = [sorted[Math.floor((sorted.length - 1) / 2)]!, sorted[Math.floor(sorted.length / 2)]!];
  return middle[0] === Number.NEGATIVE_INFINITY ? null : (middle[0]! + middle[1]!) / 2;
}
