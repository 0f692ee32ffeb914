import { tf } from "../backend";
import { mapTree } from "../tree";
import type { Tree } from "../types";

/** @throws RangeError unless most is a positive number */
export function checkClip(most: number): void {
  if (!(most > 0 && Number.isFinite(most))) throw new RangeError(`clip must be a positive number, got ${most}`);
}

/**
 * The gradient times min(1, most / (norm + 1e-6)), norm over all its entries together, as in torch.
 * @param most largest norm that is left as it is
 * @returns new tensors; the given ones are not disposed
 * @throws RangeError unless most is a positive number
 */
export function clipByGlobalNorm(gradient: Tree, most: number): Tree {
  checkClip(most);
  return tf.tidy(() => {
    const squares = Object.values(gradient).map((g) => tf.sum(tf.square(g)));
    const norm = tf.sqrt(tf.addN(squares));
    const factor = tf.minimum(tf.div(most, tf.add(norm, 1e-6)), 1);
    return mapTree(gradient, (g) => tf.mul(g, factor)) as never;
  });
}
