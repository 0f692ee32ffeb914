import { tf } from "../backend";
import { withParams } from "../nets";
import { disposeTree, mapTree } from "../tree";
import type { Batch, Model, Tree } from "../types";
import type { LossOptions } from "./gauss-newton";
import { lossAlong } from "./loss";

/**
 * L(theta + s a + t b) for every s of `sharesOfA` and t of `sharesOfB`: a cut through the landscape.
 * @param a  tree of parameters to move, as is b; they may name different ones
 * @returns a row for each t, in it a number for each s, in units of the loss
 * @throws RangeError for a share that is not finite; Error for a direction that does not fit the model
 */
export function lossPlane(
  model: Model,
  data: Batch,
  { a, b }: { readonly a: Tree; readonly b: Tree },
  { sharesOfA, sharesOfB }: { readonly sharesOfA: readonly number[]; readonly sharesOfB: readonly number[] },
  options: LossOptions = {},
): number[][] {
  const bad = sharesOfB.find((t) => !Number.isFinite(t));
  if (bad !== undefined) throw new RangeError(`lossPlane: shares must be finite numbers, got ${bad}`);
  return sharesOfB.map((t) => {
    const moved = mapTree(b, (d, key) => {
      const start = model.params[key];
      if (start === undefined) throw new Error(`lossPlane: ${model.net.name} has no parameter '${key}'`);
      return tf.tidy(() => tf.add(start, tf.mul(d, t)));
    });
    try {
      return lossAlong(withParams(model, moved), data, a, sharesOfA, options);
    } finally {
      disposeTree(moved);
    }
  });
}
