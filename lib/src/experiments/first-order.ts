/** Is the start a minimum: what the gradient at the dense weights is, and what it would gain. */

import { tf } from "../backend";
import { gnProduct, lossAlong, lossGradient } from "../curvature";
import { prunableWeights } from "../nets";
import { disposeTree, dotTree, mapTree } from "../tree";
import type { Batch, Model, Protocol, Row } from "../types";
import { cached } from "./cache";
import { checkPlan, KEEP_GRID, type RunOptions } from "./p1";
import { Workbench } from "./workbench";

export interface FirstOrderSettings {
  /** names in the zoo */
  readonly models: readonly string[];
  readonly sources: readonly string[];
  /** disjoint draws of scoring images, default [0] */
  readonly draws?: readonly number[];
  readonly protocol?: Protocol;
}

/** At the dense weights theta, with g = dL / dtheta for the prunable weights and G the Gauss-Newton matrix. */
interface Slope {
  readonly loss: number;
  /** |g|, loss per weight */
  readonly gradientNorm: number;
  /** g . theta = dL((1 + e) theta) / de: what growing all weights alike does */
  readonly gradientAlongWeights: number;
  /** |g . theta| / (|g| |theta|) */
  readonly gradientCosine: number;
  /** 1/2 (g . g)^2 / (g^T G g): the loss that the best step along -g removes, to second order */
  readonly gradientGainPredicted: number;
  /** L(theta) - L(theta - t g) for that step, t = g . g / (g^T G g) */
  readonly gradientGain: number;
}

/**
 * The gradient of the source's loss at the dense weights, with the ridge head, on the source's scoring images (those the scores see),
 * for each model, source and draw; cached like `p1`. At a minimum all but the loss are 0. What a mask's own step makes of the gradient
 * (g . d) is in the rows of `secondOrder`.
 * @returns rows at keep = 1 (score "dense") with metrics "loss" (squared error, mean over images and classes), "gradientNorm" |g|,
 *   "gradientAlongWeights" g . theta, "gradientCosine" |g . theta| / (|g| |theta|), "gradientGainPredicted" 1/2 (g . g)^2 / (g^T G g)
 *   and "gradientGain", the loss that the same step along -g removes in fact
 * @throws RangeError before work starts for models or sources that do not fit
 */
export async function firstOrder(settings: FirstOrderSettings, { progress, fresh }: RunOptions = {}): Promise<Row[]> {
  const { models, sources, draws = [0], protocol = "clean" } = settings;
  checkPlan(models, sources, [], KEEP_GRID);
  const bar = progress?.(models.length * sources.length * draws.length, "gradients");
  const rows: Row[] = [];
  let done = 0;
  for (const model of models) {
    const bench = new Workbench({ model, protocol, perClass: 1, evaluateOn: "test" });
    try {
      for (const source of sources)
        for (const draw of draws) {
          const unit = { checkpoint: bench.checkpoint, protocol, source, draw };
          const { value, seconds, commit } = await cached(
            "first-order",
            unit,
            async () => slopeOf(bench, source, draw),
            {
              fresh,
            },
          );
          for (const [metric, number] of Object.entries(value.slope))
            rows.push({
              ...bench.columns,
              source,
              task: source,
              taskKind: "source",
              score: "dense",
              rounds: 1,
              keep: 1,
              draw,
              variant: "",
              metric,
              value: number,
              n: value.n,
              seconds,
              commit,
            });
          await bar?.step(++done, `${model}, ${source}`);
        }
    } finally {
      bench.dispose();
    }
  }
  return rows;
}

function slopeOf(bench: Workbench, source: string, draw: number): { n: number; slope: Slope } {
  const data = bench.scoringData(source, draw);
  try {
    return { n: data.labels.length, slope: slopeAt(bench.model(source), data) };
  } finally {
    data.x.dispose();
  }
}

function slopeAt(model: Model, data: Batch): Slope {
  const weights = prunableWeights(model);
  const { loss, gradient } = lossGradient(model, data);
  const product = gnProduct(model, data, gradient);
  const squared = dotTree(gradient, gradient);
  const curvature = dotTree(gradient, product);
  disposeTree(product);
  const along = dotTree(gradient, weights);
  const size = curvature > 0 ? squared / curvature : 0;
  const step = mapTree(gradient, (g) => tf.mul(g, -size));
  disposeTree(gradient);
  try {
    return {
      loss,
      gradientNorm: Math.sqrt(squared),
      gradientAlongWeights: along,
      gradientCosine: Math.abs(along) / Math.sqrt(squared * dotTree(weights, weights)),
      gradientGainPredicted: (squared * size) / 2,
      gradientGain: loss - lossAlong(model, data, step, [1])[0]!,
    };
  } finally {
    disposeTree(step);
  }
}
