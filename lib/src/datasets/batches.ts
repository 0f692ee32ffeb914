import { tf } from "../backend";
import type { Batch, ImageSet } from "../types";

/** The whole set on the device. The caller disposes `x`. */
export function toBatch(set: ImageSet): Batch {
  return slice(set, 0, set.shape[0]);
}

/**
 * The set in order, `size` images at a time; the last batch may be smaller. The caller disposes each batch's `x`.
 * @throws RangeError unless size is a positive integer
 */
export function batches(set: ImageSet, size: number): Generator<Batch> {
  if (!(Number.isInteger(size) && size >= 1))
    throw new RangeError(`batches: size must be an integer >= 1, got ${size}`);
  return slices(set, size);
}

function* slices(set: ImageSet, size: number): Generator<Batch> {
  const n = set.shape[0];
  for (let start = 0; start < n; start += size) yield slice(set, start, Math.min(n, start + size));
}

function slice({ pixels, shape, labels, normalise }: ImageSet, from: number, to: number): Batch {
  const [, height, width, channels] = shape;
  const size = height * width * channels;
  const tables = normalise.mean.map((mean, c) => {
    const std = normalise.std[c] as number;
    return Float32Array.from({ length: normalise.levels + 1 }, (_, p) => (p / normalise.levels - mean) / std);
  });
  const values = new Float32Array((to - from) * size);
  for (let k = 0; k < values.length; k++) {
    const table = tables[k % channels] as Float32Array;
    values[k] = table[pixels[from * size + k] as number] as number;
  }
  return { x: tf.tensor4d(values, [to - from, height, width, channels]), labels: labels.slice(from, to) };
}
