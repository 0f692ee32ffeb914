import type { Row, TaskKind } from "../types";
import { knees, replicates } from "./curve";
import { groupBy, stats } from "./group";
import { meanInterval } from "./interval";
import { smallestKeepOf } from "./knee-interval";
import { type RunValue, spreadOver } from "./noise-floor";

export interface RankingOptions {
  /** a keep ratio (within 2 %): series are ranked by their accuracy there; "knee": by their knee, the smaller the better */
  readonly at: number | "knee";
  /** default "transfer" */
  readonly taskKind?: TaskKind;
  /** default "accuracy" */
  readonly metric?: string;
  /** of the interval of a paired difference, default 0.95 */
  readonly confidence?: number;
}

/** One series in a ranking. */
export interface RankedSeries extends Pick<Row, "score" | "rounds"> {
  /** 1 for the best group of equals, 2 for the next ... */
  readonly place: number;
  readonly mean: number;
  /** runs */
  readonly n: number;
  /** how much worse than the leader of its group: mean of the paired differences; 0 for the leader */
  readonly behind: number;
  /** interval of that difference; infinite for fewer than two common runs */
  readonly low: number;
  readonly high: number;
  /** runs that both have */
  readonly pairs: number;
  /** noise floor of that difference */
  readonly floor: number;
  /** what makes it an equal of its leader: the interval holds 0, or the difference is below the floor */
  readonly tiedBy: "leads" | "interval" | "floor";
}

interface Series extends Pick<Row, "score" | "rounds"> {
  readonly runs: readonly RunValue[];
  readonly mean: number;
}

/**
 * Series (a score with its rounds) of ONE backbone, in groups of equals, best first. Differences are paired by run (source,
 * pre-training seed, draw). Against a leader, a series is tied when
 *   the Student-t interval of the mean paired difference reaches 0 (always, with fewer than two common runs), or
 *   the mean difference is below the noise floor of a difference, sqrt(sdDraw_a^2 + sdDraw_b^2): what another draw of scoring images
 *   changes between two single runs (`spreadOver`; 0 for a series with one draw).
 * Ties are not transitive. So: the series with the best mean leads and takes all that are tied with it; the rest goes on in the same
 * way with the best of the rest. Two series of one group are each tied with its leader, not necessarily with one another.
 * A knee below the smallest keep ratio counts as that ratio.
 * @returns sorted by place, then mean
 * @throws RangeError when the rows hold several models, pre-trainings or protocols, or no row is there
 */
export function rankSeries(rows: readonly Row[], options: RankingOptions): RankedSeries[] {
  const { at, confidence = 0.95 } = options;
  const sign = at === "knee" ? -1 : 1;
  let left: Series[] = groupBy(valuesAt(rows, options), ["score", "rounds"])
    .map(({ key, rows: runs }) => ({ ...key, runs, mean: stats(runs.map(({ value }) => value)).mean }))
    .sort((a, b) => sign * (b.mean - a.mean));
  const ranked: RankedSeries[] = [];
  for (let place = 1; left.length > 0; place++) {
    const leader = left[0]!;
    const compared = left.map((series) => ({ series, ...against(leader, series, sign, confidence) }));
    for (const { series, tiedBy, ...difference } of compared)
      if (tiedBy !== "none") {
        const { score, rounds, mean, runs } = series;
        ranked.push({ score, rounds, place, mean, n: runs.length, ...difference, tiedBy });
      }
    left = compared.filter(({ tiedBy }) => tiedBy === "none").map(({ series }) => series);
  }
  return ranked;
}

function against(
  leader: Series,
  series: Series,
  sign: number,
  confidence: number,
): Pick<RankedSeries, "behind" | "low" | "high" | "pairs" | "floor"> & { tiedBy: RankedSeries["tiedBy"] | "none" } {
  if (series === leader) return { behind: 0, low: 0, high: 0, pairs: leader.runs.length, floor: 0, tiedBy: "leads" };
  const other = new Map(series.runs.map((run) => [runOf(run), run.value]));
  const differences = leader.runs
    .filter((run) => other.has(runOf(run)))
    .map((run) => sign * (run.value - other.get(runOf(run))!));
  const floor = Math.hypot(...[leader, series].map(({ runs }) => spreadOver("draw", runs).sd || 0));
  if (differences.length === 0)
    return { behind: Number.NaN, low: -Infinity, high: Infinity, pairs: 0, floor, tiedBy: "interval" };
  const { mean: behind, low, high } = meanInterval(differences, confidence);
  const tiedBy = low <= 0 ? "interval" : behind < floor ? "floor" : "none";
  return { behind, low, high, pairs: differences.length, floor, tiedBy };
}

function valuesAt(
  rows: readonly Row[],
  { at, taskKind = "transfer", metric = "accuracy" }: RankingOptions,
): (RunValue & Pick<Row, "score" | "rounds">)[] {
  if (at !== "knee" && !(at > 0 && at < 1))
    throw new RangeError(`rankSeries: at must be "knee" or a keep ratio in (0, 1), got ${at}`);
  const values =
    at === "knee"
      ? knees(rows, { metric })
          .filter((run) => run.taskKind === taskKind)
          .map((run) => ({ ...run, value: run.knee ?? smallestKeepOf(rows, run, metric) }))
      : replicates(rows, { metric }).filter((run) => run.taskKind === taskKind && Math.abs(run.keep - at) <= 0.02 * at);
  if (values.length === 0)
    throw new RangeError(
      `rankSeries: no run of kind '${taskKind}' ${at === "knee" ? "" : `at keep ratio ${at}`}`.trim(),
    );
  return values;
}

const runOf = ({ source, seed, draw }: RunValue): string => JSON.stringify([source, seed, draw]);
