/** P1: pruning on a source keeps source and zero-shot transfer accuracy. */
import { tasks } from "../datasets";
import { gridSchedule } from "../masks";
import type { Progress, Protocol, Row, Scorer } from "../types";
import { cached } from "./cache";
import { type Accuracies, Workbench } from "./workbench";
import { modelCard } from "./zoo";

/** 0.8^2, 0.8^4 ... 0.8^18: the paper's keep ratios. */
export const KEEP_GRID: readonly number[] = [2, 4, 6, 8, 10, 12, 14, 16, 18].map((power) => 0.8 ** power);

export interface Curve {
  readonly scorer: Scorer;
  /** 1: one shot; a multiple of the grid's length: nested rounds with fresh scores */
  readonly rounds: number;
}

export interface P1Settings {
  /** names in the zoo: one for each pre-training seed */
  readonly models: readonly string[];
  /** tasks that scores are computed on, one at a time */
  readonly sources: readonly string[];
  readonly curves: readonly Curve[];
  readonly grid?: readonly number[];
  /** disjoint draws of scoring images */
  readonly draws?: readonly number[];
  readonly protocol?: Protocol;
  /** images a class that accuracy is read on (default 20) */
  readonly perClass?: number;
  readonly evaluateOn?: "test" | "validation";
}

/** How long work reports on itself: `notebook.progress`, or anything of its form. */
export type MakeProgress = (total: number, label: string) => Progress;

export interface RunOptions {
  readonly progress?: MakeProgress;
  /** compute again although the result is there */
  readonly fresh?: boolean;
}

/** What one path of masks measured. */
interface Path {
  readonly points: readonly { readonly keep: number; readonly accuracy: Accuracies }[];
}

/**
 * Accuracy (percent) of every task at every keep ratio, for each model, source, draw and curve, and the dense reference at keep = 1
 * (score "dense"). Each path of masks is a unit of work: cached by its settings, so an interrupted run goes on.
 * A score that looks at no data gives one mask for all sources and draws: it is measured once, its rows are filed under each source
 * and draw 0.
 * The name of a score stands for its options: a changed score needs another name, or `fresh`.
 * @returns rows with metric "accuracy"
 * @throws RangeError before work starts for models, sources, curves or a grid that do not fit
 */
export async function p1(settings: P1Settings, { progress, fresh }: RunOptions = {}): Promise<Row[]> {
  const {
    models,
    sources,
    curves,
    grid = KEEP_GRID,
    draws = [0],
    protocol = "clean",
    perClass = 20,
    evaluateOn = "test",
  } = settings;
  checkPlan(models, sources, curves, grid);
  const paths = curves.flatMap((curve) =>
    curve.scorer.usesData
      ? sources.flatMap((source) => draws.map((draw) => ({ ...curve, source, draw, filedUnder: [source] })))
      : [{ ...curve, source: sources[0]!, draw: 0, filedUnder: sources }],
  );
  const bar = progress?.(models.length * (paths.length + 1), "P1");
  const rows: Row[] = [];
  let done = 0;
  for (const model of models) {
    const bench = new Workbench({ model, protocol, perClass, evaluateOn });
    try {
      const common = { checkpoint: bench.checkpoint, protocol, perClass, evaluateOn };
      const dense = await cached("dense", common, async () => bench.accuracies(), { fresh });
      rows.push(
        ...bench.accuracyRows(sources, dense.value, {
          score: "dense",
          rounds: 1,
          keep: 1,
          draw: 0,
          variant: "",
          seconds: dense.seconds,
          commit: dense.commit,
        }),
      );
      await bar?.step(++done, `${model} dense`);
      for (const { scorer, rounds, source, draw, filedUnder } of paths) {
        const unit = { ...common, score: scorer.name, rounds, grid, ...(scorer.usesData ? { source, draw } : {}) };
        const path = await cached(
          "p1",
          unit,
          async (): Promise<Path> => {
            const masks = await bench.masks(source, scorer, { grid, rounds, draw });
            return { points: masks.map(({ keep, mask }) => ({ keep, accuracy: bench.maskedAccuracies(mask) })) };
          },
          { fresh },
        );
        for (const { keep, accuracy } of path.value.points)
          rows.push(
            ...bench.accuracyRows(filedUnder, accuracy, {
              score: scorer.name,
              rounds,
              keep,
              draw,
              variant: "",
              seconds: path.seconds,
              commit: path.commit,
            }),
          );
        await bar?.step(
          ++done,
          `${scorer.name}, ${rounds === 1 ? "one shot" : `${rounds} rounds`}${scorer.usesData ? `, ${source}` : ""}`,
        );
      }
    } finally {
      bench.dispose();
    }
  }
  return rows;
}

/** Throws unless models and sources are there, the grid falls, and every curve fits it and has a name of its own. */
export function checkPlan(
  models: readonly string[],
  sources: readonly string[],
  curves: readonly Curve[],
  grid: readonly number[],
): void {
  if (models.length === 0 || sources.length === 0) throw new RangeError("models and sources must not be empty");
  for (const model of models) modelCard(model);
  const known = tasks().map(({ name }) => name);
  for (const source of sources)
    if (!known.includes(source)) throw new RangeError(`sources must be among ${known.join(", ")}, got '${source}'`);
  gridSchedule(grid, 1);
  const seen = new Set<string>();
  for (const { scorer, rounds } of curves) {
    if (rounds !== 1 && !(Number.isInteger(rounds / grid.length) && rounds > 0))
      throw new RangeError(
        `rounds must be 1 or a multiple of the ${grid.length} keep ratios of the grid, got ${rounds} for ${scorer.name}`,
      );
    const name = `${scorer.name}, rounds ${rounds}`;
    if (seen.has(name)) throw new RangeError(`curves must have names of their own, got twice ${name}`);
    seen.add(name);
  }
}

/** The grid's own value of a keep ratio that was written with fewer digits. */
export function nearest(grid: readonly number[], keep: number): number {
  const found = grid.find((k) => Math.abs(k - keep) <= 0.02 * k);
  if (found === undefined)
    throw new RangeError(`keeps must be 1 or in the grid ${grid.map((k) => k.toFixed(4)).join(", ")}, got ${keep}`);
  return found;
}
