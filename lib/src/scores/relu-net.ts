import { tf } from "../backend";
import type { Model, Net, Tensor, Tree } from "../types";

const DEFINED = new Set<string>([
  "conv2d",
  "linear",
  "batchNorm",
  "relu",
  "add",
  "maxPool",
  "avgPool",
  "globalAvgPool",
  "flatten",
]);

/** Throws at the first node that a score for ReLU nets has no definition of: gelu, layer norm, attention ... */
export function assertReluNet(score: string, net: Net): void {
  const other = net.nodes.find(({ kind }) => !DEFINED.has(kind));
  if (other) throw new Error(`${score}: '${other.id}' is a ${other.kind}; the score is defined for ReLU nets`);
}

/**
 * All parameters of the net whose weights went through f and whose norms are a bare factor f(scale / sd): no norm's shift or mean, no
 * bias is left, so the outputs are homogeneous in every layer's weights.
 */
export function withoutShifts({ net, params }: Model, f: (tensor: Tensor) => Tensor): Tree {
  const result: Record<string, Tensor> = Object.fromEntries(
    Object.entries(params).map(([key, tensor]) => [
      key,
      /Weight$/.test(net.params[key]!.role) ? f(tensor) : tf.zerosLike(tensor),
    ]),
  );
  for (const node of net.nodes) {
    if (node.kind !== "batchNorm") continue;
    const { weight, variance } = node.params as Record<"weight" | "variance", string>;
    const { epsilon } = node.attributes;
    const factor = tf.mul(params[weight]!, tf.rsqrt(tf.add(params[variance]!, epsilon)));
    // the norm divides by sqrt(1 + epsilon) again
    result[weight] = tf.mul(f(factor), Math.sqrt(1 + epsilon));
    result[variance] = tf.onesLike(params[variance]!);
  }
  return result;
}
