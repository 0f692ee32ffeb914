import { tf } from "../backend";
import { mapTree } from "../tree";
import type { Tree } from "../types";

/**
 * Exponential moving average: momentum slow + (1 - momentum) fast, for every entry of slow.
 * @returns new tensors; the given ones are not disposed
 * @throws RangeError unless momentum is in [0, 1]; Error when fast lacks an entry
 */
export function movedAverage(slow: Tree, fast: Tree, momentum: number): Tree {
  if (!(momentum >= 0 && momentum <= 1)) throw new RangeError(`momentum must be in [0, 1], got ${momentum}`);
  return mapTree(slow, (old, key) => {
    const now = fast[key];
    if (now === undefined) throw new Error(`movedAverage: '${key}' is only in the average`);
    return tf.tidy(() => tf.add(tf.mul(old, momentum), tf.mul(now, 1 - momentum)));
  });
}
