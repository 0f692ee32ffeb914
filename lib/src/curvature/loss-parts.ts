/** The change of a loss along a step, split into what the second order knows and what it does not. */
import { tf } from "../backend";
import { type Params, type Point, ruleOf } from "../layers";
import { disposeTree, dotTree, pickTree } from "../tree";
import type { Batch, Model, NetNode, Tensor, Tensor2D, Tree } from "../types";
import { forEachChunk, type LossOptions } from "./gauss-newton";
import { hessianResidualProduct } from "./hessian";
import { lossAlong, lossValue, taskSize } from "./loss";
import { rootColumns, squaredErrorMeanOverNC } from "./losses";
import { backward, type Trace } from "./pass";

/** What one layer's part d_B of a step contributes by itself. */
export interface LayerPart {
  readonly firstOrder: number;
  /** 1/2 d_B^T G_BB d_B */
  readonly ownLayer: number;
}

/**
 * L(theta + d) - L(theta) = firstOrder + ownLayer + crossLayer + residualCurvature + remainder, in units of the loss.
 * In a ReLU net a step inside one layer has no crossLayer and no residualCurvature, and its remainder is what switched ReLUs do:
 * exactly 0 until one switches. Across layers, and with GELU or attention, the remainder holds every higher order too.
 */
export interface LossParts {
  /** L(theta) */
  readonly loss: number;
  /** L(theta + d) - L(theta) */
  readonly measured: number;
  /** g . d */
  readonly firstOrder: number;
  /** 1/2 sum_B d_B^T G_BB d_B, a block B is one layer's weight */
  readonly ownLayer: number;
  /** the rest of 1/2 d^T G d: what layers do together */
  readonly crossLayer: number;
  /** 1/2 d^T (H - G) d: the curvature of the outputs, weighted by what they miss their targets by */
  readonly residualCurvature: number;
  /** measured minus all of these */
  readonly remainder: number;
  /** by the weight's key, in order of execution, of the layers that the step moves */
  readonly layers: Readonly<Record<string, LayerPart>>;
  /** coupling[a][b] = 1/2 d_A^T G_AB d_B for the layers in the same order; the sum of all is ownLayer + crossLayer */
  readonly coupling: readonly (readonly number[])[];
}

/**
 * The parts for several steps from the same weights. For the task of another head give the model with that head and its images: then
 * 2 (ownLayer + crossLayer) is the curvature d^T G d of that task along the step.
 * Cost: C + 2 forward passes for all steps together, and about 11 a step.
 * @param steps trees of prunable weights (for a mask: `masks.removalStep`); weights that a step leaves out stay
 * @throws Error without a head or naming an entry of a step that fits no prunable weight
 */
export function lossParts(model: Model, data: Batch, steps: readonly Tree[], options: LossOptions = {}): LossParts[] {
  const { n, classes } = taskSize(model, data);
  const { loss: kind = squaredErrorMeanOverNC() } = options;
  for (const step of steps) assertStep(model, step);
  const divisor = kind.divisor(n, classes);
  const loss = lossValue(model, data, options);
  const slopes = layerSlopes(model, data, steps, options);
  return steps.map((step, s) => {
    const keys = model.net.prunable.filter((key) => key in step);
    const blocks = keys.map((key) => slopes[s]!.get(key)!);
    // the last of the C + 1 directions is the gradient of the loss, the others are the columns of its root
    const columns = n * classes;
    const first = blocks.map((u) => sumOf(u.subarray(columns)) / divisor);
    const coupling = blocks.map((u) =>
      blocks.map((v) => (kind.rootWeight / (2 * divisor)) * dot(u.subarray(0, columns), v.subarray(0, columns))),
    );
    const firstOrder = sumOf(first);
    const ownLayer = sumOf(coupling.map((row, i) => row[i]!));
    const crossLayer = sumOf(coupling.flatMap((row, i) => row.filter((_, j) => j !== i)));
    const residualCurvature = residualForm(model, data, step, options) / 2;
    const measured = lossAlong(model, data, step, [1], options)[0]! - loss;
    return {
      loss,
      measured,
      firstOrder,
      ownLayer,
      crossLayer,
      residualCurvature,
      remainder: measured - firstOrder - ownLayer - crossLayer - residualCurvature,
      layers: Object.fromEntries(keys.map((key, i) => [key, { firstOrder: first[i]!, ownLayer: coupling[i]![i]! }])),
      coupling,
    };
  });
}

/**
 * u[step].get(key)[c N + n] = r_nc^T J_n,B d_B for the C columns r of the root and the loss's gradient: the layer's output moved by d_B alone,
 * times the cotangent of that output. One sweep for all layers and steps.
 */
function layerSlopes(
  model: Model,
  data: Batch,
  steps: readonly Tree[],
  { loss = squaredErrorMeanOverNC(), memoryBytes }: LossOptions,
): Map<string, Float64Array>[] {
  const { n, classes } = taskSize(model, data);
  const slopes = steps.map(
    (step) => new Map(Object.keys(step).map((key) => [key, new Float64Array((classes + 1) * n)])),
  );
  const cotangents = ({ outputs }: Trace, from: number, first: number, m: number): Tensor => {
    const parts: Tensor2D[] = [];
    if (first < classes) parts.push(rootColumns(loss, outputs, first, Math.min(m, classes - first)));
    if (first + m > classes) parts.push(loss.gradient(outputs, data.labels.subarray(from, from + outputs.shape[0])));
    return tf.concat2d(parts, 0);
  };
  forEachChunk(model, data.x, classes + 1, memoryBytes, (trace, from, size, groups) => {
    for (const [first, m] of groups)
      backward(trace, cotangents(trace, from, first, m), (node, point, dy) => {
        for (const [s, step] of steps.entries())
          for (const [role, key] of Object.entries(node.params)) {
            if (step[key] === undefined) continue;
            const u = slopes[s]!.get(key)!;
            const part = slopesOf(node, point, dy, { [role]: step[key]! });
            for (let c = 0; c < m; c++)
              for (let i = 0; i < size; i++) u[(first + c) * n + from + i]! += part[c * size + i]!;
          }
      });
  });
  return slopes;
}

/** <tangent of the output, dy_m> for every direction m and image, [m n] */
function slopesOf(node: NetNode, point: Point, dy: Tensor, moved: Params): ArrayLike<number> {
  return tf.tidy(() => {
    const tangent = ruleOf(node).jvp(
      point,
      point.x.map(() => null),
      moved,
    )!;
    const n = tangent.shape[0]!;
    const stacked = tf.reshape(dy, [dy.shape[0]! / n, n, tangent.size / n]);
    return tf.sum(tf.mul(stacked, tf.reshape(tangent, [1, n, tangent.size / n])), 2).dataSync();
  });
}

/** d^T (H - G) d */
function residualForm(model: Model, data: Batch, step: Tree, options: LossOptions): number {
  const product = hessianResidualProduct(model, data, step, options);
  try {
    return dotTree(step, pickTree(product, Object.keys(step)));
  } finally {
    disposeTree(product);
  }
}

function assertStep({ net, params }: Model, step: Tree): void {
  for (const [key, d] of Object.entries(step)) {
    if (!net.prunable.includes(key)) throw new Error(`lossParts: ${net.name} has no prunable weight '${key}'`);
    const { shape } = params[key]!;
    if (shape.join() !== d.shape.join())
      throw new Error(`lossParts: step '${key}' must be [${shape}], got [${d.shape}]`);
  }
}

function sumOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
