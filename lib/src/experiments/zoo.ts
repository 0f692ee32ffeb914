/** The shipped backbones: a model card and a checkpoint each, in data/zoo. */
import * as fs from "node:fs";
import * as path from "node:path";
import { loadParams, sha256File } from "../checkpoints";
import { dataFolder } from "../datasets";
import { netByName, type TransformerLinear } from "../nets";
import type { Model } from "../types";

/** What a model card says (data/zoo/NAME.json). */
export interface ModelCard {
  readonly name: string;
  readonly file: string;
  readonly sha256: string;
  readonly net: string;
  readonly pretraining: string;
  readonly settings: { readonly seed: number; readonly transformerLinear?: TransformerLinear };
  readonly [more: string]: unknown;
}

/** The card of a backbone that `npm run pretrain` made: how it was made, and how good it is. */
export interface PretrainedCard extends ModelCard {
  readonly settings: { readonly seed: number; readonly epochs: number };
  readonly parameters: number;
  readonly accuracyOfHeads: { readonly validation: HeadAccuracies; readonly test: HeadAccuracies };
  /** wall time of pre-training */
  readonly seconds: number;
  /** what makes this backbone again */
  readonly command: string;
  /** an entry each epoch; the evaluation is empty where none was made */
  readonly history: readonly { readonly epoch: number; readonly evaluation: Partial<HeadAccuracies> }[];
}

/** Percent, of ridge heads, mean over tasks: scripts of pre-training, scripts that it never saw, Fashion-MNIST. */
export interface HeadAccuracies {
  readonly pretraining: number;
  readonly unseen: number;
  readonly far: number;
}

export interface Backbone {
  readonly card: ModelCard;
  /** without a head; its tensors belong to the caller */
  readonly model: Model;
}

const zooFolder = (): string => path.join(dataFolder(), "zoo");

/** Names of the backbones whose weights are there, for instance "rs64x1-supervised-seed0". */
export function zoo(): string[] {
  return cardNames().filter((name) => fs.existsSync(path.join(zooFolder(), `${name}.safetensors`)));
}

const cardNames = (): string[] =>
  fs
    .readdirSync(zooFolder())
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();

/** The cards of all pre-trained backbones, also of those whose weights are too large to ship. @throws Error for an incomplete one */
export const pretrainedCards = (): PretrainedCard[] =>
  cardNames().map((name) => {
    const card = modelCard(name);
    for (const field of ["parameters", "accuracyOfHeads", "seconds", "command", "history"])
      if (card[field] === undefined)
        throw new Error(
          `${path.join(zooFolder(), `${name}.json`)}: the card of a pre-trained backbone must name ${field}`,
        );
    return card as PretrainedCard;
  });

/**
 * How good backbones were while they were pre-trained: accuracy of ridge heads on validation fonts (percent), by epoch; a series for
 * each backbone and a quantity for each kind of task, as `plots.learningCurve` takes them.
 */
export const headHistory = (
  cards: readonly PretrainedCard[],
): { step: number; value: number; series: string; quantity: string }[] =>
  cards.flatMap(({ name, history }) =>
    history.flatMap(({ epoch, evaluation }) =>
      Object.entries(evaluation).map(([kind, value]) => ({
        step: epoch,
        value,
        series: name,
        quantity: `heads, ${kind} (%)`,
      })),
    ),
  );

/** @throws Error naming the file when the card is missing or incomplete */
export function modelCard(name: string): ModelCard {
  const file = path.join(zooFolder(), `${name}.json`);
  if (!/^[\w.-]+$/.test(name) || !fs.existsSync(file))
    throw new RangeError(`model must be one of ${cardNames().join(", ")}, got '${name}'`);
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
 * @throws RangeError for an unknown name; Error when the file is not there or not the one that the card describes
 */
export function loadBackbone(name: string): Backbone {
  const card = modelCard(name);
  const file = path.join(zooFolder(), card.file);
  if (!fs.existsSync(file))
    throw new Error(
      `${file} is not there${card.command === undefined ? "" : `; it can be made with: ${card.command}`}`,
    );
  const hash = sha256File(file);
  if (hash !== card.sha256) throw new Error(`${file}: SHA-256 must be ${card.sha256} (model card), got ${hash}`);
  const net = netByName(card.net);
  return { card, model: { net, params: loadParams(file, net) } };
}
