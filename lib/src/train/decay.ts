import type { Tensor } from "../types";

/** Which parameters weight decay is for. */
export interface DecayOptions {
  /** norms and biases too */
  readonly decayAll?: boolean;
  /** keys of parameters of rank > 1 that have none: embeddings */
  readonly noDecay?: readonly string[];
}

/** Weights of rank > 1 decay; biases and norms do not, nor do the keys of `noDecay`. */
export const decays = (key: string, weight: Tensor, { decayAll = false, noDecay = [] }: DecayOptions): boolean =>
  decayAll || (weight.rank > 1 && !noDecay.includes(key));
