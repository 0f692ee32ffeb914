/** Losses as plain values: what derivatives of a loss need to know of it. The targets are class labels. */
import { tf } from "../backend";
import type { Tensor2D } from "../types";

/**
 * L = 1 / divisor * sum_n l(f_n, label_n), f_n the C outputs of image n.
 * Cotangents may carry M stacked directions: [M n, C], direction-major, where the outputs have n.
 */
export interface Loss {
  /** carries the reduction and the temperature */
  readonly name: string;
  divisor(n: number, classes: number): number;
  /** sum_n l(f_n, label_n) */
  total(outputs: Tensor2D, labels: Int32Array): number;
  /** d l / d f, [n, C] */
  gradient(outputs: Tensor2D, labels: Int32Array): Tensor2D;
  /** (d^2 l / d f^2) v of every image, [n, C] */
  hessianProduct(outputs: Tensor2D, v: Tensor2D): Tensor2D;
  /** R z of every image, with R R^T = (d^2 l / d f^2) / rootWeight; z as a cotangent */
  root(outputs: Tensor2D, z: Tensor2D): Tensor2D;
  readonly rootWeight: number;
}

/** [n, classes], 1 at the label. */
export function oneHot(labels: Int32Array, classes: number): Tensor2D {
  for (const [i, label] of labels.entries())
    if (!(label >= 0 && label < classes))
      throw new RangeError(`oneHot: label ${i} must be 0 to ${classes - 1}, got ${label}`);
  return tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, "int32"), classes), "float32") as Tensor2D);
}

const targets = (outputs: Tensor2D, labels: Int32Array): Tensor2D => oneHot(labels, outputs.shape[1]);

/** L = 1 / (N C) * sum_n sum_c (f_nc - y_nc)^2, y the one-hot label: torch's MSELoss. */
export function squaredErrorMeanOverNC(): Loss {
  return {
    name: "squaredErrorMeanOverNC",
    divisor: (n, classes) => n * classes,
    total: (f, labels) => tf.tidy(() => tf.sum(tf.square(tf.sub(f, targets(f, labels)))).dataSync()[0]!),
    gradient: (f, labels) => tf.tidy(() => tf.mul(tf.sub(f, targets(f, labels)), 2)),
    hessianProduct: (_, v) => tf.mul(v, 2),
    root: (_, z) => tf.clone(z),
    rootWeight: 2,
  };
}

export interface CrossEntropyOptions {
  /** T: the softmax is that of f / T */
  readonly temperature?: number;
}

/**
 * L = -1 / N * sum_n log p_n,label with p = softmax(f / T): torch's cross_entropy of f / T.
 * Its Hessian in the outputs is (diag p - p p^T) / T^2 = R R^T / T^2, the columns of R being r_c = sqrt(p_c) (e_c - p).
 */
export function crossEntropyMeanOverN({ temperature = 1 }: CrossEntropyOptions = {}): Loss {
  if (!(temperature > 0 && temperature < Number.POSITIVE_INFINITY))
    throw new RangeError(`temperature must be positive and finite, got ${temperature}`);
  const probabilities = (f: Tensor2D): Tensor2D => tf.softmax(tf.div(f, temperature)) as Tensor2D;
  return {
    name: `crossEntropyMeanOverN(T=${temperature})`,
    divisor: (n) => n,
    total: (f, labels) =>
      tf.tidy(() => {
        const logits = tf.div(f, temperature);
        return tf.sum(tf.sub(tf.logSumExp(logits, 1), tf.sum(tf.mul(logits, targets(f, labels)), 1))).dataSync()[0]!;
      }),
    gradient: (f, labels) => tf.tidy(() => tf.div(tf.sub(probabilities(f), targets(f, labels)), temperature)),
    hessianProduct: (f, v) =>
      tf.tidy(() => {
        const p = probabilities(f);
        const mean = tf.sum(tf.mul(p, v), 1, true);
        return tf.div(tf.mul(p, tf.sub(v, mean)), temperature ** 2) as Tensor2D;
      }),
    root: (f, z) =>
      tf.tidy(() => {
        const p = tf.expandDims(probabilities(f), 0);
        const scaled = tf.mul(tf.reshape(z, [-1, ...f.shape]), tf.sqrt(p));
        return tf.reshape(tf.sub(scaled, tf.mul(p, tf.sum(scaled, 2, true))), z.shape) as Tensor2D;
      }),
    rootWeight: 1 / temperature ** 2,
  };
}

/** Cotangent columns r_c, c = first .. first + m - 1, of the root of the loss's Hessian: [m n, C], direction-major. */
export function rootColumns(loss: Loss, outputs: Tensor2D, first: number, m: number): Tensor2D {
  return loss.root(outputs, unitProbes(outputs.shape[1], outputs.shape[0], first, m));
}

/** Unit cotangents of outputs first .. first + m - 1 for n images, [m n, classes], direction-major. */
export function unitProbes(classes: number, n: number, first: number, m: number): Tensor2D {
  const units = tf.slice(tf.eye(classes), [first, 0], [m, classes]);
  return tf.reshape(tf.mul(tf.reshape(units, [m, 1, classes]), tf.ones([1, n, 1])), [m * n, classes]) as Tensor2D;
}
