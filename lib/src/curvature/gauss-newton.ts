/**
 * Gauss-Newton matrix of a loss; by default of the mean squared error over N images AND C outputs, for which
 *   G = 2 / (N C) * sum_n sum_c J_nc^T J_nc,   J_nc = d f_nc / d theta.
 * Other losses: the C outputs give way to the C columns r of a root of the loss's Hessian in the outputs, G = weight * sum_n sum_r (r^T J_n)^T r^T J_n.
 * For ReLU nets with frozen norms its diagonal and its one-layer blocks are those of the Hessian (the net is piecewise
 * linear in one layer's weights); for GELU and attention they are not.
 */
import { operations, stream, tf } from "../backend";
import { lastAxis, type Point, ruleOf } from "../layers";
import { outputShapes } from "../nets";
import type { Batch, Model, NetNode, Tensor, Tensor2D, Tensor3D, Tree } from "../types";
import { TreeSum } from "./accumulate";
import { type Loss, squaredErrorMeanOverNC, unitProbes } from "./losses";
import { backward, forward, jvp, predict, type Trace, vjp } from "./pass";

export interface ChunkOptions {
  /**
   * what stacked cotangents, and the Jacobians of a layer, may take each, in bytes (default 256 MiB); for products with the Hessian, all that is
   * kept of the images taken at a time. At least one image is always taken
   */
  readonly memoryBytes?: number;
}

/** default of `memoryBytes` */
export const MEMORY_BYTES: number = 256 * 2 ** 20;

export interface LossOptions extends ChunkOptions {
  /** default: `squaredErrorMeanOverNC()` */
  readonly loss?: Loss;
}

export interface GnDiagOptions extends LossOptions {
  /** exact: all C outputs; rademacher: `draws` random sign combinations of the outputs per image (unbiased) */
  readonly method?: "exact" | "rademacher";
  readonly draws?: number;
  readonly seed?: number;
}

/**
 * Diagonal of G, one number per prunable weight: 2 / (N C) * sum_n sum_c (d f_nc / d theta_j)^2.
 * Exact: cost of 1 + 2 C forward passes. Equals the Hessian diagonal for ReLU nets with frozen norms, not for GELU.
 * @param model with a head; norms are taken as frozen
 * @param data  x [n, height, width, channels] as in training; labels unused
 * @returns tree shaped like the prunable weights, loss per weight^2, >= 0; the caller disposes it
 * @throws Error without a head or images; RangeError for options out of range
 */
export function gnDiag(model: Model, data: Batch, options: GnDiagOptions = {}): Tree {
  return gaussNewton(model, data, { ...options, diagonal: true }).diagonal!;
}

/**
 * Block-diagonal Gauss-Newton product of the weights with themselves, one block a layer:
 *   (G_BB theta_B)_j = 2 / (N C) * sum_n sum_c (J_nc,B theta_B) J_nc,j
 * for all layers at once in C + 2 forward costs: J_nc,B theta_B is the dot product of the layer's linear output with its
 * cotangent, and one weight gradient a layer collects the sum. Sum_j theta_j (G theta)_j over a block is twice the
 * second-order loss change of removing the block.
 * @returns tree shaped like the prunable weights; the caller disposes it
 */
export function gnBlockProduct(model: Model, data: Batch, options: LossOptions = {}): Tree {
  return gaussNewton(model, data, { ...options, blocks: true }).blockProduct!;
}

/** Both in one set of sweeps: 2 + 2 C forward costs. */
export function gnDiagAndBlockProduct(
  model: Model,
  data: Batch,
  options: GnDiagOptions = {},
): { diagonal: Tree; blockProduct: Tree } {
  const { diagonal, blockProduct } = gaussNewton(model, data, { ...options, diagonal: true, blocks: true });
  return { diagonal: diagonal!, blockProduct: blockProduct! };
}

interface Wanted extends GnDiagOptions {
  readonly diagonal?: boolean;
  readonly blocks?: boolean;
}

function gaussNewton(model: Model, data: Batch, options: Wanted): { diagonal?: Tree; blockProduct?: Tree } {
  const { n, classes } = checked(model, data);
  const { loss = squaredErrorMeanOverNC() } = options;
  const { probes, directions, weight } = probesOf(options, n, classes);
  const diagonal = new TreeSum();
  const products = new TreeSum();
  try {
    forEachChunk(model, data.x, directions, options.memoryBytes, (trace, from, chunkN, group) => {
      const collected: Record<string, Tensor> = {};
      for (const [first, m] of group) {
        backward(trace, loss.root(trace.outputs, probes(from, chunkN, first, m)), (node, point, dy) => {
          const key = node.params.weight;
          if (key === undefined || !ruleOf(node).weighted || !model.net.prunable.includes(key)) return;
          if (options.diagonal)
            diagonal.add(
              key,
              tf.tidy(() => perImageSquares(node, point, dy, options.memoryBytes ?? MEMORY_BYTES)),
            );
          if (options.blocks) {
            const part = blockCotangent(node, point, dy);
            collected[node.id] = collected[node.id] ? tf.add(collected[node.id]!, part) : part;
          }
        });
      }
      for (const node of model.net.nodes) {
        const cotangent = collected[node.id];
        if (cotangent)
          products.add(node.params.weight!, ruleOf(node).paramGrad!(trace.points[node.id]!, cotangent).weight!);
      }
    });
    const factor = (loss.rootWeight / loss.divisor(n, classes)) * weight;
    return {
      ...(options.diagonal ? { diagonal: diagonal.finish(factor, model.net.prunable) } : {}),
      ...(options.blocks ? { blockProduct: products.finish(factor, model.net.prunable) } : {}),
    };
  } finally {
    diagonal.dispose();
    products.dispose();
  }
}

type Probes = (from: number, n: number, first: number, m: number) => Tensor2D;

/** Coefficients of the root's columns, [m n, C] direction-major: unit vectors (exact) or random signs. */
export function probesOf(
  { method = "exact", draws = 1, seed = 0 }: GnDiagOptions,
  n: number,
  classes: number,
): { probes: Probes; directions: number; weight: number } {
  if (method === "exact") {
    return { probes: (_, chunkN, first, m) => unitProbes(classes, chunkN, first, m), directions: classes, weight: 1 };
  }
  if (method !== "rademacher") throw new RangeError(`method must be 'exact' or 'rademacher', got '${method}'`);
  if (!(Number.isInteger(draws) && draws >= 1)) throw new RangeError(`draws must be a positive integer, got ${draws}`);
  const numbers = stream(seed, "probes");
  const signs = Float32Array.from({ length: draws * n * classes }, () => numbers.sign());
  const probes: Probes = (from, chunkN, first, m) => {
    const all = tf.tensor3d(signs, [draws, n, classes]);
    return tf.reshape(tf.slice(all, [first, from, 0], [m, chunkN, classes]), [m * chunkN, classes]) as Tensor2D;
  };
  return { probes, directions: draws, weight: 1 / draws };
}

/** sum over images i and stacked directions m of (A_i^T dy_mi)^2, in the shape of the weight. */
export function perImageSquares(node: NetNode, point: Point, dy: Tensor, memoryBytes: number): Tensor {
  const weight = point.params.weight!;
  const a = ruleOf(node).weighted!.patches(point);
  const [n, positions, k] = a.shape;
  const out = lastAxis(weight);
  const m = dy.shape[0]! / n;
  if (positions === 1) {
    // no weight sharing: the square of a product is the product of the squares
    const cotangents = operations.sumSquares(tf.reshape(dy, [m, n, out]), [0]);
    return tf.reshape(tf.matMul(tf.square(tf.reshape(a, [n, k])), cotangents as never, true), weight.shape);
  }
  const pairs = (positions * (positions + 1)) / 2;
  const squares = preferPairs(pairs, m, positions, k)
    ? pairSquares(a, dy, m, memoryBytes)
    : jacobianSquares(a, dy, m, memoryBytes);
  return tf.reshape(squares, weight.shape);
}

/**
 * The pair form costs `pairs` multiplications a weight instead of `m * positions`, and in place of the Jacobian, m k out numbers an image,
 * it writes the cotangents by pairs three times over, m pairs out each.
 */
const preferPairs = (pairs: number, m: number, positions: number, k: number): boolean =>
  pairs <= m * positions && 3 * pairs <= k;

/** sum_m,i (sum_p A_ipk dy_mipo)^2 by the per-image Jacobians themselves, [m, images, K, out], as many images at once as the budget allows. */
function jacobianSquares(a: Tensor3D, dy: Tensor, m: number, memoryBytes: number): Tensor {
  const [n, positions, k] = a.shape;
  const out = lastAxis(dy);
  const cotangents = tf.reshape(dy, [m, n, positions, out]);
  const images = Math.max(1, Math.min(n, Math.floor(memoryBytes / (4 * m * k * out))));
  const parts: Tensor[] = [];
  for (let from = 0; from < n; from += images) {
    const size = Math.min(images, n - from);
    parts.push(
      tf.tidy(() => {
        const patches = tf.reshape(tf.slice(a, [from, 0, 0], [size, positions, k]), [1, size, positions, k]);
        const jacobian = tf.matMul(patches, tf.slice(cotangents, [0, from, 0, 0], [m, size, positions, out]), true);
        return operations.sumSquares(jacobian, [0, 1]);
      }),
    );
  }
  return parts.length === 1 ? parts[0]! : tf.addN(parts);
}

/** The same sum over pairs of positions: sum_i sum_p,q (A_ipk A_iqk) (sum_m dy_mipo dy_miqo). */
function pairSquares(a: Tensor3D, dy: Tensor, m: number, memoryBytes: number): Tensor {
  const [n, positions, k] = a.shape;
  const out = lastAxis(dy);
  const cotangents = tf.reshape(dy, [m, n, positions, out]);
  const floatsPerImage = ((positions * (positions + 1)) / 2) * (3 * m * out + 3 * k);
  const images = Math.min(n, Math.max(1, Math.floor(memoryBytes / (4 * floatsPerImage))));
  const parts: Tensor[] = [];
  for (let from = 0; from < n; from += images) {
    const size = Math.min(images, n - from);
    parts.push(
      tf.tidy(() => {
        const patches = tf.slice(a, [from, 0, 0], [size, positions, k]);
        const part = tf.reshape(tf.slice(cotangents, [0, from, 0, 0], [m, size, positions, out]), [-1, positions, out]);
        const pairs = positionPairs(patches, part, m);
        return tf.matMul(tf.mul(pairs.first, pairs.second), pairs.cotangents, true);
      }),
    );
  }
  return parts.length === 1 ? parts[0]! : tf.addN(parts);
}

/**
 * Patches and cotangents by pairs of positions p <= q of one image: rows (image, pair), for sums over directions m, images i and
 * positions of the form sum_i sum_p,q A_ip A_iq sum_m dy_mip dy_miq. A pair p < q stands for both orders: its cotangent is doubled.
 * @returns first, second: [n pairs, K], the patches at p and at q; cotangents: [n pairs, out], summed over directions
 */
export function positionPairs(
  a: Tensor3D,
  dy: Tensor,
  m: number,
): { first: Tensor2D; second: Tensor2D; cotangents: Tensor2D } {
  const [n, positions, k] = a.shape;
  const out = lastAxis(dy);
  const [p, q, times]: [number[], number[], number[]] = [[], [], []];
  for (let i = 0; i < positions; i++)
    for (let j = i; j < positions; j++) {
      p.push(i);
      q.push(j);
      times.push(i === j ? 1 : 2);
    }
  const rows = n * p.length;
  const pick = (t: Tensor, index: number[], axis: number): Tensor => tf.gather(t, tf.tensor1d(index, "int32"), axis);
  const stacked = tf.reshape(dy, [m, n, positions, out]);
  const products = tf.sum(tf.mul(pick(stacked, p, 2), pick(stacked, q, 2)), 0);
  return {
    first: tf.reshape(pick(a, p, 1), [rows, k]),
    second: tf.reshape(pick(a, q, 1), [rows, k]),
    cotangents: tf.reshape(tf.mul(products, tf.reshape(tf.tensor1d(times), [1, p.length, 1])), [rows, out]),
  };
}

/** sum_m u_mi dy_mi with u_mi = <linear output of image i, dy_mi>: the cotangent whose weight gradient is the block product. */
function blockCotangent(node: NetNode, point: Point, dy: Tensor): Tensor {
  return tf.tidy(() => {
    const linear = ruleOf(node).weighted!.linearPart(point);
    const n = linear.shape[0]!;
    const stacked = tf.reshape(dy, [dy.shape[0]! / n, n, linear.size / n]);
    const u = tf.sum(tf.mul(stacked, tf.reshape(linear, [1, n, linear.size / n])), 2, true);
    return tf.reshape(tf.sum(tf.mul(stacked, u), 0), linear.shape);
  });
}

/**
 * G v (squared error: 2 / (N C) * J^T J v), the product of the whole matrix (all layers together) with a tree of prunable weights.
 * @returns tree shaped like the prunable weights; the caller disposes it
 */
export function gnProduct(
  model: Model,
  data: Batch,
  v: Tree,
  { loss = squaredErrorMeanOverNC(), memoryBytes }: LossOptions = {},
): Tree {
  const { n, classes } = checked(model, data);
  const sum = new TreeSum();
  try {
    forEachChunk(model, data.x, 1, memoryBytes, (trace) => {
      const moved = loss.hessianProduct(trace.outputs, jvp(trace, { params: v }));
      for (const [key, value] of Object.entries(vjp(trace, moved, model.net.prunable))) sum.add(key, value);
    });
    return sum.finish(1 / loss.divisor(n, classes), model.net.prunable);
  } finally {
    sum.dispose();
  }
}

type Chunk = (trace: Trace, from: number, n: number, groups: readonly (readonly [first: number, m: number])[]) => void;

/**
 * Cuts images and directions so that one chunk's stacked cotangents stay within the budget, and runs f inside a tidy.
 * About four times the largest activation is alive at once, per image and direction.
 */
export function forEachChunk(model: Model, x: Tensor, directions: number, memoryBytes = MEMORY_BYTES, f: Chunk): void {
  const rows = imagesWithin(memoryBytes, 4 * Math.max(...outputSizes(model)));
  const n = x.shape[0]!;
  const m = Math.min(directions, rows);
  const images = Math.min(n, Math.max(1, Math.floor(rows / m)));
  const groups: [number, number][] = [];
  for (let first = 0; first < directions; first += m) groups.push([first, Math.min(m, directions - first)]);
  forEachCut(x, images, (part, from, size) => f(forward(model, part), from, size, groups));
}

/** Cuts images so that `kept` tensors of every node's size stay within the budget, and runs f inside a tidy. */
export function forEachPart(
  model: Model,
  x: Tensor,
  kept: number,
  memoryBytes = MEMORY_BYTES,
  f: (trace: Trace, from: number, n: number) => void,
): void {
  const all = outputSizes(model).reduce((a, b) => a + b);
  forEachCut(x, imagesWithin(memoryBytes, kept * all), (part, from, size) => f(forward(model, part), from, size));
}

/** f(x) of every chunk of images, without anything for derivatives, inside a tidy. */
export function forEachPrediction(
  model: Model,
  x: Tensor,
  memoryBytes = MEMORY_BYTES,
  f: (outputs: Tensor2D, from: number, n: number) => void,
): void {
  const images = imagesWithin(memoryBytes, 4 * Math.max(...outputSizes(model)));
  forEachCut(x, images, (part, from, size) => f(predict(model, part), from, size));
}

/** Numbers in every node's output for one image. */
const outputSizes = ({ net }: Model): number[] =>
  Object.values(outputShapes(net)).map((shape) => shape.reduce((a, b) => a * b, 1));

function imagesWithin(memoryBytes: number, floatsPerImage: number): number {
  if (!(memoryBytes > 0)) throw new RangeError(`memoryBytes must be positive, got ${memoryBytes}`);
  return Math.max(1, Math.floor(memoryBytes / (4 * floatsPerImage)));
}

function forEachCut(x: Tensor, images: number, f: (part: Tensor, from: number, n: number) => void): void {
  const n = x.shape[0]!;
  for (let from = 0; from < n; from += images) {
    const size = Math.min(images, n - from);
    tf.tidy(() => {
      const shape = [size, ...x.shape.slice(1)] as [number, number, number, number];
      f(size === n ? x : tf.slice(x, [from, 0, 0, 0], shape), from, size);
    });
  }
}

export function checked(model: Model, data: Batch): { n: number; classes: number } {
  if (model.head === undefined) throw new Error("gauss-newton: the model needs a head (the outputs are the task's)");
  const n = data.x.shape[0];
  if (n === 0) throw new RangeError("gauss-newton: data must hold at least one image, got 0");
  return { n, classes: model.head.weight.shape[1] };
}
