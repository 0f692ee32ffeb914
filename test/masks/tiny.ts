import type { Mask, Net, ParamSpec } from "secateur";

/** A net for masks: two convolutions and a linear layer to prune, a norm and a bias that are not. */
export const params: Record<string, ParamSpec> = {
  "conv1.weight": { shape: [3, 3, 2, 4], role: "convWeight" },
  "bn1.weight": { shape: [4], role: "normScale" },
  "conv2.weight": { shape: [1, 1, 4, 3], role: "convWeight" },
  "fc.weight": { shape: [3, 5], role: "linearWeight" },
  "fc.bias": { shape: [5], role: "bias" },
};
export const net: Net = {
  name: "tiny",
  input: [4, 4, 2],
  features: 5,
  nodes: [],
  params,
  prunable: ["conv1.weight", "conv2.weight", "fc.weight"],
};
export const kept = (mask: Mask): number => Object.values(mask).reduce((n, m) => m.reduce((a, b) => a + b, n), 0);
