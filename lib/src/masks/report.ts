import type { Mask, Net } from "../types";
import { checkMask, sameNames } from "./check";

export interface Overlap {
  /** weights kept in both */
  readonly both: number;
  /** kept in both / kept in either; 1 for two empty masks */
  readonly intersectionOverUnion: number;
  /** kept in both / kept in a; 1 when a keeps nothing */
  readonly shareOfA: number;
}

export interface LayerReport {
  readonly name: string;
  readonly kept: number;
  readonly total: number;
  /** kept / total */
  readonly keep: number;
  /** no weight is kept */
  readonly dead: boolean;
  /** output channels (filters, units) of which no weight is kept */
  readonly deadOutputs: number;
  /** input channels that no kept weight reads */
  readonly deadInputs: number;
  /** pairs of input and output channel without a kept weight: removed kh x kw kernels of a convolution, removed weights of a linear layer */
  readonly deadKernels: number;
}

export interface MaskReport {
  readonly layers: readonly LayerReport[];
  readonly kept: number;
  readonly total: number;
  readonly keep: number;
  readonly deadLayers: readonly string[];
  readonly deadOutputs: number;
  readonly deadInputs: number;
  readonly deadKernels: number;
}

/** How much two masks of the same parameters agree. */
export function overlap(a: Mask, b: Mask): Overlap {
  sameNames("a", Object.keys(a), "b", Object.keys(b));
  let both = 0;
  let inA = 0;
  let inB = 0;
  for (const name of Object.keys(a)) {
    const [x, y] = [a[name]!, b[name]!];
    if (x.length !== y.length) throw new RangeError(`"${name}" has ${x.length} weights in a, ${y.length} in b`);
    for (let i = 0; i < x.length; i++) {
      both += x[i]! & y[i]!;
      inA += x[i]!;
      inB += y[i]!;
    }
  }
  const either = inA + inB - both;
  return { both, intersectionOverUnion: either === 0 ? 1 : both / either, shareOfA: inA === 0 ? 1 : both / inA };
}

/** What is left of every layer, and of the whole. */
export function maskReport(net: Net, mask: Mask): MaskReport {
  checkMask(net, mask);
  const layers = net.prunable.map((name) => layerReport(name, net.params[name]!.shape, mask[name]!));
  const sum = (field: "kept" | "total" | "deadOutputs" | "deadInputs" | "deadKernels"): number =>
    layers.reduce((total, layer) => total + layer[field], 0);
  return {
    layers,
    kept: sum("kept"),
    total: sum("total"),
    keep: sum("kept") / sum("total"),
    deadLayers: layers.filter(({ dead }) => dead).map(({ name }) => name),
    deadOutputs: sum("deadOutputs"),
    deadInputs: sum("deadInputs"),
    deadKernels: sum("deadKernels"),
  };
}

/** Both layouts end in [in, out]: conv [kh, kw, in, out], linear [in, out]. */
function layerReport(name: string, shape: readonly number[], kept: Uint8Array): LayerReport {
  const [inputs, outputs] = shape.slice(-2) as [number, number];
  const kernels = new Uint32Array(inputs * outputs);
  for (let i = 0; i < kept.length; i++) kernels[i % kernels.length]! += kept[i]!;
  const outputSums = new Uint32Array(outputs);
  const inputSums = new Uint32Array(inputs);
  kernels.forEach((count, i) => {
    outputSums[i % outputs]! += count;
    inputSums[Math.floor(i / outputs)]! += count;
  });
  const count = outputSums.reduce((a, b) => a + b, 0);
  return {
    name,
    kept: count,
    total: kept.length,
    keep: count / kept.length,
    dead: count === 0,
    deadOutputs: zeros(outputSums),
    deadInputs: zeros(inputSums),
    deadKernels: zeros(kernels),
  };
}

function zeros(counts: Uint32Array): number {
  return counts.reduce((n, count) => n + (count === 0 ? 1 : 0), 0);
}
