/** One table of rules; a kind without a rule does not compile. */
import type { LayerKind, NetNode } from "../types";
import { gelu, relu } from "./activation";
import { conv2d } from "./conv";
import { linear } from "./linear";
import { batchNorm } from "./norm";
import { avgPool, globalAvgPool, maxPool } from "./pool";
import type { Rule } from "./rule";
import { add, flatten } from "./shape";
import { attention, classToken, layerNorm, takeClass, tokens } from "./transformer";

export { batchNormTraining } from "./norm";
export type { Bend, Maybe, Params, Point, Rule, Shape, Weighted } from "./rule";
export { addAll, lastAxis } from "./rule";

export const rules: { readonly [Kind in LayerKind]: Rule<Extract<NetNode, { kind: Kind }>> } = {
  conv2d,
  linear,
  batchNorm,
  relu,
  gelu,
  add,
  maxPool,
  avgPool,
  globalAvgPool,
  flatten,
  tokens,
  classToken,
  takeClass,
  layerNorm,
  attention,
};

/** The rule of a node; the table's key ties it to the node's kind. */
export function ruleOf(node: NetNode): Rule {
  return rules[node.kind] as unknown as Rule;
}
