/** Where an interrupted training goes on: one file, replaced whole after every epoch. */
import * as fs from "node:fs";
import * as path from "node:path";
import { tf } from "../backend";
import { readSafetensors, type StoredTensor, writeSafetensors } from "../checkpoints";
import type { Tree } from "../types";

export interface TrainingState {
  /** epochs done */
  readonly epoch: number;
  readonly trees: Readonly<Record<string, Tree>>;
  /** what was recorded epoch by epoch (JSON) */
  readonly history: readonly unknown[];
}

/** JSON with sorted keys: the same settings are the same text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v) =>
    v !== null && typeof v === "object" && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );
}

export function saveState(file: string, settings: unknown, { epoch, trees, history }: TrainingState): void {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tree] of Object.entries(trees))
    for (const [key, tensor] of Object.entries(tree))
      tensors.set(`${name}/${key}`, { dtype: "F32", shape: tensor.shape, data: new Float32Array(tensor.dataSync()) });
  fs.mkdirSync(path.dirname(file), { recursive: true });
  writeSafetensors(file, tensors, {
    settings: canonicalJson(settings),
    epoch: String(epoch),
    history: JSON.stringify(history),
  });
}

/**
 * The state in the file, or undefined when there is no file.
 * @throws Error when the file belongs to other settings or is damaged
 */
export function loadState(file: string, settings: unknown): TrainingState | undefined {
  if (!fs.existsSync(file)) return undefined;
  const { tensors, metadata } = readSafetensors(file);
  const wanted = canonicalJson(settings);
  if (metadata.get("settings") !== wanted)
    throw new Error(
      `${file}: was written with other settings; remove it or use another file\n  file: ${metadata.get("settings")}\n  now:  ${wanted}`,
    );
  const epoch = Number(metadata.get("epoch"));
  const history: unknown = JSON.parse(metadata.get("history") ?? "null");
  if (!(Number.isInteger(epoch) && epoch >= 0) || !Array.isArray(history))
    throw new Error(`${file}: epoch and history must be there, got ${metadata.get("epoch")}`);
  const trees: Record<string, Record<string, Tree[string]>> = {};
  for (const [name, { shape, data }] of tensors) {
    const slash = name.indexOf("/");
    const tree = name.slice(0, slash);
    trees[tree] = { ...trees[tree], [name.slice(slash + 1)]: tf.tensor(data as Float32Array, [...shape]) };
  }
  return { epoch, trees, history };
}
