import { stream } from "../backend/random";
import type { ImageSet } from "../types";
import { corrupt, IMAGE_SIDE, TOP_LEVEL } from "./corrupt";
import { FASHION_CLASSES, FASHION_COUNTS, type Fashion, loadFashion } from "./fashion";
import { type CleanGlyphs, GLYPH_SIDE, glyphsOf, loadGlyphs, type Script, type Split } from "./glyphs";
import { imageSet } from "./image-set";

/** A classification task of ten classes. */
export interface TaskInfo {
  readonly name: string;
  /** scripts that backbones are pre-trained on; scripts they never saw; something else altogether */
  readonly kind: "pretraining" | "unseen" | "far";
  /** label = position */
  readonly classes: readonly string[];
}

const UNSEEN = new Set(["digits", "georgian", "devanagari", "malayalam"]);
const FAR = "fashion";
const CLASSES = 10;

/** Strength of the corruption in all tasks. */
export const TASK_STRENGTH = 0.9;
/** Training-font images of each class that pre-training uses; the roles below are the first of them. */
export const TRAIN_PER_CLASS = 300;

/** network input = (level / 15 - .5) / .28 */
export const NORMALISE = { levels: TOP_LEVEL, mean: [0.5], std: [0.28] } as const;

/**
 * What images are for; per class, from the split given:
 *   head         train 0-99
 *   scoring      train, 10 from 100 on; draw d: the d-th such ten
 *   finetuning   train 100-199
 *   validation   validation 0-99
 *   test         test 0-99
 *   authors      test 0-49, for everything: heads, scores, fine-tuning and accuracy
 */
export type Role = "head" | "scoring" | "finetuning" | "validation" | "test" | "authors";

const ROLES: Readonly<Record<Role, { split: Split; from: number; perClass: number; most: number }>> = {
  head: { split: "train", from: 0, perClass: 100, most: 100 },
  scoring: { split: "train", from: 100, perClass: 10, most: 200 },
  finetuning: { split: "train", from: 100, perClass: 100, most: 100 },
  validation: { split: "validation", from: 0, perClass: 100, most: 100 },
  test: { split: "test", from: 0, perClass: 100, most: 100 },
  authors: { split: "test", from: 0, perClass: 50, most: 50 },
};

/** The 15 tasks: 10 scripts of pre-training, 4 unseen scripts, Fashion-MNIST. */
export function tasks(): readonly TaskInfo[] {
  return [
    ...[...scripts().values()].map(
      (script): TaskInfo => ({
        name: script.name,
        kind: UNSEEN.has(script.name) ? "unseen" : "pretraining",
        classes: script.characters,
      }),
    ),
    { name: FAR, kind: "far", classes: FASHION_CLASSES },
  ];
}

export interface SubsetOptions {
  /** images a class: the first so many of the role's; default: all of them (scoring: 10) */
  readonly perClass?: number;
  /** which disjoint draw, for the role "scoring" alone: 0 to 19 at 10 a class (fashion: 0 to 9) */
  readonly draw?: number;
  /** of the corruption, 0 to 1; default: that of the tasks, .9. The same images, more or less corrupted; scripts only */
  readonly strength?: number;
}

/**
 * The named, hashed images of a task for one purpose, class after class in turn: image i has label i mod 10.
 * Each image comes from its own stream, so it is the same whatever else was asked for.
 * @throws RangeError naming the task, the role or the option that is not there
 */
export function subset(
  task: string,
  role: Role,
  { perClass, draw = 0, strength = TASK_STRENGTH }: SubsetOptions = {},
): ImageSet {
  const info = taskNamed(task);
  if (!Object.hasOwn(ROLES, role))
    throw new RangeError(`role must be one of ${Object.keys(ROLES).join(", ")}, got "${role}"`);
  const rule = ROLES[role];
  const count = perClass ?? rule.perClass;
  const most = Math.min(rule.most, available(info, rule.split) - rule.from);
  if (!(Number.isInteger(count) && count >= 1 && count <= most))
    throw new RangeError(`${task}/${role}: perClass must be an integer from 1 to ${most}, got ${count}`);
  const draws = role === "scoring" ? Math.floor(most / count) : 1;
  if (!(Number.isInteger(draw) && draw >= 0 && draw < draws))
    throw new RangeError(`${task}/${role}: draw must be an integer from 0 to ${draws - 1}, got ${draw}`);
  if (!(strength >= 0 && strength <= 1))
    throw new RangeError(`${task}/${role}: strength must be in [0, 1], got ${strength}`);
  if (info.kind === "far" && strength !== TASK_STRENGTH)
    throw new RangeError(`${task}/${role}: strength is for scripts, ${task} is not corrupted`);
  const part = role === "scoring" ? `/draw${draw}` : "";
  const first = count === rule.perClass ? "" : `/${count}-a-class`;
  const other = strength === TASK_STRENGTH ? "" : `/strength${strength}`;
  return build(`${task}/${role}${part}${first}${other}`, [info], {
    split: rule.split,
    first: rule.from + draw * count,
    count,
    seed: 0,
    strength,
  });
}

/**
 * The images a backbone is pre-trained on: 300 a class from the training fonts of the 10 pre-training scripts.
 * Label = 10 x task + position; image i has label i mod 100.
 * @param seed  another seed corrupts the same glyphs otherwise; 0 has the images of the roles
 */
export function pretrainingSet(seed = 0): ImageSet {
  const sources = tasks().filter((task) => task.kind === "pretraining");
  const suffix = seed === 0 ? "" : `/seed${seed}`;
  return build(`pretraining${suffix}`, sources, {
    split: "train",
    first: 0,
    count: TRAIN_PER_CLASS,
    seed,
    strength: TASK_STRENGTH,
  });
}

/** The clean 32 x 32 glyphs of a script's fonts, for views of one's own. @throws RangeError when task is no script */
export function cleanGlyphs(task: string, split: Split): CleanGlyphs {
  const script = scripts().get(task);
  if (!script) throw new RangeError(`task must be one of ${[...scripts().keys()].join(", ")}, got "${task}"`);
  const known = cleanCache.get(`${task}/${split}`);
  if (known) return known;
  if (!["train", "validation", "test"].includes(split))
    throw new RangeError(`split must be train, validation or test, got "${split}"`);
  const glyphs = glyphsOf(script, split);
  cleanCache.set(`${task}/${split}`, glyphs);
  return glyphs;
}

/** Forgets what was read from the data folder, so that it is read again (another SECATEUR_DATA, changed files). */
export function forgetData(): void {
  loadedGlyphs = undefined;
  loadedFashion = undefined;
  cleanCache.clear();
  orderCache.clear();
}

let loadedGlyphs: ReadonlyMap<string, Script> | undefined;
let loadedFashion: Fashion | undefined;
const cleanCache = new Map<string, CleanGlyphs>();
const orderCache = new Map<string, Int32Array>();

function scripts(): ReadonlyMap<string, Script> {
  loadedGlyphs ??= loadGlyphs();
  return loadedGlyphs;
}

function fashion(): Fashion {
  loadedFashion ??= loadFashion();
  return loadedFashion;
}

function taskNamed(name: string): TaskInfo {
  const all = tasks();
  const info = all.find((task) => task.name === name);
  if (!info) throw new RangeError(`task must be one of ${all.map((task) => task.name).join(", ")}, got "${name}"`);
  return info;
}

function available(task: TaskInfo, split: Split): number {
  if (task.kind === "far") return FASHION_COUNTS[split];
  return split === "train" ? TRAIN_PER_CLASS : 100;
}

interface Drawing {
  readonly split: Split;
  /** number of the first image of a class */
  readonly first: number;
  /** images a class */
  readonly count: number;
  readonly seed: number;
  readonly strength: number;
}

function build(name: string, from: readonly TaskInfo[], drawing: Drawing): ImageSet {
  const { first, count } = drawing;
  const classes = CLASSES * from.length;
  const size = IMAGE_SIDE * IMAGE_SIDE;
  const pixels = new Uint8Array(count * classes * size);
  const labels = Int32Array.from({ length: count * classes }, (_, i) => i % classes);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] as number;
    const task = from[Math.floor(label / CLASSES)] as TaskInfo;
    const image = first + Math.floor(i / classes);
    draw(task, label % CLASSES, image, drawing, pixels.subarray(i * size, (i + 1) * size));
  }
  return imageSet({
    name,
    pixels,
    shape: [labels.length, IMAGE_SIDE, IMAGE_SIDE, 1],
    labels,
    classes,
    normalise: NORMALISE,
  });
}

/** Writes image number `image` of a class. Faces take turns in a random order; the distractor is of another face. */
function draw(task: TaskInfo, label: number, image: number, { split, seed, strength }: Drawing, out: Uint8Array): void {
  if (task.kind === "far") {
    const size = IMAGE_SIDE * IMAGE_SIDE;
    const start = (label * FASHION_COUNTS[split] + image) * size;
    out.set(fashion()[split].subarray(start, start + size));
    return;
  }
  const { levels, faces } = cleanGlyphs(task.name, split);
  const glyph = (face: number, character: number): Uint8Array => {
    const cells = GLYPH_SIDE * GLYPH_SIDE;
    const start = (face * CLASSES + character) * cells;
    return levels.subarray(start, start + cells);
  };
  const face = faceOf(task.name, split, label, image, faces.length);
  const random = stream(seed, "image", task.name, split, label, image);
  const other = (face + 1 + random.integer(Math.max(1, faces.length - 1))) % faces.length;
  corrupt(glyph(face, label), glyph(other, random.integer(CLASSES)), random, strength, out);
}

function faceOf(task: string, split: Split, label: number, image: number, faces: number): number {
  const round = Math.floor(image / faces);
  const key = `${task}/${split}/${label}/${round}`;
  let order = orderCache.get(key);
  if (!order) {
    order = stream(0, "faces", task, split, label, round).permutation(faces);
    orderCache.set(key, order);
  }
  return order[image % faces] as number;
}
