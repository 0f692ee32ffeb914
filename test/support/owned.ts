import { backend, type TensorContainer } from "secateur";
import { expect } from "vitest";

const { tf } = backend;

const tensorsIn = (value: TensorContainer): number => tf.tensor_util.getTensorsInContainer(value).length;

/**
 * Runs f outside any tidy; fails unless the only new tensors are the ones it returns, and unless TensorFlow itself holds
 * nothing more once those are disposed. f runs three times: the first uploads what the caller holds, the last result is returned.
 */
export function owned<T extends TensorContainer>(f: () => T): T {
  tf.dispose(f());
  const [tensors, handles] = [tf.memory().numTensors, backend.nativeHandles()];
  const out = f();
  expect(tf.memory().numTensors - tensors, "new tensors").toBe(tensorsIn(out));
  tf.dispose(out);
  expect(backend.nativeHandles() - handles, "native handles left after disposing the result").toBe(0);
  return f();
}
