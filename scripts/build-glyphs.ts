/**
 * Builds data/glyphs: clean glyphs of 14 scripts x 10 characters, split by design into train, validation and test fonts.
 *   npx tsx scripts/build-glyphs.ts          download, extract, render, write
 * Needs apt-get and dpkg (Debian 12 "bookworm" main has every version named in data/glyphs/packages.tsv), about 2 GB in
 * build/fonts and a few minutes. What is already downloaded or extracted is kept. The same packages give the same bytes.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { Resvg } from "@resvg/resvg-js";
import * as fontkit from "fontkit";
import { stream } from "../lib/src/backend/random";
import { fetchPackages, folderOf, type Package, readPackages } from "./debian";

/** Label = position in the string. The order of the scripts is the order of the tasks. */
const SCRIPTS: readonly (readonly [string, string])[] = [
  ["latin_cap", "AEGHLMQRWX"],
  ["latin_small", "abdefghnrt"],
  ["greek", "βγδζθλξπψω"],
  ["cyrillic", "БГДЖИЛПФЦЯ"],
  ["hebrew", "אבגהטלמצקש"],
  ["arabic", "بجدسصطعكمي"],
  ["hiragana", "あいうかきさたなぬま"],
  ["katakana", "アウカサタナヒホミル"],
  ["hangul", "강눈달밥손옷집책꽃말"],
  ["han", "日月火水木金土山田車"],
  ["digits", "0123456789"],
  ["georgian", "აბგდევზთკლ"],
  ["devanagari", "अइकगचजटणमह"],
  ["malayalam", "അഇകഗചടതനപമ"],
];

const cfg = {
  seed: 0,
  /** side of the stored image, longest side of the glyph in it, and supersampling, in pixels */
  side: 32,
  box: 26,
  supersample: 4,
  /** a glyph with less ink, in full pixels, counts as blank */
  minInk: 8,
  /** a face stays when at least so many of its 10 glyphs are nearest to the right class median */
  minRight: 6,
  /** faces whose 10 glyphs correlate more than this on average are one design */
  sameDesign: 0.965,
  facesPerCollection: 4,
  trainShare: 0.6,
  /** designs that validation and test get at least, each */
  minDesigns: 4,
  faces: { train: 80, validation: 30, test: 40 },
} as const;

type Split = keyof typeof cfg.faces;
const CELLS = cfg.side * cfg.side;
const FACE = 10 * CELLS;

interface Face {
  readonly package: Package;
  readonly file: string;
  readonly face: number;
  readonly family: string;
  readonly name: string;
  /** [10][32][32], 0 to 15 */
  readonly glyphs: Uint8Array;
}

function main(): void {
  const root = join(__dirname, "..");
  const target = join(root, "data", "glyphs");
  const packages = readPackages(join(target, "packages.tsv"));
  const tree = fetchPackages(packages, join(root, "build", "fonts"));
  const candidates = renderAll(packages, tree);
  const bytes: Uint8Array[] = [];
  const scripts = SCRIPTS.map(([name, characters]) => {
    const faces = candidates.get(name) as Face[];
    const kept = faces.filter(notOutlier(faces));
    const groups = designGroups(kept);
    const selected = select(name, groups);
    for (const { face } of selected) bytes.push(packNibbles(face.glyphs));
    const count = (split: Split): number => selected.filter((s) => s.split === split).length;
    console.log(
      `${name}: ${faces.length} faces, ${faces.length - kept.length} outliers, ${groups.length} designs, ` +
        `${count("train")} / ${count("validation")} / ${count("test")} faces`,
    );
    return {
      name,
      characters,
      faces: selected.map(({ face, group, split }) => ({
        split,
        group,
        package: face.package.name,
        file: face.file,
        face: face.face,
        family: face.family,
        name: face.name,
        licence: face.package.licence,
      })),
    };
  });
  write(target, scripts, Buffer.concat(bytes), packages);
}

/** Faces by script, in the order of package, file and face index. */
function renderAll(packages: readonly Package[], tree: string): Map<string, Face[]> {
  const faces = new Map<string, Face[]>(SCRIPTS.map(([name]) => [name, []]));
  const seen = new Set<string>();
  for (const pkg of packages) {
    const folder = folderOf(tree, pkg);
    for (const path of fontFiles(folder)) {
      const content = readFileSync(path);
      const digest = sha256(content);
      if (seen.has(digest)) continue;
      seen.add(digest);
      openFaces(content).forEach((font, index) => {
        const colour = ["CBDT", "COLR", "sbix", "SVG "].some((table) => table in font.directory.tables);
        if (colour) return;
        const todo = SCRIPTS.filter(([, characters]) => attempt(() => has(font, characters)) ?? false);
        for (const [script, characters] of todo) {
          const glyphs = attempt(() => renderFace(font, characters));
          if (!glyphs) continue;
          faces.get(script)?.push({
            package: pkg,
            file: basename(path),
            face: index,
            ...names(font, basename(path)),
            glyphs,
          });
        }
      });
    }
    console.log(`rendered ${pkg.name}`);
  }
  return faces;
}

function fontFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ttf|otf|ttc)$/i.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => compare(relative(folder, a), relative(folder, b)));
}

/** The first faces of a font file; none when fontkit cannot read it. */
function openFaces(content: Buffer): readonly fontkit.Font[] {
  return (
    attempt(() => {
      const opened = fontkit.create(content);
      return "fonts" in opened ? opened.fonts.slice(0, cfg.facesPerCollection) : [opened];
    }) ?? []
  );
}

/** A broken font is skipped, as one without the characters is. */
function attempt<T>(f: () => T): T | undefined {
  try {
    return f();
  } catch {
    return undefined;
  }
}

const has = (font: fontkit.Font, characters: string): boolean =>
  [...characters].every((c) => font.hasGlyphForCodePoint(c.codePointAt(0) as number));

function names(font: fontkit.Font, file: string): { family: string; name: string } {
  const get = (key: string): string => {
    const value = attempt(() => font.getName(key));
    return typeof value === "string" ? value.replace(/\p{Cc}/gu, "").trim() : "";
  };
  const family = get("preferredFamily") || get("fontFamily") || file;
  const style = get("preferredSubfamily") || get("fontSubfamily");
  return { family, name: get("fullName") || `${family} ${style}`.trim() };
}

/** [10][32][32] levels 0 to 15: outline -> coverage at 4 x 4 per pixel -> area average; undefined when blank or equal. */
function renderFace(font: fontkit.Font, characters: string): Uint8Array | undefined {
  const cell = cfg.box * cfg.supersample;
  const placed = [...characters].map((c, i) =>
    place(font.glyphForCodePoint(c.codePointAt(0) as number).path, i * cell),
  );
  if (placed.some((p) => p === undefined)) return undefined;
  const width = 10 * cell;
  const paths = placed.map((p) => `<path d="${p?.d}"/>`).join("");
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${cell}">${paths}</svg>`;
  const image = new Resvg(svg, { font: { loadSystemFonts: false } }).render();
  const { pixels } = image;
  const glyphs = new Uint8Array(FACE);
  const different = new Set<string>();
  for (const [i, p] of placed.entries()) {
    if (!p) return undefined;
    const glyph = glyphs.subarray(i * CELLS, (i + 1) * CELLS);
    const left = (cfg.side - p.w) >> 1;
    const top = (cfg.side - p.h) >> 1;
    let ink = 0;
    for (let y = 0; y < p.h; y++) {
      for (let x = 0; x < p.w; x++) {
        let sum = 0;
        for (let v = 0; v < cfg.supersample; v++) {
          for (let u = 0; u < cfg.supersample; u++) {
            const column = i * cell + x * cfg.supersample + u;
            sum += pixels[((y * cfg.supersample + v) * width + column) * 4 + 3] as number;
          }
        }
        const full = sum / (255 * cfg.supersample * cfg.supersample);
        ink += full;
        glyph[(top + y) * cfg.side + left + x] = Math.floor(full * 15 + 0.5);
      }
    }
    if (ink < cfg.minInk) return undefined;
    different.add(sha256(glyph));
  }
  return different.size === 10 ? glyphs : undefined;
}

/** The path as SVG, y down, its box w x h pixels (longest side 26) magnified by 4, with its corner at (left, 0). */
function place(path: fontkit.Path, left: number): { d: string; w: number; h: number } | undefined {
  if (path.commands.length === 0) return undefined;
  const { minX, minY, maxX, maxY } = path.bbox;
  const longest = Math.max(maxX - minX, maxY - minY);
  if (!(longest > 0 && Number.isFinite(longest)) || maxX === minX || maxY === minY) return undefined;
  const w = Math.max(1, Math.round(((maxX - minX) / longest) * cfg.box));
  const h = Math.max(1, Math.round(((maxY - minY) / longest) * cfg.box));
  const scaleX = (w * cfg.supersample) / (maxX - minX);
  const scaleY = (h * cfg.supersample) / (maxY - minY);
  const letter = { moveTo: "M", lineTo: "L", quadraticCurveTo: "Q", bezierCurveTo: "C", closePath: "Z" } as const;
  const d = path.commands
    .map(({ command, args }) => {
      const points = args.map((v, k) => (k % 2 === 0 ? left + (v - minX) * scaleX : (maxY - v) * scaleY).toFixed(3));
      return letter[command] + points.join(" ");
    })
    .join("");
  return { d, w, h };
}

/** A face is an outlier when fewer than 6 of its 10 glyphs are nearest to the median glyph of their own class. */
function notOutlier(faces: readonly Face[]): (face: Face) => boolean {
  const median = new Float64Array(FACE);
  const column = new Uint8Array(faces.length);
  for (let k = 0; k < FACE; k++) {
    for (let f = 0; f < faces.length; f++) column[f] = faces[f]?.glyphs[k] as number;
    column.sort();
    const middle = faces.length >> 1;
    const upper = column[middle] as number;
    median[k] = faces.length % 2 === 1 ? upper : ((column[middle - 1] as number) + upper) / 2;
  }
  return ({ glyphs }) => {
    let right = 0;
    for (let c = 0; c < 10; c++) {
      let best = -1;
      let least = Number.POSITIVE_INFINITY;
      for (let m = 0; m < 10; m++) {
        let distance = 0;
        for (let k = 0; k < CELLS; k++) {
          const d = (glyphs[c * CELLS + k] as number) - (median[m * CELLS + k] as number);
          distance += d * d;
        }
        if (distance < least) {
          least = distance;
          best = m;
        }
      }
      if (best === c) right++;
    }
    return right >= cfg.minRight;
  };
}

const WEIGHTS =
  /[\s_-]*\b(ui|mono|(semi|extra|ultra)?[\s-]*(condensed|expanded|light|bold)|narrow|wide|oblique|italic|slanted|medium|thin|black|regular|roman|normal|book|demi|demibold|heavy|hairline|caps|display)\b/gi;

/** Union of faces of one family name (words of weight, width and slant left out) and of faces that look the same. */
function designGroups(faces: readonly Face[]): Face[][] {
  const parent = faces.map((_, i) => i);
  const find = (i: number): number => {
    let root = i;
    while (parent[root] !== root) root = parent[root] as number;
    parent[i] = root;
    return root;
  };
  const firstOf = new Map<string, number>();
  faces.forEach((face, i) => {
    const family = face.family.replace(WEIGHTS, "").trim().toLowerCase();
    const first = firstOf.get(family);
    if (first === undefined) firstOf.set(family, i);
    else parent[find(i)] = find(first);
  });
  const unit = faces.map((face) => unitGlyphs(face.glyphs));
  for (let i = 0; i < faces.length; i++) {
    for (let j = 0; j < i; j++) {
      if (find(i) === find(j)) continue;
      if (meanCorrelation(unit[i] as Float32Array, unit[j] as Float32Array) > cfg.sameDesign) parent[find(i)] = find(j);
    }
  }
  const groups = new Map<number, Face[]>();
  faces.forEach((face, i) => {
    const root = find(i);
    const group = groups.get(root);
    if (group) group.push(face);
    else groups.set(root, [face]);
  });
  return [...groups.values()];
}

/** Each glyph less its mean, divided by its norm. */
function unitGlyphs(glyphs: Uint8Array): Float32Array {
  const unit = new Float32Array(FACE);
  for (let c = 0; c < 10; c++) {
    const glyph = glyphs.subarray(c * CELLS, (c + 1) * CELLS);
    let sum = 0;
    let squares = 0;
    for (const v of glyph) {
      sum += v;
      squares += v * v;
    }
    const mean = sum / CELLS;
    const norm = Math.sqrt(squares - CELLS * mean * mean);
    for (let k = 0; k < CELLS; k++) unit[c * CELLS + k] = ((glyph[k] as number) - mean) / norm;
  }
  return unit;
}

/** Mean of the 10 correlations; given up, as -1, once the rest cannot lift it over the threshold. */
function meanCorrelation(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let c = 0; c < 10; c++) {
    for (let k = c * CELLS; k < (c + 1) * CELLS; k++) sum += (a[k] as number) * (b[k] as number);
    if (sum + (9 - c) * 1.0001 < cfg.sameDesign * 10) return -1;
  }
  return sum / 10;
}

interface Selected {
  readonly face: Face;
  readonly group: number;
  readonly split: Split;
}

/** Groups, not faces, are dealt to the splits; within a split the groups take turns until enough faces are taken. */
function select(script: string, groups: readonly Face[][]): Selected[] {
  const random = stream(cfg.seed, "split", script);
  const shuffled = groups.map((group) => [...random.permutation(group.length)].map((i) => group[i] as Face));
  const order = [...random.permutation(groups.length)];
  const largest = groups.reduce((best, group, i) => (group.length > (groups[best] as Face[]).length ? i : best), 0);
  order.splice(order.indexOf(largest), 1);
  order.unshift(largest);
  const train = Math.min(Math.ceil(cfg.trainShare * groups.length), groups.length - 2 * cfg.minDesigns);
  const test = train + Math.ceil((groups.length - train) / 2);
  const parts: [Split, number[]][] = [
    ["train", order.slice(0, train)],
    ["validation", order.slice(test)],
    ["test", order.slice(train, test)],
  ];
  return parts.flatMap(([split, ids]) => {
    const taken: Selected[] = [];
    for (let turn = 0; taken.length < cfg.faces[split]; turn++) {
      const before = taken.length;
      for (const group of ids) {
        const face = shuffled[group]?.[turn];
        if (face && taken.length < cfg.faces[split]) taken.push({ face, group, split });
      }
      if (taken.length === before) break;
    }
    return taken;
  });
}

/** Two levels a byte, the first in the high nibble. */
function packNibbles(levels: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: levels.length / 2 }, (_, i) => {
    return ((levels[2 * i] as number) << 4) | (levels[2 * i + 1] as number);
  });
}

interface ScriptIndex {
  readonly name: string;
  readonly characters: string;
  readonly faces: readonly Record<string, string | number>[];
}

function write(target: string, scripts: readonly ScriptIndex[], raw: Buffer, packages: readonly Package[]): void {
  const packed = gzipSync(raw, { level: 9 });
  packed[9] = 255; // operating system: unknown, so that the bytes do not depend on it
  const head = {
    format: "secateur-glyphs-1",
    layout: "[face][10][32][32], 4 bits, high nibble first; faces in the order of the scripts below",
    seed: cfg.seed,
    sha256: sha256(raw),
    sha256Gzip: sha256(packed),
    bytes: raw.length,
  };
  replaceFile(join(target, "glyphs.bin.gz"), packed);
  replaceFile(join(target, "index.json"), indexText(head, scripts));
  const used = new Set(scripts.flatMap((s) => s.faces.map((face) => face.package)));
  replaceFile(
    join(target, "LICENSES.md"),
    licencesText(
      packages.filter((p) => used.has(p.name)),
      scripts,
    ),
  );
  console.log(`${raw.length} bytes, ${packed.length} compressed, SHA-256 ${head.sha256}`);
}

/** JSON with one face a line. */
function indexText(head: object, scripts: readonly ScriptIndex[]): string {
  const blocks = scripts.map(({ name, characters, faces }) => {
    const lines = faces.map((face) => `      ${JSON.stringify(face)}`).join(",\n");
    return `    { "name": ${JSON.stringify(name)}, "characters": ${JSON.stringify(characters)}, "faces": [\n${lines}\n    ] }`;
  });
  const start = JSON.stringify(head, null, 2).replace(/\n}$/, "");
  return `${start},\n  "scripts": [\n${blocks.join(",\n")}\n  ]\n}\n`;
}

function licencesText(packages: readonly Package[], scripts: readonly ScriptIndex[]): string {
  const count = (name: string): number =>
    scripts.reduce((sum, s) => sum + s.faces.filter((face) => face.package === name).length, 0);
  const rows = packages.map((pkg) => {
    return `| ${pkg.name} | ${pkg.version} | ${pkg.licence} | ${count(pkg.name)} | ${pkg.upstream} |`;
  });
  return `# Fonts behind the glyphs

\`glyphs.bin.gz\` holds 32 x 32 pixel renderings of ten characters of each face, no font program. They were made from the
Debian packages below (Debian 12, section main). Licence: short name as in the package's \`copyright\` file, which has
the full text and the authors; faces: how many faces of the package are in the file (one face may serve several scripts).

| package | version | licence | faces | upstream |
|---|---|---|---|---|
${rows.join("\n")}
`;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function replaceFile(path: string, content: string | Uint8Array): void {
  writeFileSync(`${path}.part`, content);
  renameSync(`${path}.part`, path);
}

main();
