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

/** f with entry j of a parameter moved by +-step, as central difference: f gets the tree with that entry moved, gives numbers. */
export function entrySlope(
  params: Tree,
  name: string,
  j: number,
  f: (params: Tree) => Float32Array | Float64Array,
  step = STEP,
): Float64Array {
  const old = params[name]!;
  const at = (delta: number): Float64Array => {
    const values = old.dataSync().slice();
    values[j] = values[j]! + delta;
    const replaced = tf.tensor(values, old.shape);
    const result = Float64Array.from(f({ ...params, [name]: replaced }));
    replaced.dispose();
    return result;
  };
  const [up, down] = [at(step), at(-step)];
  return up.map((value, i) => (value - down[i]!) / (2 * step));
}
