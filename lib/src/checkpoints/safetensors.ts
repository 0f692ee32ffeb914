/**
 * The safetensors format: 8 bytes little-endian header length, JSON header, data without gaps.
 * Files come from strangers: everything is checked before a byte of data is read.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { readExactly, writeFileAtomic } from "../files";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  readFloat32,
  writeFloat32,
} from "./floats";

export type Dtype = "F64" | "F32" | "F16" | "BF16" | "I64" | "U8" | "BOOL";

/** Values of one tensor in row-major order. F16 and BF16 are float32 in memory; BOOL is 0 or 1, a byte each. */
export type StoredTensor =
  | { readonly dtype: "F64"; readonly shape: readonly number[]; readonly data: Float64Array }
  | { readonly dtype: "F32" | "F16" | "BF16"; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: "I64"; readonly shape: readonly number[]; readonly data: BigInt64Array }
  | { readonly dtype: "U8" | "BOOL"; readonly shape: readonly number[]; readonly data: Uint8Array };

export interface TensorInfo {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** first and last + 1 byte, counted from the start of the data */
  readonly offsets: readonly [number, number];
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
  /** where the data starts in the file, in bytes */
  readonly dataStart: number;
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

const dtypeBytes: { readonly [D in Dtype]: number } = { F64: 8, I64: 8, F32: 4, F16: 2, BF16: 2, U8: 1, BOOL: 1 };
/** As the reference implementation sorts them, widest first: its files and ours have the same bytes. */
const dtypeOrder: readonly Dtype[] = ["I64", "F64", "F32", "BF16", "F16", "U8", "BOOL"];
const arrayTypes = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Float32Array,
  BF16: Float32Array,
  I64: BigInt64Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;
const maxHeaderBytes = 100_000_000;

/**
 * Reads and checks the header alone: names, dtypes, shapes, metadata.
 * @throws Error naming file and rule: not safetensors (with the way to convert a PyTorch file), truncated, unknown dtype,
 * duplicate or `__proto__` key, bad shape, offsets out of bounds, overlapping or with gaps
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  return withFile(path, (fd) => readHeader(fd, path));
}

/**
 * Reads a whole file, or the tensors that `only` accepts.
 * @throws as `readSafetensorsHeader`; Error for a BOOL byte other than 0 and 1
 */
export function readSafetensors(path: string, only: (name: string) => boolean = () => true): Safetensors {
  return withFile(path, (fd) => {
    const { tensors, metadata, dataStart } = readHeader(fd, path);
    const wanted = [...tensors].filter(([name]) => only(name));
    return {
      tensors: new Map(wanted.map(([name, info]) => [name, readTensor(fd, path, dataStart, name, info)])),
      metadata,
    };
  });
}

/**
 * Writes tensors in the order of the reference implementation (widest dtype first, then by name), atomically.
 * Narrowing to F16 and BF16 rounds to nearest, ties to even.
 * @throws RangeError for data that does not fill its shape, a finite value that F16 or BF16 cannot hold, a `__proto__` key
 */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const sorted = [...tensors].sort(
    ([nameA, a], [nameB, b]) =>
      dtypeOrder.indexOf(a.dtype) - dtypeOrder.indexOf(b.dtype) || (nameA < nameB ? -1 : nameA > nameB ? 1 : 0),
  );
  const entries: string[] =
    Object.keys(metadata).length > 0 ? [`"__metadata__":${JSON.stringify(checkedMetadata(metadata))}`] : [];
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [name, tensor] of sorted) {
    const bytes = encode(name, tensor);
    const info = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, offset + bytes.length] };
    entries.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    parts.push(bytes);
    offset += bytes.length;
  }
  const json = Buffer.from(`{${entries.join(",")}}`);
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  if (header.length - 8 > maxHeaderBytes)
    throw new RangeError(`${path}: header must be at most ${maxHeaderBytes} bytes, got ${header.length - 8}`);
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  writeFileAtomic(path, header, ...parts);
}

function withFile<T>(path: string, use: (fd: number) => T): T {
  const fd = openSync(path, "r");
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function readHeader(fd: number, path: string): SafetensorsHeader {
  const fileBytes = fstatSync(fd).size;
  if (fileBytes < 10) throw new Error(`${path}: a safetensors file has at least 10 bytes, got ${fileBytes}`);
  const start = Buffer.from(readExactly(fd, path, 0, 10));
  const headerBytes = start.readBigUInt64LE();
  if (headerBytes > BigInt(maxHeaderBytes) || start[8] !== "{".charCodeAt(0)) refuseOtherFormats(path, start);
  if (headerBytes > BigInt(maxHeaderBytes))
    throw new Error(`${path}: header must be at most ${maxHeaderBytes} bytes, this file says ${headerBytes}`);
  const dataStart = 8 + Number(headerBytes);
  if (dataStart > fileBytes)
    throw new Error(
      `${path}: header of ${headerBytes} bytes does not fit in a file of ${fileBytes} bytes (truncated?)`,
    );
  const header = parseHeader(path, readExactly(fd, path, 8, Number(headerBytes)));
  const metadata = checkMetadata(path, header.get("__metadata__"));
  header.delete("__metadata__");
  const tensors = new Map([...header].map(([name, value]) => [name, checkInfo(path, name, value)]));
  checkCoverage(path, tensors, fileBytes - dataStart);
  return { tensors, metadata, dataStart };
}

function parseHeader(path: string, bytes: Uint8Array): Map<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error(`${path}: header is not UTF-8`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path}: header is not JSON: ${(error as Error).message}`);
  }
  if (!isRecord(json)) throw new Error(`${path}: header must be a JSON object`);
  refuseBadKeys(path, text);
  return new Map(Object.entries(json));
}

/** JSON.parse keeps the last of two equal keys without a word: this walks valid JSON and looks at every key. */
function refuseBadKeys(path: string, json: string): void {
  const open: Set<string>[] = [];
  for (let at = 0; at < json.length; at++) {
    if (json[at] === "{") open.push(new Set());
    if (json[at] === "}") open.pop();
    if (json[at] !== '"') continue;
    const end = stringEnd(json, at);
    if (isFollowedByColon(json, end)) {
      const key = JSON.parse(json.slice(at, end)) as string;
      if (key === "__proto__") throw new Error(`${path}: key "__proto__" in the header is refused`);
      if (open.at(-1)!.has(key)) throw new Error(`${path}: duplicate key ${JSON.stringify(key)} in the header`);
      open.at(-1)!.add(key);
    }
    at = end - 1;
  }
}

function stringEnd(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
  return at + 1;
}

function isFollowedByColon(json: string, at: number): boolean {
  while (" \t\r\n".includes(json[at] ?? "end")) at++;
  return json[at] === ":";
}

function checkMetadata(path: string, value: unknown): Map<string, string> {
  if (value === undefined) return new Map();
  if (!isRecord(value)) throw new Error(`${path}: __metadata__ must be an object of strings`);
  const bad = Object.keys(value).find((key) => typeof value[key] !== "string");
  if (bad !== undefined)
    throw new Error(`${path}: __metadata__ must be an object of strings, "${bad}" is not a string`);
  return new Map(Object.entries(value as Record<string, string>));
}

function checkInfo(path: string, name: string, value: unknown): TensorInfo {
  const where = `${path}: tensor "${name}"`;
  if (!isRecord(value)) throw new Error(`${where} must be an object with dtype, shape and data_offsets`);
  const { dtype, shape, data_offsets: offsets, ...rest } = value;
  const stranger = Object.keys(rest)[0];
  if (stranger !== undefined) throw new Error(`${where} has an unknown field "${stranger}"`);
  if (typeof dtype !== "string" || !Object.hasOwn(dtypeBytes, dtype))
    throw new Error(`${where}: dtype must be one of ${dtypeOrder.join(", ")}, got ${JSON.stringify(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isCount))
    throw new Error(`${where}: shape must be an array of whole numbers >= 0, got ${JSON.stringify(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw new Error(`${where}: data_offsets must be two whole numbers >= 0, got ${JSON.stringify(offsets)}`);
  const [begin, end] = offsets as [number, number];
  const bytes = (shape as number[]).reduce((product, n) => product * BigInt(n), BigInt(dtypeBytes[dtype as Dtype]));
  if (BigInt(end) - BigInt(begin) !== bytes)
    throw new Error(`${where}: [${shape}] in ${dtype} takes ${bytes} bytes, data_offsets say ${end - begin}`);
  return { dtype: dtype as Dtype, shape: shape as number[], offsets: [begin, end] };
}

/** The tensors, sorted by offset, must fill the data from its first to its last byte: no overlap, no gap, nothing left over. */
function checkCoverage(path: string, tensors: ReadonlyMap<string, TensorInfo>, dataBytes: number): void {
  let covered = 0;
  const byOffset = [...tensors].sort(([, a], [, b]) => a.offsets[0] - b.offsets[0] || a.offsets[1] - b.offsets[1]);
  for (const [name, { offsets }] of byOffset) {
    if (offsets[0] < covered) throw new Error(`${path}: tensor "${name}" overlaps the one before it`);
    if (offsets[0] > covered)
      throw new Error(`${path}: ${offsets[0] - covered} bytes before tensor "${name}" belong to no tensor`);
    covered = offsets[1];
  }
  if (covered !== dataBytes)
    throw new Error(`${path}: the tensors take ${covered} bytes, the file has ${dataBytes} (truncated?)`);
}

function readTensor(fd: number, path: string, dataStart: number, name: string, info: TensorInfo): StoredTensor {
  const { dtype, shape, offsets } = info;
  const bytes = readExactly(fd, path, dataStart + offsets[0], offsets[1] - offsets[0]);
  switch (dtype) {
    case "F64":
      return { dtype, shape, data: new Float64Array(bytes.buffer) };
    case "F32":
      return { dtype, shape, data: readFloat32(bytes) };
    case "F16":
      return { dtype, shape, data: float16ToFloat32(new Uint16Array(bytes.buffer)) };
    case "BF16":
      return { dtype, shape, data: bfloat16ToFloat32(new Uint16Array(bytes.buffer)) };
    case "I64":
      return { dtype, shape, data: new BigInt64Array(bytes.buffer) };
    case "U8":
      return { dtype, shape, data: bytes };
    case "BOOL": {
      const bad = bytes.findIndex((byte) => byte > 1);
      if (bad >= 0) throw new Error(`${path}: tensor "${name}": BOOL must be 0 or 1, got ${bytes[bad]} at ${bad}`);
      return { dtype, shape, data: bytes };
    }
  }
}

function encode(name: string, tensor: StoredTensor): Uint8Array {
  const { dtype, shape, data } = tensor;
  if (name === "__proto__" || name === "__metadata__") throw new RangeError(`a tensor cannot be named "${name}"`);
  if (!Object.hasOwn(dtypeBytes, dtype))
    throw new RangeError(`tensor "${name}": dtype must be one of ${dtypeOrder.join(", ")}, got ${dtype}`);
  if (!shape.every(isCount)) throw new RangeError(`tensor "${name}": shape must be whole numbers >= 0, got [${shape}]`);
  if (!(data instanceof arrayTypes[dtype]))
    throw new TypeError(`tensor "${name}": ${dtype} takes a ${arrayTypes[dtype].name}`);
  const size = shape.reduce((a, b) => a * b, 1);
  if (data.length !== size)
    throw new RangeError(`tensor "${name}": [${shape}] takes ${size} values, got ${data.length}`);
  if (dtype === "F16" || dtype === "BF16") return bytesOf(narrow(name, dtype, data));
  if (dtype === "BOOL") {
    const bad = data.findIndex((byte) => byte > 1);
    if (bad >= 0) throw new RangeError(`tensor "${name}": BOOL must be 0 or 1, got ${data[bad]} at ${bad}`);
  }
  return dtype === "F32" ? writeFloat32(data) : bytesOf(data);
}

function narrow(name: string, dtype: "F16" | "BF16", data: Float32Array): Uint16Array {
  const [narrowed, infinity] = dtype === "F16" ? [float32ToFloat16(data), 0x7c00] : [float32ToBfloat16(data), 0x7f80];
  const lost = narrowed.findIndex((bits, i) => (bits & 0x7fff) === infinity && Number.isFinite(data[i]!));
  if (lost >= 0) throw new RangeError(`tensor "${name}": ${data[lost]} at ${lost} is too large for ${dtype}`);
  return narrowed;
}

function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function checkedMetadata(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [key, value] of Object.entries(metadata)) {
    if (key === "__proto__") throw new RangeError(`metadata cannot have the key "__proto__"`);
    if (typeof value !== "string") throw new RangeError(`metadata "${key}" must be a string, got ${typeof value}`);
  }
  return metadata;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
}

const converter =
  "python -c \"import sys, torch, safetensors.torch as s; d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); " +
  "d = d.get('state_dict', d); s.save_file({k: v.clone().contiguous() for k, v in d.items()}, sys.argv[2])\"";

/** PyTorch files are what users have: said in words, with the command that converts them. */
function refuseOtherFormats(path: string, start: Uint8Array): void {
  const format = otherFormat(start);
  if (format === undefined) return;
  const target = path.replace(/(\.(pth|pt|bin|tar|pkl|zip|ckpt))+$/i, "");
  throw new Error(
    `${path}: this is ${format}, not safetensors; convert it once:\n${converter} ${path} ${target}.safetensors`,
  );
}

function otherFormat(start: Uint8Array): string | undefined {
  const begins = (...bytes: number[]): boolean => bytes.every((byte, i) => start[i] === byte);
  if (begins(0x50, 0x4b, 0x03, 0x04)) return "a zip archive (a PyTorch .pth or .pt file)";
  if (begins(0x80) && start[1]! >= 2 && start[1]! <= 5) return "a Python pickle (a PyTorch .pth file of the old form)";
  if (begins(0x1f, 0x8b)) return "a gzip archive";
  if (begins(0x89, 0x48, 0x44, 0x46)) return "an HDF5 file";
  return undefined;
}
