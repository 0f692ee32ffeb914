/** Sizes and costs of a net, from its definition alone. */
import { ruleOf, type Shape } from "../layers";
import type { Net } from "../types";

const product = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** Shape of every node's output for one image, "x" included. */
export function outputShapes(net: Net): Readonly<Record<string, Shape>> {
  const shapes: Record<string, Shape> = { x: net.input };
  for (const node of net.nodes) {
    const params = Object.fromEntries(Object.entries(node.params).map(([role, key]) => [role, net.params[key]!.shape]));
    shapes[node.id] = ruleOf(node).outputShape(
      node.inputs.map((id) => shapes[id]!),
      params,
      node.attributes,
    );
  }
  return shapes;
}

/** Learnable parameters (running statistics are none), without a head. */
export function parameterCount(net: Net): number {
  return Object.values(net.params)
    .filter(({ role }) => role !== "normMean" && role !== "normVariance")
    .reduce((sum, { shape }) => sum + product(shape), 0);
}

/** Weights that scores and masks are about. */
export function prunableCount(net: Net): number {
  return net.prunable.reduce((sum, key) => sum + product(net.params[key]!.shape), 0);
}

/** Multiply-accumulates of one image by prunable weight: positions times weights (1 MAC = 2 FLOP). */
export function macsByLayer(net: Net): Readonly<Record<string, number>> {
  const shapes = outputShapes(net);
  return Object.fromEntries(
    net.nodes
      .filter(({ params }) => params.weight !== undefined && net.prunable.includes(params.weight))
      .map(({ id, params }) => [
        params.weight!,
        product(shapes[id]!.slice(0, -1)) * product(net.params[params.weight!]!.shape),
      ]),
  );
}

/** Multiply-accumulates of one image, those of attention between tokens included. */
export function macs(net: Net): number {
  const shapes = outputShapes(net);
  const betweenActivations = net.nodes.map(
    (node) =>
      ruleOf(node).macs?.(
        node.inputs.map((id) => shapes[id]!),
        node.attributes,
      ) ?? 0,
  );
  return [...Object.values(macsByLayer(net)), ...betweenActivations].reduce((a, b) => a + b, 0);
}
