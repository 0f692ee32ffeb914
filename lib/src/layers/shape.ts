import { tf } from "../backend";
import type { NetNode } from "../types";
import { addAll, type Rule } from "./rule";

export const add: Rule<Extract<NetNode, { kind: "add" }>> = {
  forward: (x) => addAll(x)!,
  jvp: (_, dx) => addAll(dx),
  vjp: ({ x }, dy) => x.map(() => dy),
  bend: "none",
  outputShape: ([x]) => x!,
};

/** [n, ...] -> [n, all the rest] */
export const flatten: Rule<Extract<NetNode, { kind: "flatten" }>> = {
  forward: ([x]) => tf.reshape(x!, [x!.shape[0]!, -1]),
  jvp: ({ y }, [dx]) => dx && tf.reshape(dx, y.shape),
  vjp: ({ x }, dy) => [tf.reshape(dy, [dy.shape[0]!, ...x[0]!.shape.slice(1)])],
  bend: "none",
  outputShape: ([x]) => [x!.reduce((a, b) => a * b, 1)],
};
