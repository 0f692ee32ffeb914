/** Finished units of work as files named by their settings: present = done. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { writeFileAtomic } from "../checkpoints";
import { dataFolder } from "../datasets";
import { canonicalJson } from "../train";

/** Raised when the form or the meaning of cached results changes. */
const SCHEMA = 2;

/** First 12 hex digits of the SHA-256 of the settings, written as JSON with sorted keys. */
export function settingsHash(settings: unknown): string {
  return createHash("sha256")
    .update(canonicalJson({ schema: SCHEMA, settings }))
    .digest("hex")
    .slice(0, 12);
}

/** Where results are kept: SECATEUR_RESULTS, or build/results beside the data folder. */
export function resultsFolder(): string {
  return process.env.SECATEUR_RESULTS || path.join(dataFolder(), "..", "build", "results");
}

export interface Cached<T> {
  readonly value: T;
  readonly seconds: number;
  readonly commit: string;
  /** true: read from the file, false: computed now */
  readonly fromFile: boolean;
}

/**
 * The result of these settings: read from FOLDER/NAME-HASH.json when it is there, else computed and written (temporary name,
 * then renamed, so that a killed run leaves nothing half done).
 * @throws Error when the file holds other settings or is damaged: remove it to compute again
 */
export async function cached<T>(
  name: string,
  settings: unknown,
  compute: () => Promise<T>,
  { fresh = false }: { fresh?: boolean } = {},
): Promise<Cached<T>> {
  if (!/^[\w.-]+$/.test(name)) throw new RangeError(`name must be letters, digits and _ . -, got '${name}'`);
  const file = path.join(resultsFolder(), `${name}-${settingsHash(settings)}.json`);
  if (!fresh && fs.existsSync(file)) return { ...readResult<T>(file, settings), fromFile: true };
  const start = Date.now();
  // as it will be read: what JSON does not carry is gone at once
  const value = JSON.parse(JSON.stringify(await compute())) as T;
  const result = { value, seconds: (Date.now() - start) / 1000, commit: commit() };
  fs.mkdirSync(path.dirname(file), { recursive: true });
  writeFileAtomic(file, `${JSON.stringify({ settings, ...result, sha256: digestOf({ settings, ...result }) })}\n`);
  return { ...result, fromFile: false };
}

interface Stored<T> {
  readonly settings: unknown;
  readonly value: T;
  readonly seconds: number;
  readonly commit: string;
}

const digestOf = <T>({ settings, value, seconds, commit }: Stored<T>): string =>
  createHash("sha256").update(canonicalJson({ settings, value, seconds, commit })).digest("hex");

function readResult<T>(file: string, settings: unknown): Omit<Cached<T>, "fromFile"> {
  let stored: (Stored<T> & { sha256?: unknown }) | null;
  try {
    stored = JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    throw new Error(`${file}: a result must be JSON (${(error as Error).message}); remove it to compute again`);
  }
  if (stored === null || typeof stored !== "object" || stored.value === undefined)
    throw new Error(`${file}: a result must be an object with settings and value; remove it to compute again`);
  if (canonicalJson(stored.settings) !== canonicalJson(settings))
    throw new Error(`${file}: holds the result of other settings; remove it to compute again`);
  const { value, seconds, commit } = stored;
  if (stored.sha256 !== digestOf(stored))
    throw new Error(
      `${file}: SHA-256 of the result must be ${stored.sha256}: changed file; remove it to compute again`,
    );
  return { value, seconds, commit };
}

let known: string | undefined;

/** What numbers depend on: all of the library but what draws and shows, and the shipped data. */
const SOURCES = [
  "../lib/src",
  ":(exclude)../lib/src/plots",
  ":(exclude)../lib/src/notebook",
  "zoo",
  "glyphs",
  "fashion",
];

/** The commit of the suite, 12 digits, "+" behind it when files that numbers depend on differ from it; "unknown" outside git. */
export function commit(): string {
  if (known !== undefined) return known;
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: dataFolder(), encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const changed = git("status", "--porcelain", "--", ...SOURCES);
    known = git("rev-parse", "--short=12", "HEAD") + (changed === "" ? "" : "+");
  } catch {
    known = "unknown";
  }
  return known;
}
