/**
 * Kronecker factors of the layers' Gauss-Newton blocks (K-FAC): G_BB ~ A (x) B for a weight [K, out], with patches a_np [K] of image n and
 * position p, and cotangents b_ncp [out] of the layer's output, one for each column c of the root of the loss's Hessian (exact, all outputs).
 * In the terms of Eschenhagen et al. 2023 (arXiv 2311.00636), for a layer whose weight is shared by P positions:
 *   expand  A = 1 / (N P) sum_n sum_p a a^T,        B = w sum_n sum_c sum_p b b^T     (positions are cases of their own: KFC's convolutions)
 *   reduce  A = 1 / N sum_n mean_p(a) mean_p(a)^T,  B = w sum_n sum_c (sum_p b) (sum_p b)^T
 * with w = 2 / (N C) for the squared error. Grosse and Martens (2016) put the P into A instead: the product is the same.
 */
import { tf } from "../backend";
import { lastAxis, type Point, ruleOf } from "../layers";
import { mapTree } from "../tree";
import type { Batch, Model, NetNode, Tensor, Tensor2D, Tree } from "../types";
import { TreeSum } from "./accumulate";
import { forEachChunk, type LossOptions } from "./gauss-newton";
import { taskSize } from "./loss";
import { rootColumns, squaredErrorMeanOverNC } from "./losses";
import { backward } from "./pass";

export interface KfacOptions extends LossOptions {
  /** what a position of a shared weight counts as (default expand); the same without weight sharing */
  readonly setting?: "expand" | "reduce";
}

/** By the weight's key; symmetric, >= 0. */
export interface KfacFactors {
  /** A, [K, K] */
  readonly inputs: Readonly<Record<string, Tensor2D>>;
  /** B, [out, out] */
  readonly outputs: Readonly<Record<string, Tensor2D>>;
}

/**
 * The factors of all prunable weights. A (x) B is the block itself for one image without weight sharing, and for a layer whose cotangents
 * are the same for every image; else an approximation. Cost: 1 + C forward passes and the two sums of outer products.
 * @returns factors that the caller disposes
 * @throws Error without a head; RangeError for another setting
 */
export function kfacFactors(model: Model, data: Batch, options: KfacOptions = {}): KfacFactors {
  const { setting = "expand", loss = squaredErrorMeanOverNC(), memoryBytes } = options;
  if (setting !== "expand" && setting !== "reduce")
    throw new RangeError(`setting must be 'expand' or 'reduce', got '${setting}'`);
  const { n, classes } = taskSize(model, data);
  const [inputs, outputs] = [new TreeSum(), new TreeSum()];
  try {
    forEachChunk(model, data.x, classes, memoryBytes, (trace, _, __, groups) => {
      for (const [first, m] of groups)
        backward(trace, rootColumns(loss, trace.outputs, first, m), (node, point, dy) => {
          const key = node.params.weight;
          if (key === undefined || !ruleOf(node).weighted || !model.net.prunable.includes(key)) return;
          if (first === 0) addOuter(inputs, key, () => patchRows(node, point, setting));
          addOuter(outputs, key, () => cotangentRows(point, dy, setting));
        });
    });
    const factors = {
      inputs: inputs.finish(1 / n, model.net.prunable),
      outputs: outputs.finish(loss.rootWeight / loss.divisor(n, classes), model.net.prunable),
    };
    return factors as unknown as KfacFactors;
  } finally {
    inputs.dispose();
    outputs.dispose();
  }
}

/**
 * (A (x) B) V = A V B, layer by layer.
 * @param v trees of weights with factors
 */
export function kfacProduct({ inputs, outputs }: KfacFactors, v: Tree): Tree {
  assertFactors(inputs, v);
  return mapTree(v, (t, key) =>
    tf.tidy(() => {
      const matrix = tf.reshape(t, [-1, lastAxis(t)]) as Tensor2D;
      return tf.reshape(tf.matMul(tf.matMul(inputs[key]!, matrix), outputs[key]!), t.shape);
    }),
  );
}

/**
 * diag(A (x) B)_ko = A_kk B_oo in the shapes of the weights.
 * @param weights the prunable weights, or some of them: only their shapes are read
 */
export function kfacDiag({ inputs, outputs }: KfacFactors, weights: Tree): Tree {
  assertFactors(inputs, weights);
  return mapTree(weights, (t, key) =>
    tf.tidy(() => {
      const [a, b] = [inputs[key]!, outputs[key]!].map(diagonal);
      return tf.reshape(tf.outerProduct(a as never, b as never), t.shape);
    }),
  );
}

/** diag of a square matrix */
const diagonal = (matrix: Tensor2D): Tensor => tf.sum(tf.mul(matrix, tf.eye(matrix.shape[0])), 1);

const addOuter = (sum: TreeSum, key: string, rows: () => Tensor2D): void =>
  sum.add(
    key,
    tf.tidy(() => {
      const r = rows();
      return tf.matMul(r, r, true);
    }),
  );

/** Rows whose outer products add up to N A. */
function patchRows(node: NetNode, point: Point, setting: "expand" | "reduce"): Tensor2D {
  const a = ruleOf(node).weighted!.patches(point);
  const [n, positions, k] = a.shape;
  if (setting === "reduce") return tf.mean(a, 1);
  return tf.div(tf.reshape(a, [n * positions, k]), Math.sqrt(positions)) as Tensor2D;
}

function cotangentRows(point: Point, dy: Tensor, setting: "expand" | "reduce"): Tensor2D {
  const out = lastAxis(dy);
  if (setting === "expand") return tf.reshape(dy, [-1, out]);
  const positions = point.y.size / (point.y.shape[0]! * out);
  return tf.sum(tf.reshape(dy, [-1, positions, out]), 1);
}

function assertFactors(inputs: Readonly<Record<string, Tensor2D>>, v: Tree): void {
  for (const [key, t] of Object.entries(v)) {
    if (inputs[key] === undefined) throw new Error(`kfac: there are no factors of '${key}'`);
    if (inputs[key]!.shape[0] !== t.size / lastAxis(t))
      throw new Error(`kfac: '${key}' must have ${inputs[key]!.shape[0]} inputs a filter, got [${t.shape}]`);
  }
}
