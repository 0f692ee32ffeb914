import { operations, tf } from "../backend";
import type { NetNode, Tensor } from "../types";
import { addAll, leadingAxes, type Params, type Point, type Rule } from "./rule";

type Node = Extract<NetNode, { kind: "batchNorm" }>;

/** Per-channel factor and offset of a frozen norm: y = x * factor + offset. */
function affine({ weight, bias, mean, variance }: Params, epsilon: number): { factor: Tensor; offset: Tensor } {
  const factor = tf.mul(weight!, tf.rsqrt(tf.add(variance!, epsilon)));
  return { factor, offset: tf.sub(bias!, tf.mul(mean!, factor)) };
}

/** Batch normalisation with frozen (running) statistics: y = weight (x - mean) / sqrt(variance + epsilon) + bias. */
export const batchNorm: Rule<Node> = {
  forward([x], params, { epsilon }) {
    const { factor, offset } = affine(params, epsilon);
    return tf.add(tf.mul(x!, factor), offset);
  },

  jvp({ x, params, attributes: { epsilon } }, [dx], dparams) {
    const inverse = tf.rsqrt(tf.add(params.variance!, epsilon));
    return addAll([
      dx && tf.mul(dx, tf.mul(params.weight!, inverse)),
      dparams.weight && tf.mul(tf.sub(x[0]!, params.mean!), tf.mul(dparams.weight, inverse)),
      dparams.bias && tf.mul(dparams.bias, tf.fill([...x[0]!.shape.slice(0, -1), 1], 1)),
    ]);
  },

  vjp: ({ params, attributes: { epsilon } }, dy) => [tf.mul(dy, affine(params, epsilon).factor)],

  paramGrad({ x, params, attributes: { epsilon } }, dy) {
    // sum dy (x - mean) / sd = (sum dy x - mean sum dy) / sd: one pass over the images less
    const axes = leadingAxes(dy);
    const bias = tf.sum(dy, axes);
    const inverse = tf.rsqrt(tf.add(params.variance!, epsilon));
    const weight = tf.mul(tf.sub(tf.sum(tf.mul(dy, x[0]!), axes), tf.mul(params.mean!, bias)), inverse);
    return { weight, bias };
  },

  bend: "none",
  outputShape: ([x]) => x!,
};

/** The same layer in training mode: the batch's own statistics, which also move the running ones. */
export const batchNormTraining = {
  /** @returns the point (its `saved` filled) and the new running statistics */
  forward(x: Tensor, params: Params, attributes: Node["attributes"]): { point: Point<Node>; running: Params } {
    const { epsilon, momentum } = attributes;
    const { y, mean, unbiasedVariance, saved } = operations.batchNormTraining(x, params.weight!, params.bias!, epsilon);
    const move = (old: Tensor, now: Tensor): Tensor => tf.add(tf.mul(old, 1 - momentum), tf.mul(now, momentum));
    return {
      point: { x: [x], y, params, attributes, saved },
      running: { mean: move(params.mean!, mean), variance: move(params.variance!, unbiasedVariance) },
    };
  },

  /** Cotangent of the input and gradients of weight and bias. */
  grad({ x, params, attributes: { epsilon }, saved }: Point<Node>, dy: Tensor): { dx: Tensor; params: Params } {
    const { dx, dscale, dshift } = operations.batchNormTrainingGrad(dy, x[0]!, params.weight!, saved!, epsilon);
    return { dx, params: { weight: dscale, bias: dshift } };
  },
};
