import { tf } from "../backend";
import type { Net, Tensor, Tree } from "../types";
import { type DecayOptions, decays } from "./decay";

export interface SgdOptions extends DecayOptions {
  readonly momentum: number;
  /** added to the gradient of weights of rank > 1 as weightDecay * w; norms and biases have none unless `decayAll` */
  readonly weightDecay: number;
  readonly nesterov?: boolean;
}

/** @throws RangeError naming the option that is out of range */
export function checkSgd({ momentum, weightDecay }: Pick<SgdOptions, "momentum" | "weightDecay">): void {
  if (!(momentum >= 0 && momentum < 1)) throw new RangeError(`momentum must be in [0, 1), got ${momentum}`);
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay)))
    throw new RangeError(`weightDecay must be a number >= 0, got ${weightDecay}`);
}

/** Parameters under training and their momentum buffers. */
export interface SgdState {
  readonly params: Tree;
  readonly velocity: Tree;
}

/**
 * One step of stochastic gradient descent as in torch: g <- grad + wd w, v <- momentum v + g, w <- w - lr (v, or g + momentum v).
 * @returns new tensors for every gradient's entry; the old state is not disposed
 */
export function sgdStep({ params, velocity }: SgdState, gradient: Tree, rate: number, options: SgdOptions): SgdState {
  const { momentum, weightDecay, nesterov = false } = options;
  const nextParams: Record<string, Tensor> = {};
  const nextVelocity: Record<string, Tensor> = {};
  for (const [key, grad] of Object.entries(gradient)) {
    const weight = params[key]!;
    const [moved, v] = tf.tidy((): [Tensor, Tensor] => {
      const decayed =
        weightDecay > 0 && decays(key, weight, options) ? tf.add(grad, tf.mul(weight, weightDecay)) : grad;
      const v = tf.add(tf.mul(velocity[key]!, momentum), decayed);
      const direction = nesterov ? tf.add(decayed, tf.mul(v, momentum)) : v;
      return [tf.sub(weight, tf.mul(direction, rate)), v];
    });
    nextParams[key] = moved;
    nextVelocity[key] = v;
  }
  return { params: nextParams, velocity: nextVelocity };
}

/** Keys that learn by gradient: everything but running statistics. */
export function learnable(net: Net): string[] {
  return Object.keys(net.params).filter((key) => {
    const { role } = net.params[key]!;
    return role !== "normMean" && role !== "normVariance";
  });
}

export const zeros = (params: Tree, keys: readonly string[]): Tree =>
  Object.fromEntries(keys.map((key) => [key, tf.zerosLike(params[key]!)]));
