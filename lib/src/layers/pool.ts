import { operations, tf } from "../backend";
import type { NetNode } from "../types";
import { directions, type Rule, repeatStacked, type Shape } from "./rule";

type Shape4 = [number, number, number, number];
type Window = { readonly size: number; readonly stride: number; readonly pad: number };

function pooledShape([x]: readonly Shape[], _: unknown, { size, stride, pad }: Window): Shape {
  const [h, w, c] = x as readonly [number, number, number];
  return [operations.slideLength(h, size, stride, pad), operations.slideLength(w, size, stride, pad), c];
}

export const maxPool: Rule<Extract<NetNode, { kind: "maxPool" }>> = {
  forward: ([x], _, { size, stride, pad }) => operations.maxPool(x!, size, stride, pad),
  jvp: ({ x, y, attributes: { size, stride, pad } }, [dx]) =>
    dx && operations.maxPoolTangent(dx, x[0]!, y, size, stride, pad),
  vjp({ x, y, attributes: { size, stride, pad } }, dy) {
    const m = directions(dy, y);
    return [operations.maxPoolGrad(dy, repeatStacked(x[0]!, m), repeatStacked(y, m), size, stride, pad)];
  },
  bend: "none",
  outputShape: pooledShape,
};

export const avgPool: Rule<Extract<NetNode, { kind: "avgPool" }>> = {
  forward: ([x], _, { size, stride, pad }) => operations.avgPool(x!, size, stride, pad),
  jvp: ({ attributes: { size, stride, pad } }, [dx]) => dx && operations.avgPool(dx, size, stride, pad),
  vjp({ x, attributes: { size, stride, pad } }, dy) {
    const [, h, w, c] = x[0]!.shape as Shape4;
    return [operations.avgPoolGrad(dy, [dy.shape[0]!, h, w, c], size, stride, pad)];
  },
  bend: "none",
  outputShape: pooledShape,
};

/** [n, h, w, c] -> [n, c], the mean over positions. */
export const globalAvgPool: Rule<Extract<NetNode, { kind: "globalAvgPool" }>> = {
  forward: ([x]) => tf.mean(x!, [1, 2]),
  jvp: (_, [dx]) => dx && tf.mean(dx, [1, 2]),
  vjp({ x }, dy) {
    const [, h, w, c] = x[0]!.shape as Shape4;
    const each = tf.reshape(tf.div(dy, h * w), [dy.shape[0]!, 1, 1, c]);
    return [tf.mul(each, tf.fill([1, h, w, 1], 1))];
  },
  bend: "none",
  outputShape: ([x]) => [x![2]!],
};
