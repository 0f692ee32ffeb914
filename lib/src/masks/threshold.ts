import type { HostTree } from "../tree";
import type { Mask, Net } from "../types";
import { sameNames } from "./check";

export interface ThresholdOptions {
  /** what is already removed (0) stays removed, whatever its score */
  readonly previous?: Mask;
  /** names in the order that breaks ties, normally `net.prunable`; default: the order of the keys of `scores` */
  readonly order?: readonly string[];
}

/** Nothing removed: a 1 for every weight of `net.prunable`. */
export function fullMask(net: Net): Mask {
  return Object.fromEntries(
    net.prunable.map((name) => [name, new Uint8Array(net.params[name]!.shape.reduce((a, b) => a * b, 1)).fill(1)]),
  );
}

/**
 * One threshold for all weights: exactly round(keep * p) of the p weights in `scores` are kept, those with the highest scores.
 * p counts the weights that `previous` removed too. Ties: the earlier name in `order`, then the lower index is kept.
 * @param keep ratio in (0, 1]
 * @throws RangeError when `keep` is out of range, or fewer weights are left than asked for;
 * Error naming parameter and index of a score that is not finite (among the weights that are left), or names that do not match
 */
export function globalThreshold(scores: HostTree, keep: number, options: ThresholdOptions = {}): Mask {
  const layers = checked(scores, keep, options);
  const total = layers.reduce((sum, { scores }) => sum + scores.length, 0);
  return Object.fromEntries(keepHighest(layers, Math.round(keep * total)));
}

/** As `globalThreshold`, but every layer of p_l weights keeps exactly round(keep * p_l). */
export function layerwiseThreshold(scores: HostTree, keep: number, options: ThresholdOptions = {}): Mask {
  const layers = checked(scores, keep, options);
  return Object.fromEntries(layers.flatMap((layer) => keepHighest([layer], Math.round(keep * layer.scores.length))));
}

interface Layer {
  readonly name: string;
  readonly scores: Float32Array | Float64Array;
  /** 1 = may be kept */
  readonly alive: Uint8Array;
}

function checked(scores: HostTree, keep: number, { previous, order = Object.keys(scores) }: ThresholdOptions): Layer[] {
  if (!(keep > 0 && keep <= 1)) throw new RangeError(`keep must be in (0, 1], got ${keep}`);
  sameNames("order", order, "scores", Object.keys(scores));
  if (previous !== undefined) sameNames("previous", Object.keys(previous), "scores", Object.keys(scores));
  return order.map((name) => {
    const values = scores[name]!;
    if (!(values instanceof Float32Array || values instanceof Float64Array))
      throw new TypeError(`scores "${name}" must be a Float32Array or Float64Array on the host`);
    const alive = previous?.[name] ?? new Uint8Array(values.length).fill(1);
    if (alive.length !== values.length)
      throw new RangeError(`previous "${name}" has ${alive.length} weights, scores have ${values.length}`);
    return { name, scores: values, alive };
  });
}

function keepHighest(layers: readonly Layer[], count: number): [string, Uint8Array][] {
  const { threshold, ties } = select(layers, count);
  let tiesLeft = ties;
  return layers.map(({ name, scores, alive }) => {
    const kept = new Uint8Array(scores.length);
    for (let i = 0; i < kept.length; i++) {
      if (alive[i] === 0 || !(scores[i]! >= threshold)) continue;
      kept[i] = scores[i]! > threshold || tiesLeft-- > 0 ? 1 : 0;
    }
    return [name, kept];
  });
}

/**
 * The count-th highest score of the weights that are left, and how many weights equal to it are kept.
 * Radix selection: the 64 bits of the scores in four digits; each pass keeps the candidates that share the threshold's digit.
 */
function select(layers: readonly Layer[], count: number): { threshold: number; ties: number } {
  const bins = new Uint32Array(1 << 16);
  let left = 0;
  for (const { name, scores, alive } of layers)
    for (let i = 0; i < scores.length; i++) {
      if (alive[i] === 0) continue;
      const score = scores[i]!;
      if (!(score - score === 0)) throw new Error(`score must be finite, got ${score} at "${name}"[${i}]`);
      bins[digit(score, 0)]!++;
      left++;
    }
  if (count > left) throw new RangeError(`cannot keep ${count} weights, only ${left} are left`);
  if (count === 0) return { threshold: Number.POSITIVE_INFINITY, ties: 0 };

  let [wanted, rank] = binOfRank(bins, count);
  const candidates = new Float64Array(bins[wanted]!);
  let n = 0;
  for (const { scores, alive } of layers)
    for (let i = 0; i < scores.length; i++)
      if (alive[i] !== 0 && digit(scores[i]!, 0) === wanted) candidates[n++] = scores[i]!;
  for (let place = 1; place < 4; place++) {
    bins.fill(0);
    for (let i = 0; i < n; i++) bins[digit(candidates[i]!, place)]!++;
    [wanted, rank] = binOfRank(bins, rank);
    let matching = 0;
    for (let i = 0; i < n; i++) if (digit(candidates[i]!, place) === wanted) candidates[matching++] = candidates[i]!;
    n = matching;
  }
  return { threshold: candidates[0]!, ties: rank };
}

/** The bin of the rank-th highest entry (1 = highest), and its rank within that bin. */
function binOfRank(bins: Uint32Array, rank: number): [number, number] {
  let bin = bins.length - 1;
  while (bins[bin]! < rank) rank -= bins[bin--]!;
  return [bin, rank];
}

const word = new Float64Array(1);
const sixteenths = new Uint16Array(word.buffer);

/** 16 of the 64 bits, the highest at place 0, turned so that larger numbers have larger digits; -0 counts as 0. */
function digit(score: number, place: number): number {
  word[0] = score + 0;
  const bits = sixteenths[3 - place]!;
  const negative = sixteenths[3]! & 0x8000;
  if (negative) return bits ^ 0xffff;
  return place === 0 ? bits | 0x8000 : bits;
}
