/** Derivatives by central finite differences: slow, and blind to how the library does it. */
import { backend, type Tensor, type Tree } from "secateur";

const { tf } = backend;

/**
 * Step of central differences in float64: truncation ~ step^2 = 4e-11 and cancellation ~ 1e-16 / step = 2e-11 balance,
 * so a first derivative of size 1 is good to about 1e-10.
 */
export const STEP = 6e-6;

/** What central differences reach on the tiny nets, with a margin for curvature: rtol of the tests that use them. */
export const FD_RTOL = 1e-8;

/** t + step * direction */
export const moved = (t: Tensor, direction: Tensor, step: number): Tensor => tf.add(t, tf.mul(direction, step));

/** (f(step) - f(-step)) / (2 step); f makes a tensor that is disposed here. */
export function slope(f: (step: number) => Tensor, step = STEP): Tensor {
  return tf.tidy(() => tf.div(tf.sub(f(step), f(-step)), 2 * step));
}

/**
 * Step of the four-point quotient in float64: truncation ~ step^4 = 1e-16 times a fifth derivative, cancellation ~ 1e-16 / step = 1e-12.
 * Small enough that no ReLU of the tiny nets switches on the way.
 */
export const FOUR_POINT_STEP = 1e-4;

/** (8 (f(step) - f(-step)) - (f(2 step) - f(-2 step))) / (12 step) */
export function fourPointSlope(f: (step: number) => Tensor, step = FOUR_POINT_STEP): Tensor {
  return tf.tidy(() => {
    const near = tf.sub(f(step), f(-step));
    const far = tf.sub(f(2 * step), f(-2 * step));
    return tf.div(tf.sub(tf.mul(near, 8), far), 12 * step);
  });
}

/** Central difference of f in entry j of one parameter. */
export function entrySlope(
  params: Tree,
  name: string,
  j: number,
  f: (params: Tree) => Tensor,
  step = STEP,
): Float64Array {
  const old = params[name]!;
  const values = old.dataSync();
  const at = (delta: number): Tensor => {
    const shifted = values.slice();
    shifted[j] = shifted[j]! + delta;
    return f({ ...params, [name]: tf.tensor(shifted, old.shape) });
  };
  const quotient = slope(at, step);
  const result = Float64Array.from(quotient.dataSync());
  quotient.dispose();
  return result;
}
