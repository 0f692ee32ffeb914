/** The shipped backbones: a model card and a checkpoint each, in data/zoo. */
import * as fs from "node:fs";
import * as path from "node:path";
import { loadParams, sha256File } from "../checkpoints";
import { dataFolder } from "../datasets";
import { netByName } from "../nets";
import type { Model } from "../types";

/** What a model card says (data/zoo/NAME.json). */
export interface ModelCard {
  readonly name: string;
  readonly file: string;
  readonly sha256: string;
  readonly net: string;
  readonly pretraining: string;
  readonly settings: { readonly seed: number };
  readonly [more: string]: unknown;
}

export interface Backbone {
  readonly card: ModelCard;
  /** without a head; its tensors belong to the caller */
  readonly model: Model;
}

const zooFolder = (): string => path.join(dataFolder(), "zoo");

/** Names of the shipped backbones, for instance "rs64x1-supervised-seed0". */
export function zoo(): string[] {
  return fs
    .readdirSync(zooFolder())
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

/** @throws Error naming the file when the card is missing or incomplete */
export function modelCard(name: string): ModelCard {
  const file = path.join(zooFolder(), `${name}.json`);
  if (!/^[\w.-]+$/.test(name) || !fs.existsSync(file))
    throw new RangeError(`model must be one of ${zoo().join(", ")}, got '${name}'`);
  let card: ModelCard | null;
  try {
    card = JSON.parse(fs.readFileSync(file, "utf8")) as ModelCard | null;
  } catch (error) {
    throw new Error(`${file}: a model card must be JSON (${(error as Error).message})`);
  }
  const complete =
    [card?.name, card?.file, card?.sha256, card?.net, card?.pretraining].every((v) => typeof v === "string") &&
    Number.isSafeInteger(card?.settings?.seed);
  if (!card || !complete)
    throw new Error(`${file}: a model card must name name, file, sha256, net, pretraining and settings.seed`);
  if (card.name !== name) throw new Error(`${file}: name must be '${name}', got '${card.name}'`);
  if (!/^[\w.-]+\.safetensors$/.test(card.file))
    throw new Error(`${file}: file must be the name of a .safetensors file beside the card, got '${card.file}'`);
  return card;
}

/**
 * A backbone of the zoo, its file checked against the card.
 * @throws RangeError for an unknown name; Error when the file is not the one that the card describes
 */
export function loadBackbone(name: string): Backbone {
  const card = modelCard(name);
  const file = path.join(zooFolder(), card.file);
  const hash = sha256File(file);
  if (hash !== card.sha256) throw new Error(`${file}: SHA-256 must be ${card.sha256} (model card), got ${hash}`);
  const net = netByName(card.net);
  return { card, model: { net, params: loadParams(file, net) } };
}
