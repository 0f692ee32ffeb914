import { operations, tf } from "../backend";
import type { NetNode, Tensor } from "../types";
import { directions, mulStacked, type Point, type Rule } from "./rule";

/** y = max(x, 0); the derivative at 0 is 0. */
export const relu: Rule<Extract<NetNode, { kind: "relu" }>> = {
  forward: ([x]) => tf.relu(x!),
  jvp: ({ y }, [dx]) => dx && operations.reluGrad(dx, y),
  vjp({ y }, dy) {
    if (directions(dy, y) === 1) return [operations.reluGrad(dy, y)];
    return [mulStacked(dy, tf.cast(tf.greater(y, 0), "float32"))];
  },
  bend: "none",
  outputShape: ([x]) => x!,
};

/** y = x Phi(x), Phi the normal distribution function (the exact GELU, not the tanh one). */
export const gelu: Rule<Extract<NetNode, { kind: "gelu" }>> = {
  forward: ([x]) => tf.mul(x!, normalDistribution(x!)),

  forwardSaving([x]) {
    const distribution = normalDistribution(x!);
    return { y: tf.mul(x!, distribution), saved: [geluSlope(x!, distribution)] };
  },

  jvp: (at, [dx]) => dx && tf.mul(dx, slopeOf(at)),
  vjp: (at, dy) => [mulStacked(dy, slopeOf(at))],
  // the slope's slope is (2 - x^2) phi(x)
  bend: ({ x }, [dx], dy) => [dx && tf.mul(tf.mul(dx, dy), tf.mul(tf.sub(2, tf.square(x[0]!)), normalDensity(x[0]!)))],
  outputShape: ([x]) => x!,
};

const normalDistribution = (x: Tensor): Tensor => tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);

const normalDensity = (x: Tensor): Tensor => tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));

/** Phi(x) + x phi(x) */
const geluSlope = (x: Tensor, distribution: Tensor): Tensor => tf.add(distribution, tf.mul(x, normalDensity(x)));

const slopeOf = ({ x, saved }: Point): Tensor => saved?.[0] ?? geluSlope(x[0]!, normalDistribution(x[0]!));
