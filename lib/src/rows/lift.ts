import type { Row, TaskKind } from "../types";
import { denseAccuracy } from "./curve";
import { groupBy, stats } from "./group";

/** What fine-tuning changed in one run, averaged over its tasks of one kind. */
export interface Lift {
  readonly taskKind: TaskKind;
  /** "dense" for the control, keep = 1 */
  readonly score: string;
  readonly rounds: number;
  readonly keep: number;
  readonly source: string;
  readonly seed: number;
  readonly draw: number;
  readonly variant: string;
  readonly before: number;
  readonly after: number;
  /** after - before */
  readonly lift: number;
  readonly tasks: number;
}

/**
 * Pairs every fine-tuned row with the row of the same run and task before fine-tuning, then averages the tasks of a run and
 * kind. The dense control (keep = 1) is compared with the dense accuracy of its task. A fine-tuned row finds its partner whatever
 * its variant (the variant is a setting of fine-tuning), unless a partner of the same variant exists.
 * @throws RangeError naming run and task when a fine-tuned row has no partner, or when no row is fine-tuned
 */
export function lifts(
  rows: readonly Row[],
  { before = "accuracy", after = "accuracyFineTuned" }: { readonly before?: string; readonly after?: string } = {},
): Lift[] {
  const tuned = rows.filter((row) => row.metric === after);
  if (tuned.length === 0) throw new RangeError(`no row has the metric '${after}'`);
  const dense = denseAccuracy(rows, before);
  const partners = new Map<string, number>();
  for (const row of rows) {
    if (row.metric !== before || row.keep === 1) continue;
    partners.set(partnerId(row, row.variant), row.value);
    if (row.variant === "") partners.set(partnerId(row, undefined), row.value);
  }
  const partnerOf = (row: Row): number => {
    if (row.keep === 1) return dense(row);
    const value = partners.get(partnerId(row, row.variant)) ?? partners.get(partnerId(row, undefined));
    if (value === undefined)
      throw new RangeError(
        `no '${before}' row for ${row.score}, ${row.rounds} round(s), keep ${row.keep}, source '${row.source}', task '${row.task}', seed ${row.seed}, draw ${row.draw}`,
      );
    return value;
  };
  const pairs = tuned.map((row) => ({
    ...row,
    ...(row.keep === 1 ? { score: "dense", rounds: 0 } : {}),
    before: partnerOf(row),
  }));
  const keys = ["taskKind", "score", "rounds", "keep", "source", "seed", "draw", "variant"] as const;
  return groupBy(pairs, keys).map(({ key, rows: tasks }) => {
    const mean = { before: stats(tasks.map((t) => t.before)).mean, after: stats(tasks.map((t) => t.value)).mean };
    return { ...key, ...mean, lift: mean.after - mean.before, tasks: tasks.length };
  });
}

function partnerId(row: Row, variant: string | undefined): string {
  const { model, pretraining, protocol, source, task, taskKind, score, rounds, keep, seed, draw } = row;
  return JSON.stringify([
    model,
    pretraining,
    protocol,
    source,
    task,
    taskKind,
    score,
    rounds,
    keep,
    seed,
    draw,
    variant ?? null,
  ]);
}
