import { createHash } from "node:crypto";
import { tf } from "../backend";
import type { HostTree } from "../tree";
import type { Net, ParamSpec, Tree } from "../types";
import { writeFloat32 } from "./floats";
import { fromTorchLayout, torchShape, toTorchLayout } from "./layout";
import { readSafetensors, readSafetensorsHeader, type StoredTensor, writeSafetensors } from "./safetensors";

export interface LoadOptions {
  /** taken off the keys of the file that start with it: "module.encoder_q.", "backbone." */
  readonly stripPrefix?: string;
  /** keys that start with one of these (after stripping) may be in the file and are not read: ["fc."] drops the head */
  readonly ignore?: readonly string[];
  /** `*.num_batches_tracked` may be in the file; default true */
  readonly ignoreBatchCounters?: boolean;
}

export interface SaveOptions {
  /** default "F32" */
  readonly dtype?: "F32" | "F16" | "BF16" | "F64";
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Parameters of a net from a safetensors file: torch names and layout on disk, `net.params` shapes in memory.
 * @returns float32 tensors by name; the caller disposes them
 * @throws Error that lists every missing, unexpected and misshaped key of the file at once; Error for a value that is not finite
 */
export function loadParams(path: string, net: Net, options: LoadOptions = {}): Tree {
  const values = readParams(path, net, options);
  return Object.fromEntries(
    Object.keys(net.params).map((name) => [name, tf.tensor(values[name]!, [...net.params[name]!.shape], "float32")]),
  );
}

/** `loadParams` on the host: arrays in memory layout, in the order of `net.params`. */
export function readParams(path: string, net: Net, options: LoadOptions = {}): Record<string, Float32Array> {
  const keys = matchKeys(path, net, options);
  const wanted = new Set(keys.values());
  const { tensors } = readSafetensors(path, (key) => wanted.has(key));
  const load = ([name, spec]: [string, ParamSpec]): [string, Float32Array] => {
    const { data } = tensors.get(keys.get(name)!)!;
    const values = new Float32Array(data as Float32Array | Float64Array);
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new Error(`${path}: "${keys.get(name)}" must be finite, got ${values[bad]} at ${bad}`);
    return [name, fromTorchLayout(spec, values)];
  };
  return Object.fromEntries(Object.entries(net.params).map(load));
}

/**
 * Writes the parameters of a net in torch names and layout: `load_file` + `load_state_dict` of PyTorch read them.
 * @param params exactly the keys and shapes of `net.params`; tensors, or arrays in memory layout
 */
export function saveParams(path: string, net: Net, params: Tree | HostTree, options: SaveOptions = {}): void {
  const { dtype = "F32", metadata = {} } = options;
  if (!["F32", "F16", "BF16", "F64"].includes(dtype))
    throw new RangeError(`dtype must be F32, F16, BF16 or F64, got ${dtype}`);
  const strangers = Object.keys(params).filter((name) => !Object.hasOwn(net.params, name));
  const missing = Object.keys(net.params).filter((name) => !Object.hasOwn(params, name));
  if (strangers.length + missing.length > 0)
    throw new Error(
      `saveParams: params are not those of ${net.name}: missing ${list(missing)}; unexpected ${list(strangers)}`,
    );
  const tensors = new Map<string, StoredTensor>();
  for (const [name, spec] of Object.entries(net.params)) {
    const data = toTorchLayout(spec, hostValues("saveParams", name, spec, params[name]!));
    const shape = torchShape(spec);
    if (dtype === "F64") tensors.set(name, { dtype, shape, data: new Float64Array(data) });
    else tensors.set(name, { dtype, shape, data: new Float32Array(data) });
  }
  writeSafetensors(path, tensors, { format: "pt", ...metadata });
}

/** SHA-256, 64 hex digits, over names, shapes and float32 values of the parameters: which backbone a number belongs to. */
export function paramsHash(net: Net, params: Tree | HostTree): string {
  const hash = createHash("sha256");
  for (const [name, spec] of Object.entries(net.params)) {
    if (!Object.hasOwn(params, name)) throw new Error(`paramsHash: params have no "${name}"`);
    hash
      .update(JSON.stringify([name, spec.shape]))
      .update(writeFloat32(hostValues("paramsHash", name, spec, params[name]!)));
  }
  return hash.digest("hex");
}

/** net name -> key in the file; throws one error with everything that does not fit. */
function matchKeys(path: string, net: Net, options: LoadOptions): Map<string, string> {
  const { stripPrefix = "", ignore = [], ignoreBatchCounters = true } = options;
  const header = readSafetensorsHeader(path).tensors;
  const keys = new Map<string, string>();
  const unexpected: string[] = [];
  const misshaped: string[] = [];
  for (const [key, { shape, dtype }] of header) {
    const prefixed = key.startsWith(stripPrefix);
    const name = prefixed ? key.slice(stripPrefix.length) : key;
    if (!prefixed || !Object.hasOwn(net.params, name)) {
      const ignored = ignore.some((prefix) => name.startsWith(prefix));
      const counter = ignoreBatchCounters && name.endsWith(".num_batches_tracked");
      if (!ignored && !counter) unexpected.push(`${key} [${shape}]`);
      continue;
    }
    const expected = torchShape(net.params[name]!);
    if (!sameShape(shape, expected)) misshaped.push(`${key} is [${shape}], not [${expected}]`);
    else if (!["F16", "BF16", "F32", "F64"].includes(dtype)) misshaped.push(`${key} is ${dtype}, not floating point`);
    keys.set(name, key);
  }
  const missing = Object.keys(net.params).filter((name) => !keys.has(name));
  const report = Object.entries({ missing, unexpected, misshaped }).filter(([, entries]) => entries.length > 0);
  if (report.length > 0)
    throw new Error(
      `${path}: keys do not fit ${net.name}\n` +
        report.map(([kind, entries]) => `  ${kind} (${entries.length}):\n    ${entries.join("\n    ")}`).join("\n") +
        `\n  options used: ${JSON.stringify({ stripPrefix, ignore, ignoreBatchCounters })}`,
    );
  return keys;
}

function hostValues(
  where: string,
  name: string,
  { shape }: ParamSpec,
  value: Tree[string] | HostTree[string],
): Float32Array | Float64Array {
  if (value instanceof Float32Array || value instanceof Float64Array) return value;
  if (!sameShape(value.shape, shape)) throw new Error(`${where}: "${name}" is [${value.shape}], not [${shape}]`);
  return value.dataSync<"float32">();
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, axis) => n === b[axis]);
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.join(", ");
}
