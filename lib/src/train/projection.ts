import type { Net, NetNode, ParamSpec } from "../types";

/**
 * The net with an MLP behind its features: linear layers `head.0`, `head.1` ... of these widths with the activation between them.
 * The last width is the new feature length. The head's weights are not prunable.
 */
export function withProjection(net: Net, widths: readonly number[], activation: "relu" | "gelu"): Net {
  const nodes: NetNode[] = [...net.nodes];
  const params: Record<string, ParamSpec> = { ...net.params };
  let last = nodes[nodes.length - 1]!.id;
  let width = net.features;
  const push = (node: Pick<NetNode, "kind" | "params">, id: string): void => {
    nodes.push({ ...node, id, inputs: [last], attributes: {} } as NetNode);
    last = id;
  };
  widths.forEach((next, i) => {
    const [weight, bias] = [`head.${i}.weight`, `head.${i}.bias`];
    params[weight] = { role: "linearWeight", shape: [width, next] };
    params[bias] = { role: "bias", shape: [next] };
    if (i > 0) push({ kind: activation, params: {} }, `head.act${i}`);
    push({ kind: "linear", params: { weight, bias } }, `head.${i}`);
    width = next;
  });
  return { ...net, name: `${net.name}+head`, nodes, params, features: width };
}
