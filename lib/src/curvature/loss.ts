/** A task's loss, and how it changes along a step. */
import { tf } from "../backend";
import { withParams } from "../nets";
import { disposeTree, dotTree, mapTree, pickTree, zipTree } from "../tree";
import type { Batch, Model, Tree } from "../types";
import { TreeSum } from "./accumulate";
import { type ChunkOptions, forEachChunk, forEachPrediction, gnDiag, type LossOptions } from "./gauss-newton";
import { squaredErrorMeanOverNC } from "./losses";
import { jvp, vjp } from "./pass";

/** L = 1 / (N C) * sum_n sum_c (f_nc - y_nc)^2. */
export function lossMeanOverNC(model: Model, data: Batch, { memoryBytes }: ChunkOptions = {}): number {
  return lossValue(model, data, { memoryBytes });
}

/** The loss of the task, reduced as its name says. */
export function lossValue(
  model: Model,
  data: Batch,
  { loss = squaredErrorMeanOverNC(), memoryBytes }: LossOptions = {},
): number {
  const { n, classes } = taskSize(model, data);
  let sum = 0;
  forEachPrediction(model, data.x, memoryBytes, (outputs, from, size) => {
    sum += loss.total(outputs, data.labels.subarray(from, from + size));
  });
  return sum / loss.divisor(n, classes);
}

/**
 * The loss and its gradient for the prunable weights.
 * @returns gradient: tree shaped like the prunable weights, loss per weight; the caller disposes it
 */
export function lossGradient(
  model: Model,
  data: Batch,
  { loss = squaredErrorMeanOverNC(), memoryBytes }: LossOptions = {},
): { loss: number; gradient: Tree } {
  const { n, classes } = taskSize(model, data);
  const divisor = loss.divisor(n, classes);
  const sum = new TreeSum();
  let total = 0;
  try {
    forEachChunk(model, data.x, 1, memoryBytes, (trace, from, size) => {
      const labels = data.labels.subarray(from, from + size);
      total += loss.total(trace.outputs, labels);
      const gradient = vjp(trace, loss.gradient(trace.outputs, labels), model.net.prunable);
      for (const [key, g] of Object.entries(gradient)) sum.add(key, g);
    });
    return { loss: total / divisor, gradient: sum.finish(1 / divisor, model.net.prunable) };
  } finally {
    sum.dispose();
  }
}

/** What a step is predicted to cost, and what it costs. All in units of the loss. */
export interface LossChange {
  readonly loss: number;
  /** L(theta + d) - L(theta) */
  readonly measured: number;
  /** g . d */
  readonly firstOrder: number;
  /** 1/2 sum_j d_j^2 G_jj */
  readonly diagonal: number;
  /** 1/2 d^T G d, all layers together; for the squared error 1 / (N C) sum |J d|^2 */
  readonly gaussNewton: number;
}

/**
 * Predicted and measured change of the loss when the prunable weights move by `step` (for a mask: `masks.removalStep`).
 * @param step tree shaped like the prunable weights
 */
export function lossChange(model: Model, data: Batch, step: Tree, options: LossOptions = {}): LossChange {
  return lossChanges(model, data, [step], options)[0]!;
}

/** What a second-order prediction is made of, at one point. */
export interface LossExpansion {
  readonly loss: number;
  /** shaped like the prunable weights */
  readonly gradient: Tree;
  /** of the Gauss-Newton matrix, shaped like the prunable weights */
  readonly diagonal: Tree;
}

/** Loss, gradient and Gauss-Newton diagonal; the caller disposes the trees. */
export function lossExpansion(model: Model, data: Batch, options: LossOptions = {}): LossExpansion {
  return { ...lossGradient(model, data, options), diagonal: gnDiag(model, data, options) };
}

export interface LossChangesOptions extends LossOptions {
  /** of this very model, data and loss, when it is known; it is not disposed. Default: computed, once for all steps */
  readonly expansion?: LossExpansion;
}

/**
 * The same for several steps from the same weights.
 * @param steps taken one at a time: a generator may dispose a step when it is asked for the next
 */
export function lossChanges(
  model: Model,
  data: Batch,
  steps: Iterable<Tree>,
  options: LossChangesOptions = {},
): LossChange[] {
  const { n, classes } = taskSize(model, data);
  const { loss: kind = squaredErrorMeanOverNC() } = options;
  const { loss, gradient, diagonal } = options.expansion ?? lossExpansion(model, data, options);
  try {
    return Array.from(steps, (step) => {
      const squares = mapTree(step, (d) => tf.square(d));
      try {
        let quadratic = 0;
        forEachChunk(model, data.x, 1, options.memoryBytes, (trace) => {
          const moved = jvp(trace, { params: step });
          quadratic += tf.sum(tf.mul(moved, kind.hessianProduct(trace.outputs, moved))).dataSync()[0]!;
        });
        return {
          loss,
          measured: lossAlong(model, data, step, [1], options)[0]! - loss,
          firstOrder: dotTree(gradient, step),
          diagonal: dotTree(diagonal, squares) / 2,
          gaussNewton: quadratic / 2 / kind.divisor(n, classes),
        };
      } finally {
        disposeTree(squares);
      }
    });
  } finally {
    if (!options.expansion) {
      disposeTree(gradient);
      disposeTree(diagonal);
    }
  }
}

/**
 * L(theta + t d) for every t of `shares`: the loss on the straight way from the weights (t = 0) to the end of the step (t = 1).
 * @param step tree shaped like the prunable weights
 */
export function lossAlong(
  model: Model,
  data: Batch,
  step: Tree,
  shares: readonly number[],
  options: LossOptions = {},
): number[] {
  const bad = shares.find((t) => !Number.isFinite(t));
  if (bad !== undefined) throw new RangeError(`lossAlong: shares must be finite numbers, got ${bad}`);
  const weights = pickTree(model.params, Object.keys(step));
  return shares.map((t) => {
    const moved = zipTree(step, weights, (d, w) => tf.tidy(() => tf.add(w, tf.mul(d, t))));
    try {
      return lossValue(withParams(model, moved), data, options);
    } finally {
      disposeTree(moved);
    }
  });
}

/** N and C. @throws without a head, without images, or with another number of labels */
export function taskSize(model: Model, data: Batch): { n: number; classes: number } {
  if (model.head === undefined) throw new Error("loss: the model needs a head (the outputs are the task's)");
  const n = data.x.shape[0];
  if (n === 0 || n !== data.labels.length)
    throw new RangeError(
      `loss: data must hold as many labels as images (at least one), got ${data.labels.length} for ${n}`,
    );
  return { n, classes: model.head.weight.shape[1] };
}
