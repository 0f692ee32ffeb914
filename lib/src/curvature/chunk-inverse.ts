/** Inverses of small diagonal blocks of the Gauss-Newton matrix. */
import { operations, tf } from "../backend";
import { lastAxis, type Point, ruleOf } from "../layers";
import type { Batch, Model, NetNode, Tensor, Tensor3D, Tree } from "../types";
import { TreeSum } from "./accumulate";
import { forEachChunk, gnDiag, type LossOptions, MEMORY_BYTES, positionPairs } from "./gauss-newton";
import { rootColumns, squaredErrorMeanOverNC } from "./losses";
import { backward } from "./pass";

export interface ChunkInverseOptions extends LossOptions {
  /** weights a block: consecutive inputs (kh, kw, in) of ONE output filter; the last block of a filter may be shorter */
  readonly chunk?: number;
  /** lambda = damping times the mean of the Gauss-Newton diagonal over the prunable weights */
  readonly damping?: number;
  /** 1 for weights that are in the problem, 0 for removed ones, whose rows and columns are left out (default: all 1) */
  readonly alive?: Tree;
}

/**
 * [(G_BB + lambda I)^-1]_jj for every prunable weight j in its block B, G the exact Gauss-Newton matrix of the loss
 * (squared error: 2 / (N C) sum_n sum_c J_nc^T J_nc).
 * Cost: 2 p N C chunk FLOP for p weights beside the sweep; memory: p chunk floats, a group of layers at a time.
 * @returns tree shaped like the prunable weights, weight^2 per loss; the caller disposes it
 */
export function gnChunkInverseDiagonal(model: Model, data: Batch, options: ChunkInverseOptions = {}): Tree {
  const { chunk = 32, damping = 0.01, alive } = options;
  if (!(Number.isInteger(chunk) && chunk >= 1)) throw new RangeError(`chunk must be a positive integer, got ${chunk}`);
  if (!(damping > 0)) throw new RangeError(`damping must be positive, got ${damping}`);
  const lambda = damping * meanDiagonal(model, data, options);
  const inverse: Record<string, Tensor> = {};
  for (const keys of layerGroups(model, chunk)) {
    const blocks = gnChunks(model, data, keys, chunk, options);
    for (const key of keys) {
      const weight = model.params[key]!;
      inverse[key] = tf.tidy(() => {
        const kept = alive && toChunks(tf.reshape(filtersFirst(alive[key]!), [1, lastAxis(weight), -1]), chunk);
        return fromChunks(damped(blocks[key] as Tensor3D, lambda, kept), weight);
      });
      blocks[key]!.dispose();
    }
  }
  return Object.fromEntries(model.net.prunable.map((key) => [key, inverse[key]!]));
}

/** The blocks [filters * chunks, chunk, chunk] of these weights, summed over images and outputs. */
function gnChunks(
  model: Model,
  data: Batch,
  keys: readonly string[],
  chunk: number,
  { loss = squaredErrorMeanOverNC(), memoryBytes }: LossOptions,
): Tree {
  const n = data.x.shape[0];
  const classes = model.head!.weight.shape[1];
  const sum = new TreeSum();
  try {
    forEachChunk(model, data.x, classes, memoryBytes, (trace, _from, _images, groups) => {
      for (const [first, m] of groups)
        backward(trace, rootColumns(loss, trace.outputs, first, m), (node, point, dy) => {
          const key = node.params.weight;
          if (key !== undefined && keys.includes(key)) addChunks(sum, key, node, point, dy, chunk, memoryBytes);
        });
    });
    return sum.finish(loss.rootWeight / loss.divisor(n, classes), keys);
  } finally {
    sum.dispose();
  }
}

/** Adds the sum over images and directions of the outer products of the Jacobian's chunks. */
export function addChunks(
  sum: TreeSum,
  key: string,
  node: NetNode,
  point: Point,
  dy: Tensor,
  chunk: number,
  memoryBytes = MEMORY_BYTES,
): void {
  const patches = ruleOf(node).weighted!.patches(point);
  const [n, positions, k] = patches.shape;
  const out = lastAxis(dy);
  const m = dy.shape[0]! / n;
  const pairs = (positions * (positions + 1)) / 2;
  if (pairs <= 2 * m) {
    sum.add(
      key,
      tf.tidy(() => chunksByPairs(patches, dy, m, Math.min(chunk, k))),
    );
    return;
  }
  // by the per-image Jacobians themselves, as many images at once as the budget allows
  const cotangents = tf.reshape(dy, [m, n, positions, out]);
  const images = Math.max(1, Math.min(n, Math.floor(memoryBytes / (3 * 4 * m * out * k))));
  for (let from = 0; from < n; from += images) {
    const size = Math.min(images, n - from);
    sum.add(
      key,
      tf.tidy(() => {
        const a = tf.reshape(tf.slice(patches, [from, 0, 0], [size, positions, k]), [1, size, positions, k]);
        const b = tf.slice(cotangents, [0, from, 0, 0], [m, size, positions, out]);
        const jacobian = tf.reshape(tf.matMul(b, a, true), [m * size, out, k]);
        const rows = tf.transpose(toChunks(jacobian, chunk), [1, 0, 2]);
        return tf.matMul(rows, rows, true);
      }),
    );
  }
}

/**
 * The same sum without the Jacobian: chunk j of filter o is sum over (image, pair) rows r of cotangent_ro first_rj second_rj^T,
 * one matrix product a chunk; pairs stand for both orders, so the result is symmetrised.
 */
function chunksByPairs(patches: Tensor3D, dy: Tensor, m: number, chunk: number): Tensor {
  const { first, second, cotangents } = positionPairs(patches, dy, m);
  const [rows, k] = first.shape;
  const out = cotangents.shape[1];
  const blocks: Tensor[] = [];
  for (let from = 0; from < k; from += chunk)
    blocks.push(
      tf.tidy(() => {
        const part = (t: Tensor): Tensor => {
          const size = Math.min(chunk, k - from);
          const cut = tf.slice(t, [0, from], [rows, size]);
          return size === chunk
            ? cut
            : tf.pad(cut as never, [
                [0, 0],
                [0, chunk - size],
              ]);
        };
        const outer = tf.mul(tf.expandDims(part(first), 2), tf.expandDims(part(second), 1));
        return tf.reshape(tf.matMul(cotangents, tf.reshape(outer, [rows, chunk * chunk]), true), [
          out,
          1,
          chunk,
          chunk,
        ]);
      }),
    );
  const all = tf.reshape(tf.concat(blocks, 1), [out * blocks.length, chunk, chunk]);
  return tf.div(tf.add(all, tf.transpose(all, [0, 2, 1])), 2);
}

/** [s, out, K] -> [s, out * ceil(K / chunk), chunk], filled up with zeros; a chunk is never longer than K. */
export function toChunks(rows: Tensor, longest: number): Tensor3D {
  const [s, out, k] = rows.shape as [number, number, number];
  const chunk = Math.min(longest, k);
  const each = Math.ceil(k / chunk);
  const padded =
    each * chunk === k
      ? rows
      : tf.pad(rows as Tensor3D, [
          [0, 0],
          [0, 0],
          [0, each * chunk - k],
        ]);
  return tf.reshape(padded, [s, out * each, chunk]);
}

/** The inverse's diagonal [out * chunks, chunk] in the shape of the weight. */
export function fromChunks(diagonal: Tensor, weight: Tensor): Tensor {
  const out = lastAxis(weight);
  const k = weight.size / out;
  const filters = tf.slice(tf.reshape(diagonal, [out, diagonal.size / out]), [0, 0], [out, k]);
  return tf.reshape(tf.transpose(filters), weight.shape);
}

/** [K..., out] -> [out, K] */
export const filtersFirst = (weight: Tensor): Tensor => tf.transpose(tf.reshape(weight, [-1, lastAxis(weight)]));

/** diag((blocks + lambda I)^-1), with rows and columns of removed weights cleared first. */
export function damped(blocks: Tensor3D, lambda: number, kept?: Tensor3D): Tensor {
  const n = blocks.shape[1];
  const flags = kept && tf.reshape(kept, [blocks.shape[0], n]);
  const live = flags ? tf.mul(tf.mul(blocks, tf.expandDims(flags, 1)), tf.expandDims(flags, 2)) : blocks;
  return operations.inverseDiagonal(tf.add(live, tf.mul(tf.eye(n), lambda)) as Tensor3D);
}

function meanDiagonal(model: Model, data: Batch, { loss, memoryBytes }: LossOptions): number {
  const diagonal = gnDiag(model, data, { loss, memoryBytes });
  let sum = 0;
  let count = 0;
  for (const tensor of Object.values(diagonal)) {
    sum += tf.tidy(() => tf.sum(tensor).dataSync()[0]!);
    count += tensor.size;
    tensor.dispose();
  }
  if (!(sum > 0))
    throw new Error(
      "gnChunkInverseDiagonal: the Gauss-Newton diagonal is zero everywhere (outputs do not depend on the weights)",
    );
  return sum / count;
}

/** Layers in groups that stay under 1 GiB at so many floats a weight. */
export function layerGroups(model: Model, each: number): string[][] {
  const groups: string[][] = [];
  let floats = Number.POSITIVE_INFINITY;
  for (const key of model.net.prunable) {
    const size = model.params[key]!.size * each;
    if (floats + size > 2 ** 28) {
      groups.push([]);
      floats = 0;
    }
    groups[groups.length - 1]!.push(key);
    floats += size;
  }
  return groups;
}
