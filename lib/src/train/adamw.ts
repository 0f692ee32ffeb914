import { tf } from "../backend";
import type { Tensor, Tree } from "../types";
import { decays } from "./decay";

export interface AdamWOptions {
  /** decay rates of the means of gradient and squared gradient; defaults .9 and .999 */
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** weights of rank > 1 shrink by the factor 1 - rate * weightDecay a step, those in `noDecay` excepted */
  readonly weightDecay: number;
  readonly noDecay?: readonly string[];
}

/** @throws RangeError naming the option that is out of range */
export function checkAdamW({ beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay }: AdamWOptions): void {
  for (const [name, beta] of Object.entries({ beta1, beta2 }))
    if (!(beta >= 0 && beta < 1)) throw new RangeError(`${name} must be in [0, 1), got ${beta}`);
  if (!(epsilon > 0 && Number.isFinite(epsilon)))
    throw new RangeError(`epsilon must be a positive number, got ${epsilon}`);
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay)))
    throw new RangeError(`weightDecay must be a number >= 0, got ${weightDecay}`);
}

/** Parameters under training and the running means of their gradients and squared gradients. */
export interface AdamWState {
  readonly params: Tree;
  readonly mean: Tree;
  readonly square: Tree;
}

/**
 * One step of AdamW as in torch, decay apart from the gradient:
 *   m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
 *   w <- (1 - lr wd) w - lr (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + eps)
 * @param count k, the number of this step from 1 on, for all parameters or by key (a parameter that was frozen starts later)
 * @returns new tensors for every gradient's entry; the old state is not disposed
 */
export function adamwStep(
  { params, mean, square }: AdamWState,
  gradient: Tree,
  rate: number,
  options: AdamWOptions,
  count: number | ((key: string) => number),
): AdamWState {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay, noDecay } = options;
  const next = { params: {}, mean: {}, square: {} } as Record<keyof AdamWState, Record<string, Tensor>>;
  for (const [key, grad] of Object.entries(gradient)) {
    const k = typeof count === "number" ? count : count(key);
    const [correction1, correction2] = [1 - beta1 ** k, Math.sqrt(1 - beta2 ** k)];
    [next.params[key], next.mean[key], next.square[key]] = tf.tidy((): [Tensor, Tensor, Tensor] => {
      const weight = params[key]!;
      const m = tf.add(tf.mul(mean[key]!, beta1), tf.mul(grad, 1 - beta1));
      const v = tf.add(tf.mul(square[key]!, beta2), tf.mul(tf.square(grad), 1 - beta2));
      // both corrections in the factor and in epsilon: two passes over the weights less
      const direction = tf.div(m, tf.add(tf.sqrt(v), epsilon * correction2));
      const kept =
        weightDecay > 0 && decays(key, weight, { noDecay }) ? tf.mul(weight, 1 - rate * weightDecay) : weight;
      return [tf.sub(kept, tf.mul(direction, (rate * correction2) / correction1)), m, v];
    });
  }
  return next;
}
