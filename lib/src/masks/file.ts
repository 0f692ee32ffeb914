import { createHash } from "node:crypto";
import {
  fromTorchLayout,
  readSafetensors,
  type StoredTensor,
  torchShape,
  toTorchLayout,
  writeSafetensors,
} from "../checkpoints";
import type { Mask, Net } from "../types";
import { checkMask, sameNames } from "./check";

export interface SaveMaskOptions {
  /**
   * false: BOOL tensors `<key>_mask` in torch layout, as torch.nn.utils.prune names them, a byte a weight;
   * true: U8 tensors `<key>_mask_bits`, the same order, a bit a weight, highest bit first (numpy.unpackbits), for git
   */
  readonly packed?: boolean;
  /** where the mask comes from; stored beside the counts and the hash */
  readonly metadata?: Readonly<Record<string, string>>;
}

const suffixes = { whole: "_mask", packed: "_mask_bits" } as const;
const ownMetadata = ["net", "kept", "total", "sha256"];

/**
 * Writes a mask as a safetensors file, with the number of kept weights and the mask's hash in the metadata.
 * @throws Error when the mask is not one of `net`, or `metadata` uses a key that is written here: net, kept, total, sha256
 */
export function saveMask(path: string, net: Net, mask: Mask, options: SaveMaskOptions = {}): void {
  const { packed = false, metadata = {} } = options;
  checkMask(net, mask);
  const taken = ownMetadata.find((key) => Object.hasOwn(metadata, key));
  if (taken !== undefined) throw new RangeError(`metadata cannot set "${taken}": it is derived from the mask`);
  const tensors = new Map<string, StoredTensor>();
  for (const name of net.prunable) {
    const spec = net.params[name]!;
    const kept = toTorchLayout(spec, mask[name]!);
    const bits = packed ? packBits(kept) : undefined;
    if (bits) tensors.set(name + suffixes.packed, { dtype: "U8", shape: [bits.length], data: bits });
    else tensors.set(name + suffixes.whole, { dtype: "BOOL", shape: torchShape(spec), data: kept });
  }
  writeSafetensors(path, tensors, { ...metadata, ...derivedMetadata(net, mask) });
}

/**
 * Reads either form that `saveMask` writes.
 * @returns the mask in memory layout, and all metadata
 * @throws Error naming file and rule: other names, shapes, counts or hash than `net` and the file's own metadata ask for
 */
export function loadMask(path: string, net: Net): { mask: Mask; metadata: Readonly<Record<string, string>> } {
  const { tensors, metadata } = readSafetensors(path);
  const suffix = [...tensors.keys()].every((key) => key.endsWith(suffixes.packed)) ? suffixes.packed : suffixes.whole;
  const expected = net.prunable.map((name) => name + suffix);
  sameNames(path, [...tensors.keys()], `the mask of ${net.name}`, expected);
  const mask = Object.fromEntries(
    net.prunable.map((name) => {
      const spec = net.params[name]!;
      const size = spec.shape.reduce((a, b) => a * b, 1);
      const stored = tensors.get(name + suffix)!;
      const [dtype, shape] = suffix === suffixes.packed ? ["U8", [Math.ceil(size / 8)]] : ["BOOL", torchShape(spec)];
      if (stored.dtype !== dtype || stored.shape.join() !== shape.join())
        throw new Error(
          `${path}: "${name}${suffix}" must be ${dtype} [${shape}], got ${stored.dtype} [${stored.shape}]`,
        );
      const data = stored.data as Uint8Array;
      const kept = suffix === suffixes.packed ? unpackBits(data, size) : data;
      if (suffix === suffixes.packed && packBits(kept).at(-1) !== data.at(-1))
        throw new Error(`${path}: "${name}${suffix}": the bits that fill the last byte must be 0`);
      return [name, fromTorchLayout(spec, kept)];
    }),
  );
  for (const [key, value] of Object.entries(derivedMetadata(net, mask)))
    if (metadata.get(key) !== value)
      throw new Error(`${path}: ${key} of the mask is ${value}, the file's metadata say ${metadata.get(key)}`);
  return { mask, metadata: Object.fromEntries(metadata) };
}

/** SHA-256, 64 hex digits, over names and shapes of the prunable weights and the mask's bits in torch layout. */
export function maskHash(net: Net, mask: Mask): string {
  checkMask(net, mask);
  const hash = createHash("sha256").update(
    JSON.stringify(net.prunable.map((name) => [name, torchShape(net.params[name]!)])),
  );
  for (const name of net.prunable) hash.update(packBits(toTorchLayout(net.params[name]!, mask[name]!)));
  return hash.digest("hex");
}

function derivedMetadata(net: Net, mask: Mask): Record<string, string> {
  const layers = net.prunable.map((name) => mask[name]!);
  const kept = layers.reduce((sum, layer) => layer.reduce((a, b) => a + b, sum), 0);
  const total = layers.reduce((sum, layer) => sum + layer.length, 0);
  return { net: net.name, kept: String(kept), total: String(total), sha256: maskHash(net, mask) };
}

/** Eight entries a byte, the first in the highest bit; the last byte is filled up with zeros. */
function packBits(values: Uint8Array): Uint8Array {
  const bits = new Uint8Array(Math.ceil(values.length / 8));
  for (let i = 0; i < values.length; i++) bits[i >>> 3]! |= values[i]! << (7 - (i & 7));
  return bits;
}

function unpackBits(bits: Uint8Array, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (bits[i >>> 3]! >>> (7 - (i & 7))) & 1);
}
