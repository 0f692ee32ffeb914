/** What the second order predicts that a mask costs, beside what it costs. */
import { type LossChange, lossChanges } from "../curvature";
import { removalStep } from "../masks";
import { disposeTree } from "../tree";
import type { Batch, Mask, Model, Protocol, Row, Tree } from "../types";
import { cached } from "./cache";
import { type Curve, KEEP_GRID, type RunOptions } from "./p1";
import { Workbench } from "./workbench";

export interface SecondOrderSettings {
  /** names in the zoo */
  readonly models: readonly string[];
  readonly sources: readonly string[];
  readonly curves: readonly Curve[];
  readonly grid?: readonly number[];
  /** which ten scoring images a class */
  readonly draw?: number;
  readonly protocol?: Protocol;
}

/** Metrics of the rows, by the parts of a `LossChange`. */
const metrics: readonly (readonly [metric: string, part: Exclude<keyof LossChange, "loss">])[] = [
  ["lossChange", "measured"],
  ["lossPredictedFirstOrder", "firstOrder"],
  ["lossPredictedDiagonal", "diagonal"],
  ["lossPredictedQuadratic", "gaussNewton"],
];

/**
 * Predicted and measured loss change of every mask, on the source's scoring images (those the scores saw), for each model, source
 * and curve. The quadratic form is that of all layers together; first order and second order are given apart, their sum is
 * the prediction.
 * @returns rows with metrics "lossChange", "lossPredictedFirstOrder", "lossPredictedDiagonal", "lossPredictedQuadratic" and, at
 * keep = 1 (score "dense"), "loss": squared error, mean over images and classes
 */
export async function secondOrder(settings: SecondOrderSettings, { progress, fresh }: RunOptions = {}): Promise<Row[]> {
  const { models, sources, curves, grid = KEEP_GRID, draw = 0, protocol = "clean" } = settings;
  if (models.length === 0 || sources.length === 0 || curves.length === 0)
    throw new RangeError("secondOrder: models, sources and curves must not be empty");
  const bar = progress?.(models.length * sources.length * curves.length, "masks");
  const rows: Row[] = [];
  let done = 0;
  for (const model of models) {
    const bench = new Workbench({ model, protocol, perClass: 1, evaluateOn: "test" });
    try {
      for (const source of sources)
        for (const [which, { scorer, rounds }] of curves.entries()) {
          const unit = { checkpoint: bench.checkpoint, protocol, source, draw, score: scorer.name, rounds, grid };
          const { value, seconds, commit } = await cached(
            "second-order",
            unit,
            async () => {
              const masks = await bench.masks(source, scorer, { grid, rounds, draw });
              const data = bench.scoringData(source, draw);
              try {
                return {
                  n: data.labels.length,
                  changes: changesOf(
                    bench.model(source),
                    data,
                    masks.map(({ mask }) => mask),
                  ),
                };
              } finally {
                data.x.dispose();
              }
            },
            { fresh },
          );
          const row = (score: string, keep: number, metric: string, number: number): Row => ({
            ...bench.columns,
            source,
            task: source,
            taskKind: "source",
            score,
            rounds: score === "dense" ? 1 : rounds,
            keep,
            draw,
            variant: "",
            metric,
            value: number,
            n: value.n,
            seconds,
            commit,
          });
          if (which === 0) rows.push(row("dense", 1, "loss", value.changes[0]!.loss));
          for (const [i, change] of value.changes.entries())
            for (const [metric, part] of metrics) rows.push(row(scorer.name, grid[i]!, metric, change[part]));
          await bar?.step(++done, `${scorer.name}, ${source}`);
        }
    } finally {
      bench.dispose();
    }
  }
  return rows;
}

function changesOf(model: Model, data: Batch, masks: readonly Mask[]): LossChange[] {
  function* steps(): Generator<Tree> {
    for (const mask of masks) {
      const step = removalStep(model, mask);
      try {
        yield step;
      } finally {
        disposeTree(step);
      }
    }
  }
  return lossChanges(model, data, steps());
}
