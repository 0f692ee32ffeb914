import { backend, type TensorContainer } from "secateur";
import { expect } from "vitest";

const { tf } = backend;

/**
 * `owned` for a promise: fails unless the only new tensors are the ones that it returns, and unless TensorFlow itself holds
 * nothing more once those are disposed. f runs three times; the last result is returned.
 */
export async function ownedAsync<T extends TensorContainer>(f: () => Promise<T>): Promise<T> {
  tf.dispose(await f());
  const [tensors, handles] = [tf.memory().numTensors, backend.nativeHandles()];
  const out = await f();
  const made = tf.tensor_util.getTensorsInContainer(out).length;
  expect(tf.memory().numTensors - tensors, "new tensors").toBe(made);
  tf.dispose(out);
  expect(backend.nativeHandles() - handles, "native handles left after disposing the result").toBe(0);
  return f();
}
