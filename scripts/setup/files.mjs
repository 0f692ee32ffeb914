import { createHash } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";

export const sha256 = (data) => createHash("sha256").update(data).digest("hex");

export async function sha256OfFile(path) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Writes to a temporary name beside `path`, then renames: a reader sees the old content or the new, never a part. */
export function writeWhole(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  const part = `${path}.${process.pid}.part`;
  writeFileSync(part, text);
  renameSync(part, path);
}

export const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));

export const readJsonIfThere = (path) => (existsSync(path) ? readJson(path) : undefined);

/** All files below `folder`, as sorted full paths; none when it does not exist. */
export function filesBelow(folder, wanted = () => true) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && wanted(path))
    .sort();
}

/** One hash over names and contents, the names relative to `base`. */
export function hashOfFiles(paths, base) {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(`${path.slice(base.length)}\0${sha256(readFileSync(path))}\n`);
  return hash.digest("hex");
}
