/** The keys of earlier batches, which a contrast tells a query's own key from: a ring of rows of length 1. */
import { stream, tf } from "../backend";
import type { Tensor2D } from "../types";
import { unitRows } from "./unit-rows";

/** [length, dimension] random directions. */
export function startQueue(length: number, dimension: number, seed: number): Tensor2D {
  const numbers = stream(seed, "initialise", "queue");
  const values = Float32Array.from({ length: length * dimension }, () => numbers.normal());
  return tf.tidy(() => unitRows(tf.tensor2d(values, [length, dimension])));
}

/**
 * The queue after the keys have taken the places of the oldest ones.
 * @param keys [n, dimension], n a divisor of the queue's length
 * @param batches that were put in before
 * @returns a new tensor; the given ones are not disposed
 */
export function enqueued(queue: Tensor2D, keys: Tensor2D, batches: number): Tensor2D {
  const [length, n] = [queue.shape[0], keys.shape[0]];
  if (length % n !== 0) throw new RangeError(`queue: ${length} places cannot be filled by batches of ${n}`);
  const from = (batches * n) % length;
  return tf.tidy(() =>
    tf.concat2d(
      [tf.slice(queue, 0, from), keys, tf.slice(queue, from + n)].filter(({ shape }) => shape[0] > 0),
      0,
    ),
  );
}
