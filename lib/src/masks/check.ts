import type { Mask, Net } from "../types";

/** Throws unless the mask has exactly the prunable parameters of the net, with their sizes, and nothing but 0 and 1. */
export function checkMask(net: Net, mask: Mask): void {
  sameNames("mask", Object.keys(mask), `${net.name}.prunable`, net.prunable);
  for (const name of net.prunable) {
    const kept = mask[name]!;
    const size = net.params[name]!.shape.reduce((a, b) => a * b, 1);
    if (!(kept instanceof Uint8Array)) throw new TypeError(`mask "${name}" must be a Uint8Array`);
    if (kept.length !== size)
      throw new RangeError(
        `mask "${name}" must have ${size} entries for [${net.params[name]!.shape}], got ${kept.length}`,
      );
    const bad = kept.findIndex((value) => value > 1);
    if (bad >= 0) throw new RangeError(`mask "${name}" must be 0 or 1, got ${kept[bad]} at ${bad}`);
  }
}

export function sameNames(aIs: string, a: readonly string[], bIs: string, b: readonly string[]): void {
  const [inA, inB] = [new Set(a), new Set(b)];
  const onlyA = a.filter((name) => !inB.has(name));
  const onlyB = b.filter((name) => !inA.has(name));
  if (onlyA.length + onlyB.length > 0)
    throw new Error(
      `${aIs} and ${bIs} must name the same parameters; only in ${aIs}: [${onlyA}]; only in ${bIs}: [${onlyB}]`,
    );
  if (inA.size !== a.length) throw new Error(`${aIs} names a parameter twice: [${a}]`);
}
