import type { Row } from "../types";
import { replicates } from "./curve";
import { groupBy, stats } from "./group";

/** A pooled standard deviation with its degrees of freedom; NaN and 0 where no group has two values. */
export interface PooledSd {
  readonly sd: number;
  readonly df: number;
}

/** How far one score at one keep ratio spreads when one thing alone changes, in the unit of the metric. */
export interface NoiseFloor
  extends Pick<Row, "model" | "pretraining" | "protocol" | "taskKind" | "score" | "rounds" | "keep"> {
  readonly mean: number;
  /** runs: sources, pre-training seeds and draws */
  readonly n: number;
  /** another draw of scoring images, same source and seed */
  readonly sdDraw: number;
  readonly dfDraw: number;
  /** another source, same seed and draw: what the draw does, and for transfer which tasks are averaged, is in it */
  readonly sdSource: number;
  readonly dfSource: number;
  /** another pre-training seed, same source and draw: what the draw does is in it */
  readonly sdSeed: number;
  readonly dfSeed: number;
}

/** A number that belongs to one run. */
export interface RunValue {
  readonly source: string;
  readonly seed: number;
  readonly draw: number;
  readonly value: number;
}

type Factor = "draw" | "source" | "seed";
const FACTORS: readonly Factor[] = ["draw", "source", "seed"];

/**
 * Standard deviation within groups, pooled over groups g that may have means of their own:
 *   sd^2 = sum_g sum_i (x_gi - mean_g)^2 / df,  df = sum_g (n_g - 1)
 */
export function pooledSd(groups: readonly (readonly number[])[]): PooledSd {
  let [squares, df] = [0, 0];
  for (const values of groups) {
    if (values.length === 0) continue;
    const { mean } = stats(values);
    squares += values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
    df += values.length - 1;
  }
  return { sd: df > 0 ? Math.sqrt(squares / df) : Number.NaN, df };
}

/** `pooledSd` of runs that differ in this factor alone. */
export function spreadOver(factor: Factor, runs: readonly RunValue[]): PooledSd {
  const held = FACTORS.filter((name) => name !== factor);
  return pooledSd(groupBy(runs, held).map((group) => group.rows.map(({ value }) => value)));
}

/**
 * The noise floor of every score at every keep ratio: the spread of runs (each the mean over its tasks of one kind) over draws of
 * scoring images, over sources and over pre-training seeds, the other two held fixed (`spreadOver`). A difference between two single
 * runs that is not larger than sqrt(2) of it says nothing. NaN where a factor has one level only: a score that looks at no data has no
 * draw. Rows may hold several models, pre-trainings and protocols; they are never pooled.
 * @throws RangeError as `replicates`
 */
export function noiseFloor(
  rows: readonly Row[],
  { metric = "accuracy" }: { readonly metric?: string } = {},
): NoiseFloor[] {
  return groupBy(rows, ["model", "pretraining", "protocol"]).flatMap(({ key: backbone, rows: own }) =>
    groupBy(replicates(own, { metric }), ["taskKind", "score", "rounds", "keep"]).map(({ key, rows: runs }) => {
      const [draw, source, seed] = FACTORS.map((factor) => spreadOver(factor, runs)) as [PooledSd, PooledSd, PooledSd];
      return {
        ...backbone,
        ...key,
        mean: stats(runs.map(({ value }) => value)).mean,
        n: runs.length,
        sdDraw: draw.sd,
        dfDraw: draw.df,
        sdSource: source.sd,
        dfSource: source.df,
        sdSeed: seed.sd,
        dfSeed: seed.df,
      };
    }),
  );
}
