import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { ImageSet } from "../types";
import { dataFolder } from "./folder";
import type { Split } from "./glyphs";
import { imageSet } from "./image-set";
import { readIndex, readLevels } from "./packed";

/** Label = position. */
export const FASHION_CLASSES = [
  "T-shirt",
  "trouser",
  "pullover",
  "dress",
  "coat",
  "sandal",
  "shirt",
  "sneaker",
  "bag",
  "ankle boot",
] as const;

/** Images a class in each split. */
export const FASHION_COUNTS: Readonly<Record<Split, number>> = { train: 200, validation: 100, test: 100 };

const PIXELS = 28 * 28;

/** [class][image][28][28], levels 0 to 15, by split. */
export type Fashion = Readonly<Record<Split, Uint8Array>>;

/**
 * The committed subset of Fashion-MNIST, checked against the SHA-256 in index.json.
 * @param folder  with fashion.bin.gz and index.json; default: `fashion` in the data folder
 * @throws Error naming the file and the rule: missing, truncated or changed bytes, malformed index
 */
export function loadFashion(folder: string = join(dataFolder(), "fashion")): Fashion {
  const path = join(folder, "index.json");
  const index = readIndex(path, "secateur-fashion-1");
  const { train, validation, test } = FASHION_COUNTS;
  const bytes = (FASHION_CLASSES.length * (train + validation + test) * PIXELS) / 2;
  if (index.bytes !== bytes) throw new Error(`${path}: bytes must be ${bytes}, got ${index.bytes}`);
  const levels = readLevels(folder, "fashion.bin.gz", index);
  const size = FASHION_CLASSES.length * PIXELS;
  return {
    train: levels.subarray(0, train * size),
    validation: levels.subarray(train * size, (train + validation) * size),
    test: levels.subarray((train + validation) * size),
  };
}

/** An IDX file of bytes: its sizes and values. */
interface Idx {
  readonly sizes: readonly number[];
  readonly values: Uint8Array;
}

const LARGEST = 1024 * 1024 * 1024;

/**
 * A labelled set from a pair of IDX files (MNIST, Fashion-MNIST and their kin), gzip or not, 8 bits a pixel, one channel.
 * Normalised as the tasks here: levels 255, mean .5, std .28.
 * @param options.name     default: the images' path
 * @param options.classes  default: the largest label + 1
 * @throws Error naming the file and the rule: magic number, sizes, length, counts that differ
 */
export function loadIdx(
  imagesPath: string,
  labelsPath: string,
  { name = imagesPath, classes }: { readonly name?: string; readonly classes?: number } = {},
): ImageSet {
  const images = readIdx(imagesPath, 3);
  const labels = readIdx(labelsPath, 1);
  const [n = 0, height = 0, width = 0] = images.sizes;
  if (labels.sizes[0] !== n)
    throw new Error(`${labelsPath}: ${labels.sizes[0]} labels for the ${n} images of ${imagesPath}`);
  return imageSet({
    name,
    pixels: images.values,
    shape: [n, height, width, 1],
    labels: labels.values,
    classes: classes ?? labels.values.reduce((most, label) => Math.max(most, label), 0) + 1,
    normalise: { levels: 255, mean: [0.5], std: [0.28] },
  });
}

function readIdx(path: string, dimensions: number): Idx {
  const bytes = unpack(path, readFileSync(path));
  const header = 4 + 4 * dimensions;
  if (bytes.length < header) throw new Error(`${path}: an IDX header has ${header} bytes, the file ${bytes.length}`);
  const magic = bytes.readUInt32BE(0);
  const expected = 0x0800 + dimensions;
  if (magic !== expected)
    throw new Error(`${path}: magic number must be ${expected} (bytes in ${dimensions} dimensions), got ${magic}`);
  const sizes = Array.from({ length: dimensions }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  if (sizes.some((size) => size === 0)) throw new Error(`${path}: sizes must be positive, got [${sizes}]`);
  const total = sizes.reduce((product, size) => product * size, 1);
  if (bytes.length !== header + total)
    throw new Error(`${path}: sizes [${sizes}] need ${header + total} bytes, the file has ${bytes.length}`);
  return { sizes, values: new Uint8Array(bytes.subarray(header)) };
}

function unpack(path: string, bytes: Buffer): Buffer {
  if (!(bytes[0] === 0x1f && bytes[1] === 0x8b)) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: LARGEST });
  } catch (error) {
    throw new Error(`${path}: gzip cannot be unpacked (${(error as Error).message})`);
  }
}
