import { join } from "node:path";
import { dataFolder } from "./folder";
import { isRecord, readIndex, readLevels } from "./packed";

/** Which fonts: those a backbone is trained on, those that settings are chosen on, those that results are reported on. */
export type Split = "train" | "validation" | "test";

export const GLYPH_SIDE = 32;
const CELLS = GLYPH_SIDE * GLYPH_SIDE;
const CHARACTERS = 10;
const MOST_FACES = 500;

/** One face of a font file, as it renders one script. */
export interface Face {
  readonly split: Split;
  /** faces of one design have one number; no number is in two splits of a script */
  readonly group: number;
  /** Debian package and file in it */
  readonly package: string;
  readonly file: string;
  readonly face: number;
  readonly family: string;
  readonly name: string;
  readonly licence: string;
}

export interface Script {
  readonly name: string;
  /** ten; label = position */
  readonly characters: readonly string[];
  readonly faces: readonly Face[];
  /** [face][character][32][32], levels 0 to 15 */
  readonly levels: Uint8Array;
}

/** Clean glyphs of one split of a script. */
export interface CleanGlyphs {
  /** [faces.length][10][32][32], levels 0 (paper) to 15 (ink) */
  readonly levels: Uint8Array;
  readonly faces: readonly Face[];
  readonly characters: readonly string[];
}

/**
 * The clean glyphs of all scripts, checked against the SHA-256 in index.json.
 * @param folder  with glyphs.bin.gz and index.json; default: `glyphs` in the data folder
 * @throws Error naming the file and the rule: missing, truncated or changed bytes, malformed index
 */
export function loadGlyphs(folder: string = join(dataFolder(), "glyphs")): ReadonlyMap<string, Script> {
  const path = join(folder, "index.json");
  const index = readIndex(path, "secateur-glyphs-1");
  const described = readScripts(path, index.scripts);
  const faces = described.reduce((sum, script) => sum + script.faces.length, 0);
  const bytes = (faces * CHARACTERS * CELLS) / 2;
  if (index.bytes !== bytes)
    throw new Error(`${path}: ${faces} faces are ${bytes} bytes of glyphs, but bytes is ${index.bytes}`);
  const levels = readLevels(folder, "glyphs.bin.gz", index);
  let start = 0;
  return new Map(
    described.map((script) => {
      const end = start + script.faces.length * CHARACTERS * CELLS;
      const own = levels.subarray(start, end);
      start = end;
      return [script.name, { ...script, levels: own }];
    }),
  );
}

/** The faces of one split and their glyphs. */
export function glyphsOf(script: Script, split: Split): CleanGlyphs {
  const chosen = script.faces.flatMap((face, i) => (face.split === split ? [i] : []));
  const size = CHARACTERS * CELLS;
  const levels = new Uint8Array(chosen.length * size);
  chosen.forEach((face, i) => {
    levels.set(script.levels.subarray(face * size, (face + 1) * size), i * size);
  });
  return { levels, faces: chosen.map((i) => script.faces[i] as Face), characters: script.characters };
}

type Described = Omit<Script, "levels">;

function readScripts(path: string, scripts: unknown): Described[] {
  if (!Array.isArray(scripts) || scripts.length === 0) throw new Error(`${path}: scripts must be a list, not empty`);
  const names = new Set<string>();
  return scripts.map((script: unknown, i) => {
    const place = `${path}: scripts[${i}]`;
    if (!isRecord(script)) throw new Error(`${place} must be an object`);
    const { name, characters, faces } = script;
    if (typeof name !== "string" || !/^[a-z_]{1,32}$/.test(name) || names.has(name))
      throw new Error(`${place}.name must be a new name of a-z and _, got ${JSON.stringify(name)}`);
    names.add(name);
    const list = typeof characters === "string" ? [...characters] : [];
    if (list.length !== CHARACTERS || new Set(list).size !== CHARACTERS)
      throw new Error(
        `${place}.characters must be ${CHARACTERS} different characters, got ${JSON.stringify(characters)}`,
      );
    if (!Array.isArray(faces) || faces.length === 0 || faces.length > MOST_FACES)
      throw new Error(`${place}.faces must be a list of 1 to ${MOST_FACES} faces`);
    return { name, characters: list, faces: readFaces(place, faces) };
  });
}

const TEXTS = ["package", "file", "family", "name", "licence"] as const;

function readFaces(place: string, faces: readonly unknown[]): Face[] {
  const splitOf = new Map<number, Split>();
  const checked = faces.map((face: unknown, i): Face => {
    const here = `${place}.faces[${i}]`;
    if (!isRecord(face)) throw new Error(`${here} must be an object`);
    for (const key of TEXTS) {
      const value = face[key];
      if (typeof value !== "string" || value.length === 0 || value.length > 200)
        throw new Error(`${here}.${key} must be a text of 1 to 200 characters`);
    }
    if (/[/\\]/.test(`${face.package}${face.file}`))
      throw new Error(`${here}: package and file must be names, not paths`);
    for (const key of ["face", "group"]) {
      const value = face[key];
      if (!(Number.isInteger(value) && (value as number) >= 0))
        throw new Error(`${here}.${key} must be an integer >= 0, got ${JSON.stringify(value)}`);
    }
    const { split, group } = face as { split: Split; group: number };
    if (!["train", "validation", "test"].includes(split))
      throw new Error(`${here}.split must be train, validation or test, got ${JSON.stringify(split)}`);
    if ((splitOf.get(group) ?? split) !== split)
      throw new Error(`${here}: design group ${group} is in ${splitOf.get(group)} and in ${split}`);
    splitOf.set(group, split);
    return face as unknown as Face;
  });
  for (const split of ["train", "validation", "test"] as const) {
    if (!checked.some((face) => face.split === split)) throw new Error(`${place}.faces: no face in split ${split}`);
  }
  return checked;
}
