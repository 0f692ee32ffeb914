/** Where an interrupted training goes on: one file, replaced whole after every epoch. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { tf } from "../backend";
import { readSafetensors, type StoredTensor, writeSafetensors } from "../checkpoints";
import type { Net, Tree } from "../types";

export interface TrainingState {
  /** epochs done */
  readonly epoch: number;
  readonly trees: Readonly<Record<string, Tree>>;
  /** what was recorded epoch by epoch (JSON) */
  readonly history: readonly unknown[];
}

/** Shapes by tree and key. */
type TreeShapes = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;

/** JSON with sorted keys: the same settings are the same text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v) =>
    v !== null && typeof v === "object" && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );
}

/** SHA-256 over texts and bytes, 64 hex digits. */
export function digest(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** A net's name and the digest of its definition: two nets may share a name. */
export const netIdentity = (net: Net): string => `${net.name} ${digest(canonicalJson(net))}`;

export function saveState(file: string, settings: unknown, { epoch, trees, history }: TrainingState): void {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tree] of Object.entries(trees))
    for (const [key, tensor] of Object.entries(tree))
      tensors.set(`${name}/${key}`, { dtype: "F32", shape: tensor.shape, data: new Float32Array(tensor.dataSync()) });
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const metadata = { settings: canonicalJson(settings), epoch: String(epoch), history: JSON.stringify(history) };
  writeSafetensors(file, tensors, { ...metadata, sha256: contentDigest(new Map(Object.entries(metadata)), tensors) });
}

/**
 * The state in the file, or undefined when there is no file.
 * @param shapes of every tensor that must be there
 * @throws Error naming the file when it belongs to other settings or is damaged
 */
export function loadState(file: string, settings: unknown, shapes: TreeShapes): TrainingState | undefined {
  if (!fs.existsSync(file)) return undefined;
  const { tensors, metadata } = readSafetensors(file);
  const wanted = canonicalJson(settings);
  if (metadata.get("settings") !== wanted)
    throw new Error(
      `${file}: was written with other settings; remove it or use another file\n  file: ${metadata.get("settings")}\n  now:  ${wanted}`,
    );
  if (metadata.get("sha256") !== contentDigest(metadata, tensors))
    throw new Error(`${file}: SHA-256 of the content must be ${metadata.get("sha256")}: damaged; remove it`);
  const epoch = Number(metadata.get("epoch"));
  const history = parsed(metadata.get("history"));
  if (!Array.isArray(history) || history.length !== epoch)
    throw new Error(`${file}: history must have an entry for each of ${metadata.get("epoch")} epochs`);
  const names = Object.entries(shapes).flatMap(([tree, keys]) => Object.keys(keys).map((key) => `${tree}/${key}`));
  const stranger = [...tensors.keys()].find((name) => !names.includes(name));
  if (stranger !== undefined) throw new Error(`${file}: unexpected tensor "${stranger}"`);
  for (const [tree, keys] of Object.entries(shapes))
    for (const [key, shape] of Object.entries(keys)) {
      const stored = tensors.get(`${tree}/${key}`);
      if (stored?.dtype !== "F32" || stored.shape.join() !== shape.join())
        throw new Error(`${file}: tensor "${tree}/${key}" must be F32 [${shape}], got ${stored?.dtype ?? "none"}`);
    }
  const read = (tree: string): Tree =>
    Object.fromEntries(
      Object.entries(shapes[tree]!).map(([key, shape]) => [
        key,
        tf.tensor(tensors.get(`${tree}/${key}`)!.data as Float32Array, [...shape]),
      ]),
    );
  return { epoch, trees: Object.fromEntries(Object.keys(shapes).map((tree) => [tree, read(tree)])), history };
}

/** Over everything in the file but the digest itself; values as float32. */
function contentDigest(metadata: ReadonlyMap<string, string>, tensors: ReadonlyMap<string, StoredTensor>): string {
  const hash = createHash("sha256");
  for (const key of ["settings", "epoch", "history"]) hash.update(canonicalJson(metadata.get(key) ?? null));
  for (const name of [...tensors.keys()].sort()) {
    const { dtype, shape, data } = tensors.get(name)!;
    const values = Float64Array.from(data as ArrayLike<number>, (value) => Math.fround(Number(value)));
    hash.update(canonicalJson([name, dtype, shape])).update(new Uint8Array(values.buffer));
  }
  return hash.digest("hex");
}

function parsed(json: string | undefined): unknown {
  try {
    return JSON.parse(json ?? "null");
  } catch {
    return undefined;
  }
}
