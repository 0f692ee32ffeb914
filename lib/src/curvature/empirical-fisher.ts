/**
 * The EMPIRICAL Fisher matrix F = 1 / N sum_n g_n g_n^T from the gradients g_n of single images at their own labels, as Fisher pruning and
 * WoodFisher use it. It weights directions by what is still wrong: not the Gauss-Newton matrix, and zero at a perfect fit.
 * g_n is the gradient of the loss of image n alone (squared error: mean over C; F has the unit loss^2 / weight^2).
 */
import { operations, tf } from "../backend";
import { lastAxis, type Point, ruleOf } from "../layers";
import type { Batch, Model, NetNode, Tensor, Tensor3D, Tree } from "../types";
import { TreeSum } from "./accumulate";
import { addChunks, damped, filtersFirst, fromChunks, layerGroups, toChunks } from "./chunk-inverse";
import { forEachChunk, type LossOptions, MEMORY_BYTES } from "./gauss-newton";
import { taskSize } from "./loss";
import { squaredErrorMeanOverNC } from "./losses";
import { backward } from "./pass";
import { inversePositive } from "./spectrum/dense";

/**
 * Diagonal of F: 1 / N sum_n (d l_n / d theta_j)^2. Cost of a gradient and of one per-image weight gradient.
 * @returns tree shaped like the prunable weights, >= 0; the caller disposes it
 * @throws Error without a head, or with another number of labels than images
 */
export function empiricalFisherDiag(model: Model, data: Batch, options: LossOptions = {}): Tree {
  const { n } = taskSize(model, data);
  const { memoryBytes = MEMORY_BYTES } = options;
  const sum = new TreeSum();
  try {
    forEachGradient(model, data, options, model.net.prunable, (key, node, point, dy) =>
      sum.add(
        key,
        tf.tidy(() => squares(node, point, dy, memoryBytes)),
      ),
    );
    return sum.finish(1 / n, model.net.prunable);
  } finally {
    sum.dispose();
  }
}

export interface FisherChunkOptions extends LossOptions {
  /** weights a block: consecutive inputs of ONE output filter, as in `gnChunkInverseDiagonal`; as many as a filter has: whole filters */
  readonly chunk?: number;
  /** lambda = damping times the mean of the diagonal of F over the prunable weights */
  readonly damping?: number;
  /** 1 for weights that are in the problem, 0 for removed ones (default: all 1) */
  readonly alive?: Tree;
}

/**
 * [(lambda I + F_BB)^-1]_jj for every prunable weight j in its block B. Blocks of up to N weights are inverted as they are, longer
 * ones by Woodbury's identity with an N x N system each: (1 - g_j^T (lambda N I + K)^-1 g_j) / lambda, K = sum_j g_j g_j^T over the block.
 * @returns tree shaped like the prunable weights; the caller disposes it
 */
export function empiricalFisherChunkInverseDiagonal(model: Model, data: Batch, options: FisherChunkOptions = {}): Tree {
  const { chunk = 32, damping = 0.01, alive } = options;
  if (!(Number.isInteger(chunk) && chunk >= 1)) throw new RangeError(`chunk must be a positive integer, got ${chunk}`);
  if (!(damping > 0)) throw new RangeError(`damping must be positive, got ${damping}`);
  const { n } = taskSize(model, data);
  const lambda = damping * meanDiagonal(model, data, options);
  const inverse: Record<string, Tensor> = {};
  for (const keys of layerGroups(model, Math.min(chunk, n))) {
    const made = chunk <= n ? fisherChunks(model, data, keys, chunk, options) : gradients(model, data, keys, options);
    for (const key of keys) {
      const weight = model.params[key]!;
      inverse[key] = tf.tidy(() => {
        const kept = alive && toChunks(tf.reshape(filtersFirst(alive[key]!), [1, lastAxis(weight), -1]), chunk);
        const block = made[key] as Tensor3D;
        return fromChunks(chunk <= n ? damped(block, lambda, kept) : woodbury(block, lambda, chunk, kept), weight);
      });
      made[key]!.dispose();
    }
  }
  return Object.fromEntries(model.net.prunable.map((key) => [key, inverse[key]!]));
}

type VisitGradient = (key: string, node: NetNode, point: Point, dy: Tensor) => void;

/** Sends d l_n / d f_n of every image back; f sees each layer's cotangents [n, ...]. Inside a tidy. */
function forEachGradient(
  model: Model,
  data: Batch,
  { loss = squaredErrorMeanOverNC(), memoryBytes }: LossOptions,
  keys: readonly string[],
  f: VisitGradient,
): void {
  const { classes } = taskSize(model, data);
  forEachChunk(model, data.x, 1, memoryBytes, (trace, from, size) => {
    const gradient = loss.gradient(trace.outputs, data.labels.subarray(from, from + size));
    backward(trace, tf.div(gradient, loss.divisor(1, classes)), (node, point, dy) => {
      const key = node.params.weight;
      if (key !== undefined && ruleOf(node).weighted && keys.includes(key)) f(key, node, point, dy);
    });
  });
}

/** sum_n (A_n^T dy_n)^2, as many images at once as the budget allows, in the shape of the weight. */
function squares(node: NetNode, point: Point, dy: Tensor, memoryBytes: number): Tensor {
  const { shape } = point.params.weight!;
  const a = ruleOf(node).weighted!.patches(point);
  const [n, positions, k] = a.shape;
  const out = lastAxis(dy);
  if (positions === 1) {
    // no weight sharing: the square of a product is the product of the squares
    const [inputs, cotangents] = [tf.reshape(a, [n, k]), tf.reshape(dy, [n, out])].map((t) => tf.square(t));
    return tf.reshape(tf.matMul(inputs!, cotangents!, true), shape);
  }
  const rows = tf.reshape(dy, [n, positions, out]);
  const images = Math.max(1, Math.min(n, Math.floor(memoryBytes / (4 * k * out))));
  const parts: Tensor[] = [];
  for (let from = 0; from < n; from += images) {
    const size = Math.min(images, n - from);
    const part = (t: Tensor): Tensor => tf.slice(t, [from, 0, 0], [size, positions, lastAxis(t)]);
    parts.push(tf.tidy(() => operations.sumSquares(tf.matMul(part(a), part(rows), true), [0])));
  }
  return tf.reshape(parts.length === 1 ? parts[0]! : tf.addN(parts), shape);
}

/** Blocks of F, [filters * chunks, chunk, chunk]. */
function fisherChunks(
  model: Model,
  data: Batch,
  keys: readonly string[],
  chunk: number,
  options: FisherChunkOptions,
): Tree {
  const sum = new TreeSum();
  try {
    forEachGradient(model, data, options, keys, (key, node, point, dy) =>
      addChunks(sum, key, node, point, dy, chunk, options.memoryBytes),
    );
    return sum.finish(1 / data.labels.length, keys);
  } finally {
    sum.dispose();
  }
}

/** Gradients of single images by layer, filters first: [N, out, K]. */
function gradients(model: Model, data: Batch, keys: readonly string[], options: LossOptions): Tree {
  const parts: Record<string, Tensor3D[]> = Object.fromEntries(keys.map((key) => [key, []]));
  try {
    forEachGradient(model, data, options, keys, (key, node, point, dy) => {
      const part = tf.tidy(() => {
        const a = ruleOf(node).weighted!.patches(point);
        return tf.matMul(tf.reshape(dy, [a.shape[0], a.shape[1], lastAxis(dy)]), a, true);
      });
      parts[key]!.push(tf.keep(part) as Tensor3D);
    });
    const lost = keys.find((key) => parts[key]!.length === 0);
    if (lost !== undefined) throw new Error(`'${lost}' does not reach the outputs of the net: it has no derivative`);
    return Object.fromEntries(keys.map((key) => [key, tf.concat3d(parts[key]!, 0)]));
  } finally {
    tf.dispose(parts as never);
  }
}

/** diag((lambda I + 1/N g^T g)^-1) of every chunk, [filters * chunks, chunk]; g: gradients [N, out, K]. */
function woodbury(gradients: Tensor3D, lambda: number, chunk: number, kept?: Tensor3D): Tensor {
  const n = gradients.shape[0];
  const rows = tf.transpose(toChunks(gradients, chunk), [1, 0, 2]);
  const live = kept ? tf.mul(rows, tf.reshape(kept, [rows.shape[0]!, 1, rows.shape[2]!])) : rows;
  const gram = tf.matMul(live, live, false, true).dataSync();
  const systems = new Float32Array(gram.length);
  for (let from = 0; from < gram.length; from += n * n) {
    const system = Float64Array.from(gram.subarray(from, from + n * n));
    for (let i = 0; i < n; i++) system[i * n + i]! += lambda * n;
    systems.set(inversePositive(system, n), from);
  }
  const inner = tf.sum(tf.mul(live, tf.matMul(tf.tensor3d(systems, [rows.shape[0]!, n, n]), live)), 1);
  return tf.div(tf.sub(1, inner), lambda);
}

function meanDiagonal(model: Model, data: Batch, { loss, memoryBytes }: LossOptions): number {
  const diagonal = Object.values(empiricalFisherDiag(model, data, { loss, memoryBytes }));
  const sum = diagonal.reduce((total, t) => total + tf.tidy(() => tf.sum(t).dataSync()[0]!), 0);
  const count = diagonal.reduce((total, t) => total + t.size, 0);
  tf.dispose(diagonal);
  if (!(sum > 0))
    throw new Error("empiricalFisherChunkInverseDiagonal: the gradient of every image is zero (a perfect fit)");
  return sum / count;
}
