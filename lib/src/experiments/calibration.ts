/** How well the expansion of the loss foresees what a mask costs, part by part, on the source and on other tasks. */

import { type LossParts, lossParts } from "../curvature";
import { tasks as allTasks } from "../datasets";
import { removalStep } from "../masks";
import { disposeTree } from "../tree";
import type { Protocol, Row, Tree } from "../types";
import { cached } from "./cache";
import { type Curve, checkPlan, KEEP_GRID, nearest, type RunOptions } from "./p1";
import { Workbench } from "./workbench";

export interface CalibrationSettings {
  /** names in the zoo */
  readonly models: readonly string[];
  readonly sources: readonly string[];
  readonly curves: readonly Curve[];
  /** tasks whose loss is expanded, with their own heads and scoring images; the source is always among them */
  readonly tasks: readonly string[];
  readonly grid?: readonly number[];
  /** out of the grid; default all of it */
  readonly keeps?: readonly number[];
  /** which ten scoring images a class, of the source for the score and of each task for its loss */
  readonly draw?: number;
  readonly protocol?: Protocol;
}

type Parts = Omit<LossParts, "layers" | "coupling">;

/** Metrics of the rows, by the parts of a change and by what they add up to. */
const METRICS: Readonly<Record<string, (parts: Parts) => number>> = {
  lossChange: (p) => p.measured,
  lossPartFirstOrder: (p) => p.firstOrder,
  lossPartOwnLayer: (p) => p.ownLayer,
  lossPartCrossLayer: (p) => p.crossLayer,
  lossPartResidualCurvature: (p) => p.residualCurvature,
  lossPartRemainder: (p) => p.remainder,
  lossPredictedByLayers: (p) => p.firstOrder + p.ownLayer,
  lossPredictedGaussNewton: (p) => p.firstOrder + p.ownLayer + p.crossLayer,
  lossPredictedHessian: (p) => p.firstOrder + p.ownLayer + p.crossLayer + p.residualCurvature,
};

/**
 * The parts of the loss change (`curvature.lossParts`) of every mask on every task, for each model, source and curve; cached like `p1`.
 * A mask belongs to its source; on another task the loss is that of the task's own clean head on the task's own scoring images.
 * @returns rows with metrics "lossChange", "lossPart..." (first order, own layer, cross layer, residual curvature, remainder: their sum
 * is the change), "lossPredictedByLayers", "...GaussNewton", "...Hessian" (sums of parts) and, at keep = 1 (score "dense"), "loss":
 * squared error, mean over images and classes
 * @throws RangeError before work starts for models, sources, curves, tasks or keep ratios that do not fit
 */
export async function calibration(settings: CalibrationSettings, { progress, fresh }: RunOptions = {}): Promise<Row[]> {
  const { models, sources, curves, tasks, grid = KEEP_GRID, draw = 0, protocol = "clean" } = settings;
  checkPlan(models, sources, curves, grid);
  checkTasks(tasks);
  const keeps = (settings.keeps ?? grid).map((keep) => nearest(grid, keep));
  const units = curves.flatMap((curve) =>
    curve.scorer.usesData
      ? sources.map((source) => ({ ...curve, source, filedUnder: [source] }))
      : [{ ...curve, source: sources[0]!, filedUnder: sources }],
  );
  const bar = progress?.(models.length * units.length, "masks expanded");
  const rows: Row[] = [];
  let done = 0;
  for (const model of models) {
    const bench = new Workbench({ model, protocol, perClass: 1, evaluateOn: "test" });
    try {
      for (const { scorer, rounds, source, filedUnder } of units) {
        const expanded = [...new Set([...filedUnder, ...tasks])];
        const unit = {
          checkpoint: bench.checkpoint,
          protocol,
          draw,
          score: scorer.name,
          rounds,
          grid,
          keeps,
          tasks: expanded,
          ...(scorer.usesData ? { source } : {}),
        };
        const { value, seconds, commit } = await cached(
          "calibration",
          unit,
          async () => {
            const path = await bench.masks(source, scorer, { grid, rounds, draw });
            return expandedOn(
              bench,
              expanded,
              draw,
              path.filter((_, i) => keeps.includes(grid[i]!)).map(({ mask }) => mask),
            );
          },
          { fresh },
        );
        for (const from of filedUnder)
          for (const [t, task] of expanded.entries()) {
            const info = bench.tasks.find(({ name }) => name === task)!;
            const { n, parts } = value[t]!;
            const row = (of: Pick<Row, "score" | "rounds" | "keep" | "metric" | "value">): Row => ({
              ...bench.columns,
              source: from,
              task,
              taskKind: bench.kindOf(info, from),
              draw,
              variant: "",
              n,
              seconds,
              commit,
              ...of,
            });
            if (scorer === units[0]!.scorer && rounds === units[0]!.rounds)
              rows.push(row({ score: "dense", rounds: 1, keep: 1, metric: "loss", value: parts[0]!.loss }));
            for (const [i, keep] of keeps.entries())
              for (const [metric, of] of Object.entries(METRICS))
                rows.push(row({ score: scorer.name, rounds, keep, metric, value: of(parts[i]!) }));
          }
        await bar?.step(++done, `${scorer.name}, ${source}`);
      }
    } finally {
      bench.dispose();
    }
  }
  return rows;
}

/** The parts of every mask's change on each task, in the order of the tasks. */
function expandedOn(
  bench: Workbench,
  tasks: readonly string[],
  draw: number,
  maskList: readonly Parameters<typeof removalStep>[1][],
): { n: number; parts: Parts[] }[] {
  const steps: Tree[] = maskList.map((mask) => removalStep(bench.model(tasks[0]!), mask));
  try {
    return tasks.map((task) => {
      const data = bench.scoringData(task, draw);
      try {
        const parts = lossParts(bench.model(task), data, steps);
        return { n: data.labels.length, parts: parts.map(({ layers, coupling, ...rest }) => rest) };
      } finally {
        data.x.dispose();
      }
    });
  } finally {
    for (const step of steps) disposeTree(step);
  }
}

/** Throws unless there are tasks and all of them are known. */
export function checkTasks(tasks: readonly string[]): void {
  if (tasks.length === 0) throw new RangeError("tasks must not be empty");
  const names = allTasks().map(({ name }) => name);
  for (const task of tasks)
    if (!names.includes(task)) throw new RangeError(`tasks must be among ${names.join(", ")}, got '${task}'`);
}
