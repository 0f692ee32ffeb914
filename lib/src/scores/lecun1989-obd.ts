import { tf } from "../backend";
import { gnDiag, type LossOptions, lossGradient } from "../curvature";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Scorer } from "../types";
import { withLoss } from "./loss-name";

export interface ObdOptions extends LossOptions {
  /** adds -g_j theta_j, the first-order change, which Optimal Brain Damage drops because it prunes at a minimum (default false) */
  readonly firstOrder?: boolean;
}

/**
 * Optimal Brain Damage (LeCun, Denker, Solla 1989): theta_j^2 G_jj / 2, the loss change when weight j alone goes, with the
 * Gauss-Newton diagonal (as published: second derivatives of the activations are left out). Half of `diagonal`, the same ranking.
 * With the first-order term: theta_j^2 G_jj / 2 - theta_j g_j, ranked with its sign: a weight whose removal lowers the loss goes first.
 */
export function obd({ firstOrder = false, ...options }: ObdOptions = {}): Scorer {
  return {
    name: withLoss(firstOrder ? "obd-firstOrder" : "obd", options),
    unit: "loss",
    usesData: true,
    score: (model, data) =>
      tf.tidy(() => {
        const weights = prunableWeights(model);
        const second = zipTree(weights, gnDiag(model, data, options), (w, h) => tf.mul(tf.mul(tf.square(w), h), 0.5));
        if (!firstOrder) return second as never;
        const first = zipTree(weights, lossGradient(model, data, options).gradient, (w, g) => tf.mul(w, g));
        return zipTree(second, first, (s, f) => tf.sub(s, f)) as never;
      }),
  };
}
