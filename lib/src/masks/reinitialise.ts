import { tf } from "../backend";
import { initialise } from "../nets";
import { disposeTree } from "../tree";
import type { Mask, Net, Tree } from "../types";
import { maskTensors } from "./apply";

/**
 * The mask with fresh weights: kept ones drawn as before any training (`nets.initialise`, own seed), removed ones at zero: what the
 * places are worth without the values. Norms and biases are not among them: they stay those of the model that these go into.
 * @returns the prunable weights, to be used with `nets.withParams`; the caller disposes them
 */
export function reinitialisedWeights(net: Net, mask: Mask, seed: number): Tree {
  const flags = maskTensors(net, mask);
  const fresh = initialise(net, seed);
  try {
    return Object.fromEntries(net.prunable.map((name) => [name, tf.mul(fresh[name]!, flags[name]!)]));
  } finally {
    disposeTree(flags);
    disposeTree(fresh);
  }
}
