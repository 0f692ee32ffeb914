import type { Row, TaskKind } from "../types";
import { aggregate, groupBy, stats } from "./group";
import { interpolateKnee } from "./knee";

/** Which rows a curve is made of, and its unit. */
export interface CurveOptions {
  /** default "accuracy" (percent) */
  readonly metric?: string;
  /** true: the share of the dense accuracy (1 = all of it) instead of the value itself */
  readonly relative?: boolean;
  /** the metric of the dense rows that `relative` divides by; default "accuracy" */
  readonly denseMetric?: string;
}

/** One pruning run (a source, a pre-training seed, a draw of scoring images) at one keep ratio: the mean over its tasks of one kind. */
export interface Replicate {
  readonly taskKind: TaskKind;
  readonly score: string;
  readonly rounds: number;
  readonly source: string;
  readonly seed: number;
  readonly draw: number;
  readonly keep: number;
  readonly value: number;
  readonly tasks: number;
}

/** Mean and sample sd over the replicates of one score at one keep ratio. */
export interface CurvePoint {
  readonly taskKind: TaskKind;
  readonly score: string;
  readonly rounds: number;
  readonly keep: number;
  readonly mean: number;
  /** NaN for one replicate */
  readonly sd: number;
  readonly n: number;
}

/** Columns that must not vary inside one curve: mixing them would pass for spread. */
const fixed = ["model", "pretraining", "protocol", "variant"] as const;

/**
 * The pruned rows (keep < 1) of one metric, averaged over the tasks of each run and kind. Tasks of a run are not
 * independent (they share a mask), so spread is only ever taken over replicates.
 * @throws RangeError when the rows mix models, pre-trainings, protocols or variants, when no row has the metric, or when a
 *   dense row is missing for `relative`
 */
export function replicates(rows: readonly Row[], options: CurveOptions = {}): Replicate[] {
  const { metric = "accuracy", relative = false, denseMetric = "accuracy" } = options;
  const pruned = rows.filter((row) => row.metric === metric && row.keep < 1);
  if (pruned.length === 0)
    throw new RangeError(
      `no pruned row has the metric '${metric}', only ${[...new Set(rows.map((r) => r.metric))].join(", ") || "none"}`,
    );
  for (const column of fixed) {
    const seen = [...new Set(pruned.map((row) => row[column]))];
    if (seen.length > 1)
      throw new RangeError(`rows mix ${column}: ${seen.map((s) => `'${s}'`).join(", ")}; filter first`);
  }
  const dense = relative ? denseAccuracy(rows, denseMetric) : undefined;
  const values = dense ? pruned.map((row) => ({ ...row, value: row.value / dense(row) })) : pruned;
  return groupBy(values, ["taskKind", "score", "rounds", "source", "seed", "draw", "keep"]).map(
    ({ key, rows: tasks }) => ({
      ...key,
      value: stats(tasks.map((row) => row.value)).mean,
      tasks: tasks.length,
    }),
  );
}

/** Mean and sd over replicates for each kind of task, score, number of rounds and keep ratio; keep falls inside a curve. */
export function curve(rows: readonly Row[], options: CurveOptions = {}): CurvePoint[] {
  return aggregate(replicates(rows, options), { by: ["taskKind", "score", "rounds", "keep"], value: "value" }).sort(
    (a, b) => b.keep - a.keep,
  );
}

/** The knee of every single run: `interpolateKnee` on its share of the dense accuracy; null where the curve stays above. */
export function knees(
  rows: readonly Row[],
  { level = 0.9, metric = "accuracy" }: { readonly level?: number; readonly metric?: string } = {},
): (Pick<Replicate, "taskKind" | "score" | "rounds" | "source" | "seed" | "draw"> & {
  readonly knee: number | null;
})[] {
  const shares = replicates(rows, { metric, relative: true });
  return groupBy(shares, ["taskKind", "score", "rounds", "source", "seed", "draw"]).map(({ key, rows: run }) => ({
    ...key,
    knee: interpolateKnee(
      run.map(({ keep, value }) => ({ keep, share: value })),
      level,
    ),
  }));
}

/**
 * The dense value that belongs to a row: rows with keep = 1 of the same model, pre-training, protocol, seed and task,
 * whatever source or score they are filed under; their mean.
 */
export function denseAccuracy(rows: readonly Row[], metric = "accuracy"): (row: Row) => number {
  const id = (row: Row): string => JSON.stringify([row.model, row.pretraining, row.protocol, row.seed, row.task]);
  const found = new Map<string, number[]>();
  for (const row of rows)
    if (row.keep === 1 && row.metric === metric) found.set(id(row), [...(found.get(id(row)) ?? []), row.value]);
  return (row) => {
    const values = found.get(id(row));
    if (!values)
      throw new RangeError(
        `no dense row (keep 1, metric '${metric}') for task '${row.task}', seed ${row.seed}, model '${row.model}'`,
      );
    return stats(values).mean;
  };
}
