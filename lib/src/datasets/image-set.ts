import { createHash } from "node:crypto";
import type { ImageSet } from "../types";

/** What makes an image set, without its hash. */
export interface ImageSetParts {
  readonly name: string;
  /** [n, height, width, channels] as 0 to levels */
  readonly pixels: Uint8Array;
  readonly shape: readonly [number, number, number, number];
  /** n class indices */
  readonly labels: ArrayLike<number>;
  readonly classes: number;
  /** network input = (pixel / levels - mean) / std, one mean and std per channel */
  readonly normalise: ImageSet["normalise"];
}

/**
 * Checks the parts and adds the hash: the first 12 hex digits of SHA-256 over shape (4 x int32), pixels (bytes) and
 * labels (int32), all little-endian. For data of one's own as for the tasks here.
 * @throws RangeError naming the set, the argument, the rule and the value
 */
export function imageSet(parts: ImageSetParts): ImageSet {
  const { name, pixels, shape, classes, normalise } = parts;
  const fail = (rule: string): never => {
    throw new RangeError(`image set "${name}": ${rule}`);
  };
  if (shape.length !== 4 || shape.some((side) => !(Number.isInteger(side) && side > 0)))
    fail(`shape must be four positive integers [n, height, width, channels], got [${shape}]`);
  const [n, height, width, channels] = shape;
  if (!(pixels instanceof Uint8Array) || pixels.length !== n * height * width * channels)
    fail(
      `pixels must be a Uint8Array of ${n * height * width * channels} values for shape [${shape}], got ${pixels.length}`,
    );
  if (!(Number.isInteger(classes) && classes >= 1)) fail(`classes must be an integer >= 1, got ${classes}`);
  if (parts.labels.length !== n) fail(`labels must be ${n} numbers, got ${parts.labels.length}`);
  const labels = Int32Array.from(parts.labels);
  for (let i = 0; i < n; i++) {
    const label = parts.labels[i] as number;
    if (!(Number.isInteger(label) && label >= 0 && label < classes))
      fail(`labels[${i}] must be an integer from 0 to ${classes - 1}, got ${label}`);
  }
  const { levels, mean, std } = normalise;
  if (!(Number.isInteger(levels) && levels >= 1 && levels <= 255))
    fail(`levels must be an integer from 1 to 255, got ${levels}`);
  if (mean.length !== channels || !mean.every(Number.isFinite))
    fail(`mean must be ${channels} finite numbers, got [${mean}]`);
  if (std.length !== channels || !std.every((s) => Number.isFinite(s) && s > 0))
    fail(`std must be ${channels} positive numbers, got [${std}]`);
  for (let k = 0; k < pixels.length; k++) {
    if ((pixels[k] as number) > levels) fail(`pixels[${k}] must be at most levels = ${levels}, got ${pixels[k]}`);
  }
  return { name, hash: hashOf(shape, pixels, labels), pixels, shape, labels, classes, normalise };
}

function hashOf(shape: readonly number[], pixels: Uint8Array, labels: Int32Array): string {
  const numbers = (values: ArrayLike<number>): Buffer => {
    const bytes = Buffer.alloc(4 * values.length);
    for (let i = 0; i < values.length; i++) bytes.writeInt32LE(values[i] as number, 4 * i);
    return bytes;
  };
  const hash = createHash("sha256").update(numbers(shape)).update(pixels).update(numbers(labels));
  return hash.digest("hex").slice(0, 12);
}
