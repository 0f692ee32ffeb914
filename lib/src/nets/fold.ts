import { tf } from "../backend";
import type { Model, NetNode, ParamSpec, Tensor } from "../types";

type Norm = Extract<NetNode, { kind: "batchNorm" }>;

/**
 * The model with its frozen batch norms folded into the convolutions and linear layers before them: the same outputs from
 *   weight' = weight * s,  bias' = (bias - mean) * s + shift,  s = scale / sqrt(variance + epsilon) per output channel.
 * Key names stay, biases are added; a norm behind anything else, or behind a layer that others read too, stays a norm.
 * Scores that follow the function, theta_j^2 H_jj for one, do not change; magnitudes do.
 * @returns head shared, `params` new: the caller disposes them
 */
export function foldBatchNorm(model: Model): Model {
  const { net } = model;
  const norms = foldable(net.nodes);
  const specs: Record<string, ParamSpec> = { ...net.params };
  const params: Record<string, Tensor> = Object.fromEntries(
    Object.entries(model.params).map(([key, tensor]) => [key, tf.clone(tensor)]),
  );
  const nodes: NetNode[] = [];
  const renamed: Record<string, string> = {};
  for (const node of net.nodes) {
    const norm = norms.get(node.id);
    if (norm) {
      const bias = node.params.bias ?? node.params.weight!.replace(/weight$/, "bias");
      const folded = tf.tidy(() => foldedParams(model, node, norm));
      for (const [key, tensor] of [[node.params.weight!, folded.weight] as const, [bias, folded.bias] as const]) {
        params[key]?.dispose();
        params[key] = tensor;
      }
      for (const key of Object.values(norm.params)) {
        params[key]!.dispose();
        delete params[key];
        delete specs[key];
      }
      specs[bias] = { shape: folded.bias.shape, role: "bias" };
      renamed[norm.id] = node.id;
      nodes.push({ ...node, inputs: node.inputs.map((id) => renamed[id] ?? id), params: { ...node.params, bias } });
    } else if (renamed[node.id] === undefined)
      nodes.push({ ...node, inputs: node.inputs.map((id) => renamed[id] ?? id) });
  }
  return { ...model, net: { ...net, name: `${net.name}-folded`, nodes, params: specs }, params };
}

/** By id of the layer: the norm that alone reads it. */
function foldable(nodes: readonly NetNode[]): Map<string, Norm> {
  const readers = new Map<string, NetNode[]>();
  for (const node of nodes) for (const id of node.inputs) readers.set(id, [...(readers.get(id) ?? []), node]);
  const found = new Map<string, Norm>();
  for (const { id, kind } of nodes) {
    const [reader, ...more] = readers.get(id) ?? [];
    if ((kind === "conv2d" || kind === "linear") && reader?.kind === "batchNorm" && more.length === 0)
      found.set(id, reader);
  }
  return found;
}

function foldedParams({ params }: Model, layer: NetNode, norm: Norm): { weight: Tensor; bias: Tensor } {
  const of = (role: string): Tensor => params[norm.params[role]!]!;
  const factor = tf.mul(of("weight"), tf.rsqrt(tf.add(of("variance"), norm.attributes.epsilon)));
  const before = layer.params.bias ? tf.sub(params[layer.params.bias]!, of("mean")) : tf.neg(of("mean"));
  return {
    weight: tf.mul(params[layer.params.weight!]!, factor),
    bias: tf.add(tf.mul(before, factor), of("bias")),
  };
}
