import { tf } from "../backend";
import { prunableWeights } from "../nets";
import { mapTree } from "../tree";
import type { Mask, Model, Net, Tensor, Tree } from "../types";
import { checkMask } from "./check";

/** The mask as float32 tensors of 0 and 1 in the shapes of the weights; the caller disposes them. */
export function maskTensors(net: Net, mask: Mask): Tree {
  checkMask(net, mask);
  return Object.fromEntries(
    net.prunable.map((key): [string, Tensor] => [
      key,
      tf.tensor(Float32Array.from(mask[key]!), [...net.params[key]!.shape]),
    ]),
  );
}

/** The prunable weights with removed ones at zero: new tensors, to be used with `nets.withParams`; the caller disposes them. */
export function maskedWeights(model: Model, mask: Mask): Tree {
  const flags = maskTensors(model.net, mask);
  const weights = mapTree(prunableWeights(model), (weight, key) => tf.mul(weight, flags[key]!));
  tf.dispose(flags as never);
  return weights;
}

/** The step that a mask makes from the dense weights: d_j = -theta_j where it removes, 0 where it keeps; the caller disposes it. */
export function removalStep(model: Model, mask: Mask): Tree {
  const flags = maskTensors(model.net, mask);
  const step = mapTree(prunableWeights(model), (weight, key) => tf.tidy(() => tf.mul(weight, tf.sub(flags[key]!, 1))));
  tf.dispose(flags as never);
  return step;
}

/**
 * Throws unless every removed weight is exactly zero.
 * @throws Error naming the parameter, the index and the value
 */
export function assertKept(model: Model, mask: Mask): void {
  checkMask(model.net, mask);
  for (const key of model.net.prunable) {
    const values = model.params[key]!.dataSync();
    const flags = mask[key]!;
    for (let i = 0; i < flags.length; i++)
      if (flags[i] === 0 && values[i] !== 0)
        throw new Error(`assertKept: removed weight "${key}"[${i}] must be 0, got ${values[i]}`);
  }
}
