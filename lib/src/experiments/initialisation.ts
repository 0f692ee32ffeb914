/** How much of a backbone is still what it was initialised with. */
import { tf } from "../backend";
import { globalThreshold, type LayerOverlap, overlapReport } from "../masks";
import { initialise, prunableWeights } from "../nets";
import { disposeTree, mapTree, toHost } from "../tree";
import type { Model } from "../types";
import { loadBackbone } from "./zoo";

export interface InitialisationKept {
  readonly model: string;
  readonly pretraining: string;
  readonly seed: number;
  /** name of a layer's weight, or "all" */
  readonly layer: string;
  readonly weights: number;
  /** theta . theta0 / (|theta| |theta0|), theta0 the random weights that training started from; about 1 / sqrt(weights) by chance */
  readonly cosine: number;
  /** |theta| / |theta0| */
  readonly lengthRatio: number;
  /** magnitude masks of theta and of theta0 at the keep ratio: kept in both / kept in either, within the layer */
  readonly maskOverlap: number;
  /** the same for masks of these densities that know nothing of each other */
  readonly maskOverlapByChance: number;
}

/**
 * For each backbone of the zoo (its card names the seed): how far the prunable weights still point to where training started, and how
 * much of the magnitude mask is the mask of random numbers. A magnitude that is mostly initialisation ranks nothing that was learnt.
 * @param keep of both masks, one global threshold each
 * @returns a record for each layer and one for all of them
 * @throws RangeError for an unknown name or a keep ratio outside (0, 1]
 */
export function initialisationKept(names: readonly string[], { keep = 0.1678 } = {}): InitialisationKept[] {
  return names.flatMap((name) => {
    const { card, model } = loadBackbone(name);
    const start: Model = { net: model.net, params: initialise(model.net, card.settings.seed, card.settings) };
    try {
      const [now, before] = [toHost(prunableWeights(model)), toHost(prunableWeights(start))];
      const overlap = overlapReport(magnitudeMask(model, keep), magnitudeMask(start, keep));
      const origin = { model: card.net, pretraining: card.pretraining, seed: card.settings.seed };
      const layers = overlap.layers.map((layer) => ({
        layer: layer.name,
        maskOverlap: layer.intersectionOverUnion,
        maskOverlapByChance: chance(layer),
        ...inner(now[layer.name]!, before[layer.name]!),
      }));
      const sum = (of: "weights" | "product" | "now" | "atStart"): number =>
        layers.reduce((s, layer) => s + layer[of], 0);
      const all = {
        layer: "all",
        maskOverlap: overlap.intersectionOverUnion,
        maskOverlapByChance: overlap.byChance,
        weights: sum("weights"),
        product: sum("product"),
        now: sum("now"),
        atStart: sum("atStart"),
      };
      return [...layers, all].map(({ product, now: a, atStart: b, ...rest }) => ({
        ...origin,
        ...rest,
        cosine: product / Math.sqrt(a * b),
        lengthRatio: Math.sqrt(a / b),
      }));
    } finally {
      disposeTree(model.params);
      disposeTree(start.params);
    }
  });
}

function magnitudeMask(model: Model, keep: number): ReturnType<typeof globalThreshold> {
  const prices = mapTree(prunableWeights(model), (weight) => tf.square(weight));
  try {
    return globalThreshold(toHost(prices), keep, { order: model.net.prunable });
  } finally {
    disposeTree(prices);
  }
}

const chance = ({ keptInA: a, keptInB: b, total }: LayerOverlap): number => {
  const both = (a * b) / total;
  return a + b === 0 ? Number.NaN : both / (a + b - both);
};

type Numbers = Float32Array | Float64Array;

/** theta . theta0 and the squared lengths. */
function inner(now: Numbers, start: Numbers): Record<"weights" | "product" | "now" | "atStart", number> {
  const sums = { weights: now.length, product: 0, now: 0, atStart: 0 };
  now.forEach((x, i) => {
    const y = start[i]!;
    sums.product += x * y;
    sums.now += x * x;
    sums.atStart += y * y;
  });
  return sums;
}
