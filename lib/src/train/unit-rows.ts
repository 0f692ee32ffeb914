import { tf } from "../backend";
import type { Tensor2D } from "../types";

const lengths = (x: Tensor2D): Tensor2D => tf.maximum(tf.norm(x, 2, 1, true), 1e-12) as Tensor2D;

/** Every row over its length (at least 1e-12, as torch's `normalize`). */
export const unitRows = (x: Tensor2D): Tensor2D => tf.tidy(() => tf.div(x, lengths(x)) as Tensor2D);

/** Cotangent of x from that of u = unitRows(x): (du - u (u . du)) / |x|. */
export const unitRowsGrad = (x: Tensor2D, du: Tensor2D): Tensor2D =>
  tf.tidy(() => {
    const u = unitRows(x);
    return tf.div(tf.sub(du, tf.mul(u, tf.sum(tf.mul(u, du), 1, true))), lengths(x)) as Tensor2D;
  });

/**
 * sqrt(1 - |mean row|^2) of rows of length 1: their standard deviation, all directions together. 0 when all rows are the same, near 1
 * when they lie all over the sphere.
 */
export function spreadOf(units: Tensor2D): number {
  const square = tf.tidy(() => tf.sum(tf.square(tf.mean(units, 0))).dataSync()[0]!);
  return Math.sqrt(Math.max(0, 1 - square));
}
