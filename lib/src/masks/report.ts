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

export interface LayerOverlap extends Overlap {
  readonly name: string;
  readonly keptInA: number;
  readonly keptInB: number;
  readonly total: number;
}

export interface OverlapReport extends Overlap {
  /** intersection over union to expect when both masks keep these numbers of every layer, at places that know nothing of each other */
  readonly byChance: number;
  readonly layers: readonly LayerOverlap[];
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
  const { both, intersectionOverUnion, shareOfA } = overlapReport(a, b);
  return { both, intersectionOverUnion, shareOfA };
}

/**
 * The same layer by layer, beside what chance alone makes of the layers' densities: `shuffleWithinLayers` of either mask overlaps
 * the other by about `byChance`.
 */
export function overlapReport(a: Mask, b: Mask): OverlapReport {
  sameNames("a", Object.keys(a), "b", Object.keys(b));
  const layers = Object.keys(a).map((name) => layerOverlap(name, a[name]!, b[name]!));
  const sum = (f: (layer: LayerOverlap) => number): number => layers.reduce((total, layer) => total + f(layer), 0);
  const [inA, inB] = [sum((l) => l.keptInA), sum((l) => l.keptInB)];
  const chance = sum((l) => (l.total === 0 ? 0 : (l.keptInA * l.keptInB) / l.total));
  return {
    ...shares(
      sum((l) => l.both),
      inA,
      inB,
    ),
    byChance: shares(chance, inA, inB).intersectionOverUnion,
    layers,
  };
}

function layerOverlap(name: string, a: Uint8Array, b: Uint8Array): LayerOverlap {
  if (a.length !== b.length) throw new RangeError(`"${name}" has ${a.length} weights in a, ${b.length} in b`);
  let [both, keptInA, keptInB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    both += a[i]! & b[i]!;
    keptInA += a[i]!;
    keptInB += b[i]!;
  }
  return { name, keptInA, keptInB, total: a.length, ...shares(both, keptInA, keptInB) };
}

function shares(both: number, inA: number, inB: number): Overlap {
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
