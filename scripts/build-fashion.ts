/**
 * Builds data/fashion: the first 200 train, 100 validation and 100 test images a class of Fashion-MNIST, at 16 levels.
 *   npx tsx scripts/build-fashion.ts
 * Train and validation follow each other in the training file, test is from the test file. Needs apt-get and dpkg.
 */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { loadIdx } from "../lib/src/datasets/fashion";
import { fetchPackages, folderOf, readPackages } from "./debian";

const CLASSES = 10;
const PIXELS = 28 * 28;

function main(): void {
  const root = join(__dirname, "..");
  const target = join(root, "data", "fashion");
  const packages = readPackages(join(target, "packages.tsv"));
  const [pkg] = packages;
  if (!pkg) throw new Error("data/fashion/packages.tsv names no package");
  const tree = fetchPackages(packages, join(root, "build", "fonts"));
  const folder = join(folderOf(tree, pkg), "usr", "share", "datasets", "fashion-mnist");
  const load = (part: string): ReturnType<typeof loadIdx> =>
    loadIdx(join(folder, `${part}-images-idx3-ubyte.gz`), join(folder, `${part}-labels-idx1-ubyte.gz`));
  const [train, test] = [load("train"), load("t10k")];
  const raw = Buffer.concat([perClass(train, 0, 200), perClass(train, 200, 100), perClass(test, 0, 100)]);
  const packed = gzipSync(raw, { level: 9 });
  packed[9] = 255; // operating system: unknown, so that the bytes do not depend on it
  const index = {
    format: "secateur-fashion-1",
    layout: "train [10][200][28][28], validation [10][100][28][28], test [10][100][28][28]; 4 bits, high nibble first",
    package: pkg.name,
    version: pkg.version,
    licence: pkg.licence,
    upstream: pkg.upstream,
    sha256: sha256(raw),
    sha256Gzip: sha256(packed),
    bytes: raw.length,
  };
  replaceFile(join(target, "fashion.bin.gz"), packed);
  replaceFile(join(target, "index.json"), `${JSON.stringify(index, null, 2)}\n`);
  replaceFile(join(target, "LICENSE"), readFileSync(join(folderOf(tree, pkg), "usr/share/doc", pkg.name, "copyright")));
  console.log(`${raw.length} bytes, ${packed.length} compressed, SHA-256 ${index.sha256}`);
}

/** Images number `from` to `from + count - 1` of every class, 4 bits a pixel. */
function perClass({ pixels, labels }: ReturnType<typeof loadIdx>, from: number, count: number): Uint8Array {
  const packed = new Uint8Array((CLASSES * count * PIXELS) / 2);
  const seen = new Array<number>(CLASSES).fill(0);
  labels.forEach((label, i) => {
    const place = (seen[label] as number) - from;
    seen[label] = (seen[label] as number) + 1;
    if (place < 0 || place >= count) return;
    for (let k = 0; k < PIXELS; k++) {
      const level = Math.floor(((pixels[i * PIXELS + k] as number) * 15) / 255 + 0.5);
      const at = (label * count + place) * PIXELS + k;
      packed[at >> 1] = (packed[at >> 1] as number) | (at % 2 === 0 ? level << 4 : level);
    }
  });
  return packed;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function replaceFile(path: string, content: string | Uint8Array): void {
  writeFileSync(`${path}.part`, content);
  renameSync(`${path}.part`, path);
}

main();
