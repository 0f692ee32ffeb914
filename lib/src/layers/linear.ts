import { tf } from "../backend";
import type { NetNode, Tensor } from "../types";
import { addAll, lastAxis, type Params, type Rule } from "./rule";

type Node = Extract<NetNode, { kind: "linear" }>;

const rows = (t: Tensor): Tensor => tf.reshape(t, [-1, lastAxis(t)]);

/** y = x weight (+ bias) on the last axis; weight [in, out]. */
export const linear: Rule<Node> = {
  forward([x], { weight, bias }) {
    const y = tf.matMul(rows(x!), weight!);
    return tf.reshape(bias ? tf.add(y, bias) : y, [...x!.shape.slice(0, -1), weight!.shape[1]!]);
  },

  jvp({ x, y, params }, [dx], { weight, bias }) {
    const like = (t: Tensor): Tensor => tf.reshape(t, y.shape);
    return addAll([
      dx && like(tf.matMul(rows(dx), params.weight!)),
      weight && like(tf.matMul(rows(x[0]!), weight)),
      bias && tf.mul(bias, tf.fill([...y.shape.slice(0, -1), 1], 1)),
    ]);
  },

  vjp({ x, params }, dy) {
    return [tf.reshape(tf.matMul(rows(dy), params.weight!, false, true), [dy.shape[0]!, ...x[0]!.shape.slice(1)])];
  },

  paramGrad({ x, params }, dy): Params {
    const weight = tf.matMul(rows(x[0]!), rows(dy), true);
    return params.bias ? { weight, bias: tf.sum(rows(dy), 0) } : { weight };
  },

  bend: "none",
  outputShape: ([x], { weight }) => [...x!.slice(0, -1), weight![1]!],

  weighted: {
    patches: ({ x }) => tf.reshape(x[0]!, [x[0]!.shape[0]!, -1, lastAxis(x[0]!)]),
    linearPart: ({ y, params }) => (params.bias ? tf.sub(y, params.bias) : y),
  },
};
