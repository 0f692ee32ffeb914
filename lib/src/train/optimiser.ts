/** SGD and AdamW as plain values: what a training loop needs to know of an optimiser. */
import type { Net, Tree } from "../types";
import { adamwStep, checkAdamW } from "./adamw";
import { checkClip } from "./clip";
import { checkSgd, sgdStep } from "./sgd";

/** SGD with Nesterov momentum; decay is added to the gradient of weights of rank > 1. */
export interface SgdSettings {
  readonly optimiser?: "sgd";
  readonly momentum: number;
  readonly weightDecay: number;
}

/** AdamW; decay shrinks weights of rank > 1, embeddings excepted. */
export interface AdamWSettings {
  readonly optimiser: "adamw";
  readonly beta1?: number;
  readonly beta2?: number;
  readonly weightDecay: number;
}

export type OptimiserSettings = (SgdSettings | AdamWSettings) & {
  /** longest gradient, over all parameters together; longer ones are cut to it */
  readonly clip?: number;
};

/** Trees by name: parameters, moments, a teacher ... */
export type Trees = Readonly<Record<string, Tree>>;

export interface Optimiser {
  /** names of its trees of moments, which start at zero */
  readonly moments: readonly string[];
  /**
   * One step for the gradient's entries.
   * @param count number of this step for a parameter, from 1
   * @returns new parameters and moments of those entries; nothing is disposed
   */
  step(
    params: Tree,
    moments: Trees,
    gradient: Tree,
    rate: number,
    count: (key: string) => number,
  ): { readonly params: Tree; readonly moments: Trees };
}

/**
 * @param net whose embeddings do not decay
 * @throws RangeError naming the setting that is out of range
 */
export function optimiserOf(settings: OptimiserSettings, net: Net): Optimiser {
  if (settings.clip !== undefined) checkClip(settings.clip);
  const noDecay = Object.keys(net.params).filter((key) => net.params[key]!.role === "embedding");
  switch (settings.optimiser) {
    case undefined:
    case "sgd":
      return sgd(settings, noDecay);
    case "adamw":
      return adamw(settings, noDecay);
    default:
      throw new RangeError(
        `optimiser must be "sgd" or "adamw", got ${JSON.stringify((settings as { optimiser: unknown }).optimiser)}`,
      );
  }
}

function sgd({ momentum, weightDecay }: SgdSettings, noDecay: readonly string[]): Optimiser {
  const options = { momentum, weightDecay, nesterov: true, noDecay };
  checkSgd(options);
  return {
    moments: ["velocity"],
    step(params, { velocity }, gradient, rate) {
      const next = sgdStep({ params, velocity: velocity! }, gradient, rate, options);
      return { params: next.params, moments: { velocity: next.velocity } };
    },
  };
}

function adamw({ beta1, beta2, weightDecay }: AdamWSettings, noDecay: readonly string[]): Optimiser {
  const options = { beta1, beta2, weightDecay, noDecay };
  checkAdamW(options);
  return {
    moments: ["mean", "square"],
    step(params, { mean, square }, gradient, rate, count) {
      const { params: moved, ...moments } = adamwStep(
        { params, mean: mean!, square: square! },
        gradient,
        rate,
        options,
        count,
      );
      return { params: moved, moments: { ...moments } };
    },
  };
}
