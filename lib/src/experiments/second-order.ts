/** What the second order predicts that a mask costs, beside what it costs. */

import { tf } from "../backend";
import { type LossChange, type LossExpansion, lossChanges, lossExpansion, lossMeanOverNC } from "../curvature";
import { removalStep } from "../masks";
import { withParams } from "../nets";
import { recalibratedNorms } from "../train";
import { disposeTree, pickTree, zipTree } from "../tree";
import type { Batch, Mask, Model, Protocol, Row, Tree } from "../types";
import { cached } from "./cache";
import { type Curve, checkPlan, KEEP_GRID, type RunOptions } from "./p1";
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

interface Change extends LossChange {
  /** measured change when norm statistics are those of the pruned net */
  readonly recalibrated: number;
}

/** Metrics of the rows, by the parts of a change. */
const METRICS: readonly (readonly [metric: string, part: Exclude<keyof Change, "loss">])[] = [
  ["lossChange", "measured"],
  ["lossPredictedFirstOrder", "firstOrder"],
  ["lossPredictedDiagonal", "diagonal"],
  ["lossPredictedQuadratic", "gaussNewton"],
  ["lossChangeRecalibrated", "recalibrated"],
];

/**
 * Predicted and measured loss change of every mask, on the source's scoring images (those the scores saw), for each model, source
 * and curve; cached like `p1`. First and second order are given apart, their sum is the prediction; the quadratic form is that of
 * all layers together. "Recalibrated" is the change after `train.recalibratedNorms` on the same images.
 * @returns rows with metrics "lossChange", "lossPredictedFirstOrder", "lossPredictedDiagonal", "lossPredictedQuadratic",
 * "lossChangeRecalibrated" and, at keep = 1 (score "dense"), "loss": squared error, mean over images and classes
 * @throws RangeError before work starts for models, sources, curves or a grid that do not fit
 */
export async function secondOrder(settings: SecondOrderSettings, { progress, fresh }: RunOptions = {}): Promise<Row[]> {
  const { models, sources, curves, grid = KEEP_GRID, draw = 0, protocol = "clean" } = settings;
  checkPlan(models, sources, curves, grid);
  const bar = progress?.(models.length * sources.length * curves.length, "masks");
  const rows: Row[] = [];
  let done = 0;
  for (const model of models) {
    const bench = new Workbench({ model, protocol, perClass: 1, evaluateOn: "test" });
    try {
      for (const source of sources) {
        const start = new Start(bench, source, draw);
        try {
          for (const [which, { scorer, rounds }] of curves.entries()) {
            const unit = { checkpoint: bench.checkpoint, protocol, source, draw, score: scorer.name, rounds, grid };
            const { value, seconds, commit } = await cached(
              "second-order",
              unit,
              async () => start.changes(await bench.masks(source, scorer, { grid, rounds, draw })),
              { fresh },
            );
            const row = (score: string, keep: number, metric: string, number: number): Row => ({
              ...bench.columns,
              source,
              task: source,
              taskKind: "source",
              score,
              rounds: keep === 1 ? 1 : rounds,
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
              for (const [metric, part] of METRICS) rows.push(row(scorer.name, grid[i]!, metric, change[part]));
            await bar?.step(++done, `${scorer.name}, ${source}`);
          }
        } finally {
          start.dispose();
        }
      }
    } finally {
      bench.dispose();
    }
  }
  return rows;
}

/** The dense model of a source with its scoring images, expanded when the first mask needs it. */
class Start {
  private known?: { readonly data: Batch; readonly expansion: LossExpansion };

  constructor(
    private readonly bench: Workbench,
    private readonly source: string,
    private readonly draw: number,
  ) {}

  changes(masks: readonly { readonly mask: Mask }[]): { n: number; changes: Change[] } {
    const model = this.bench.model(this.source);
    const { data, expansion } = this.expanded(model);
    const recalibrated: number[] = [];
    function* steps(): Generator<Tree> {
      for (const { mask } of masks) {
        const step = removalStep(model, mask);
        try {
          recalibrated.push(recalibratedLoss(model, data, step));
          yield step;
        } finally {
          disposeTree(step);
        }
      }
    }
    const changes = lossChanges(model, data, steps(), { expansion });
    return {
      n: data.labels.length,
      changes: changes.map((change, i) => ({ ...change, recalibrated: recalibrated[i]! - change.loss })),
    };
  }

  dispose(): void {
    if (this.known) tf.dispose([this.known.data.x, this.known.expansion] as never);
    this.known = undefined;
  }

  private expanded(model: Model): { readonly data: Batch; readonly expansion: LossExpansion } {
    if (this.known === undefined) {
      const data = this.bench.scoringData(this.source, this.draw);
      this.known = { data, expansion: lossExpansion(model, data) };
    }
    return this.known;
  }
}

function recalibratedLoss(model: Model, data: Batch, step: Tree): number {
  const weights = zipTree(step, pickTree(model.params, Object.keys(step)), (d, w) => tf.add(w, d));
  const pruned = withParams(model, weights);
  const statistics = recalibratedNorms(pruned, data.x);
  try {
    return lossMeanOverNC(withParams(pruned, statistics), data);
  } finally {
    disposeTree(weights);
    disposeTree(statistics);
  }
}
