import { toTorchLayout } from "../checkpoints";
import type { Mask, Net } from "../types";
import { checkMask } from "./check";

export interface NofM {
  /** whole groups of m */
  readonly groups: number;
  /** of these, the ones with at most n kept weights */
  readonly fitting: number;
  /** fitting / groups; NaN without a group */
  readonly share: number;
}

export interface NofMReport extends NofM {
  readonly layers: readonly (NofM & { readonly name: string })[];
}

/**
 * How far a mask is from N:M sparsity (default 2:4, what sparse tensor cores take): the share of groups of m neighbours with at most n
 * kept weights. Groups run along the input axis of the weight as the checkpoint flattens it, [out, in kh kw] (linear: [out, in]);
 * a last incomplete group of a row is left out.
 * @throws RangeError unless 0 < n < m
 */
export function nOfMReport(net: Net, mask: Mask, { n = 2, m = 4 }: { n?: number; m?: number } = {}): NofMReport {
  if (!(Number.isSafeInteger(n) && Number.isSafeInteger(m) && 0 < n && n < m))
    throw new RangeError(`n and m must be whole numbers, 0 < n < m, got n ${n}, m ${m}`);
  checkMask(net, mask);
  const layers = net.prunable.map((name) => {
    const spec = net.params[name]!;
    const row = mask[name]!.length / spec.shape[spec.shape.length - 1]!;
    return { name, ...countGroups(toTorchLayout(spec, mask[name]!), row, n, m) };
  });
  const sum = (field: "groups" | "fitting"): number => layers.reduce((total, layer) => total + layer[field], 0);
  return { ...nOfM(sum("groups"), sum("fitting")), layers };
}

const nOfM = (groups: number, fitting: number): NofM => ({ groups, fitting, share: fitting / groups });

function countGroups(kept: Uint8Array, row: number, n: number, m: number): NofM {
  let [groups, fitting] = [0, 0];
  for (let start = 0; start < kept.length; start += row)
    for (let from = start; from + m <= start + row; from += m) {
      let count = 0;
      for (let i = from; i < from + m; i++) count += kept[i]!;
      groups++;
      if (count <= n) fitting++;
    }
  return nOfM(groups, fitting);
}
