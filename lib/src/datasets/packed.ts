import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

/** The JSON beside a packed file, as far as every packed file has it. */
export interface PackedIndex {
  readonly format: string;
  /** SHA-256 of the bytes before and after compression */
  readonly sha256: string;
  readonly sha256Gzip: string;
  /** before compression */
  readonly bytes: number;
}

const LARGEST = 64 * 1024 * 1024;

/** Reads an index; its own fields are checked by the caller. @throws Error naming the file and the rule */
export function readIndex(path: string, format: string): Record<string, unknown> & PackedIndex {
  const text = readText(path);
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path}: not JSON (${(error as Error).message})`);
  }
  if (!isRecord(index)) throw new Error(`${path}: a JSON object expected`);
  if (index.format !== format)
    throw new Error(`${path}: format must be "${format}", got ${JSON.stringify(index.format)}`);
  for (const key of ["sha256", "sha256Gzip"]) {
    if (!/^[0-9a-f]{64}$/.test(String(index[key]))) throw new Error(`${path}: ${key} must be 64 hexadecimal digits`);
  }
  const { bytes } = index;
  if (!(Number.isInteger(bytes) && (bytes as number) > 0 && (bytes as number) <= LARGEST))
    throw new Error(`${path}: bytes must be an integer from 1 to ${LARGEST}, got ${JSON.stringify(bytes)}`);
  return index as Record<string, unknown> & PackedIndex;
}

/** Reads, checks and unpacks a file of 4-bit levels: two levels a byte, the first in the high nibble. */
export function readLevels(folder: string, name: string, index: PackedIndex): Uint8Array {
  const path = join(folder, name);
  const packed = readBytes(path);
  checkHash(path, packed, index.sha256Gzip);
  let raw: Uint8Array;
  try {
    raw = gunzipSync(packed, { maxOutputLength: index.bytes });
  } catch (error) {
    throw new Error(`${path}: does not unpack to the ${index.bytes} bytes of index.json (${(error as Error).message})`);
  }
  if (raw.length !== index.bytes)
    throw new Error(`${path}: unpacks to ${raw.length} bytes, index.json says ${index.bytes}`);
  checkHash(`${path} (unpacked)`, raw, index.sha256);
  const levels = new Uint8Array(2 * raw.length);
  for (let i = 0; i < raw.length; i++) {
    const byte = raw[i] as number;
    levels[2 * i] = byte >> 4;
    levels[2 * i + 1] = byte & 15;
  }
  return levels;
}

export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`${path}: cannot be read (${(error as Error).message})`);
  }
}

const readText = (path: string): string => readBytes(path).toString("utf8");

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function checkHash(path: string, bytes: Uint8Array, expected: string): void {
  const digest = createHash("sha256").update(bytes).digest("hex");
  if (digest !== expected) {
    throw new Error(
      `${path}: SHA-256 is ${digest} (${bytes.length} bytes), index.json says ${expected}: truncated or changed file`,
    );
  }
}
