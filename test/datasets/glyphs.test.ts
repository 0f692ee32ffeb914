import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { datasets } from "secateur";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const shipped = join(datasets.dataFolder(), "glyphs");
const SPLITS = ["train", "validation", "test"] as const;

describe("the shipped glyphs", () => {
  const scripts = datasets.loadGlyphs();

  test("14 scripts of 10 characters, every split with faces of several designs", () => {
    expect([...scripts.keys()].join(" ")).toBe(
      "latin_cap latin_small greek cyrillic hebrew arabic hiragana katakana hangul han digits georgian devanagari malayalam",
    );
    for (const { name, faces, characters } of scripts.values()) {
      expect(characters).toHaveLength(10);
      for (const split of SPLITS) {
        const own = faces.filter((face) => face.split === split);
        expect(own.length, `${name} ${split} faces`).toBeGreaterThanOrEqual(4);
        expect(new Set(own.map((face) => face.group)).size, `${name} ${split} designs`).toBeGreaterThanOrEqual(4);
      }
    }
  });

  test("no design and no family is in two splits of a script", () => {
    for (const { name, faces } of scripts.values()) {
      for (const key of ["group", "family"] as const) {
        const splits = new Map<string | number, string>();
        for (const face of faces) {
          expect(splits.get(face[key]) ?? face.split, `${name}: ${key} ${face[key]}`).toBe(face.split);
          splits.set(face[key], face.split);
        }
      }
    }
  });

  test("no face of one split looks like a face of another: mean correlation of the glyphs at most .965", () => {
    const script = scripts.get("hebrew") as datasets.Script;
    const unit = script.faces.map((_, f) => unitGlyphs(script.levels.subarray(f * 10240, (f + 1) * 10240)));
    let compared = 0;
    script.faces.forEach((a, i) => {
      script.faces.forEach((b, j) => {
        if (i >= j || a.split === b.split) return;
        compared++;
        let sum = 0;
        for (let k = 0; k < 10240; k++) sum += (unit[i]?.[k] as number) * (unit[j]?.[k] as number);
        expect(sum / 10, `${a.name}, ${b.name}`).toBeLessThanOrEqual(0.965);
      });
    });
    expect(compared).toBeGreaterThan(1000);
  });

  test("glyphs are centred, their longest side 26 pixels, none blank, none twice in a face", () => {
    for (const { name, faces, levels } of scripts.values()) {
      for (let f = 0; f < faces.length; f++) {
        const different = new Set<string>();
        for (let c = 0; c < 10; c++) {
          const glyph = levels.subarray((f * 10 + c) * 1024, (f * 10 + c + 1) * 1024);
          different.add(createHash("sha256").update(glyph).digest("hex"));
          const ink = glyph.reduce((sum, v) => sum + v, 0) / 15;
          const [left, top, right, bottom] = box(glyph);
          const place = `${name}, ${faces[f]?.name}, character ${c}: ink ${ink}, box ${[left, top, right, bottom]}`;
          expect(ink, place).toBeGreaterThan(7.5);
          // a thin stroke at the edge may round to nothing, hence a pixel or two less
          expect(Math.max(right - left, bottom - top), place).toBeGreaterThanOrEqual(24);
          expect(left >= 3 && top >= 3 && right <= 29 && bottom <= 29, place).toBe(true);
        }
        expect(different.size, `${name}, ${faces[f]?.name}`).toBe(10);
      }
    }
  });

  test("labels mean the same in all splits: nearest mean of the training glyphs is right for most held-out ones", () => {
    for (const { name } of scripts.values()) {
      const means = classMeans(datasets.cleanGlyphs(name, "train"));
      for (const split of ["validation", "test"] as const) {
        const held = datasets.cleanGlyphs(name, split);
        let right = 0;
        for (let k = 0; k < held.faces.length * 10; k++) {
          const glyph = held.levels.subarray(k * 1024, (k + 1) * 1024);
          if (nearest(glyph, means) === k % 10) right++;
        }
        expect(right / (held.faces.length * 10), `${name} ${split}`).toBeGreaterThan(0.8);
      }
    }
  });

  test("every package has its version, hash and licence in packages.tsv and a row in LICENSES.md", () => {
    const table = readFileSync(join(shipped, "packages.tsv"), "utf8").trimEnd().split("\n").slice(1);
    const licences = new Map(table.map((line) => [line.split("\t")[0], line.split("\t")[3]]));
    const listed = readFileSync(join(shipped, "LICENSES.md"), "utf8");
    for (const { faces } of scripts.values()) {
      for (const face of faces) {
        expect(face.licence, face.package).toBe(licences.get(face.package));
        expect(listed).toContain(`| ${face.package} |`);
      }
    }
    expect(licences.has("fonts-aenigma")).toBe(false);
  });
});

describe("loadGlyphs refuses", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "secateur-glyphs-"));
    cpSync(shipped, folder, { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const load = () => datasets.loadGlyphs(folder);
  // biome-ignore lint/suspicious/noExplicitAny: the index is spoiled at any place
  function spoil(change: (index: any) => void): void {
    const path = join(folder, "index.json");
    const index = JSON.parse(readFileSync(path, "utf8"));
    change(index);
    writeFileSync(path, JSON.stringify(index));
  }

  test("nothing of an untouched copy", () => {
    expect(load().size).toBe(14);
  });

  test("a missing file or folder", () => {
    rmSync(join(folder, "glyphs.bin.gz"));
    expect(load).toThrow(/glyphs\.bin\.gz: cannot be read \(ENOENT/);
    rmSync(join(folder, "index.json"));
    expect(load).toThrow(/index\.json: cannot be read \(ENOENT/);
  });

  test("a truncated file", () => {
    truncateSync(join(folder, "glyphs.bin.gz"), 100_000);
    expect(load).toThrow(
      /glyphs\.bin\.gz: SHA-256 is .* \(100000 bytes\), index.json says .* truncated or changed file/,
    );
  });

  test("one flipped bit, also when the compressed hash was adapted", () => {
    const path = join(folder, "glyphs.bin.gz");
    const raw = gunzipSync(readFileSync(path));
    raw[123_456] = (raw[123_456] as number) ^ 1;
    const packed = gzipSync(raw);
    writeFileSync(path, packed);
    expect(load).toThrow(/glyphs\.bin\.gz: SHA-256 is/);
    spoil((index) => {
      index.sha256Gzip = createHash("sha256").update(packed).digest("hex");
    });
    expect(load).toThrow(/glyphs\.bin\.gz \(unpacked\): SHA-256 is/);
  });

  test("a file that unpacks to more than the index says, without unpacking it", () => {
    const packed = gzipSync(Buffer.alloc(100_000_000));
    writeFileSync(join(folder, "glyphs.bin.gz"), packed);
    spoil((index) => {
      index.sha256Gzip = createHash("sha256").update(packed).digest("hex");
    });
    expect(load).toThrow(/glyphs\.bin\.gz: does not unpack to the \d+ bytes of index\.json/);
  });

  test("an index that is not JSON, not an object, of another format", () => {
    const path = join(folder, "index.json");
    writeFileSync(path, "{");
    expect(load).toThrow(/index\.json: not JSON/);
    writeFileSync(path, "[]");
    expect(load).toThrow(/index\.json: a JSON object expected/);
    writeFileSync(path, "{}");
    expect(load).toThrow(/format must be "secateur-glyphs-1", got undefined/);
  });

  test.each<[string, (index: ReturnType<typeof JSON.parse>) => void, RegExp]>([
    ["hash", (i) => (i.sha256 = "0"), /sha256 must be 64 hexadecimal digits/],
    ["size", (i) => (i.bytes = 1e12), /bytes must be an integer from 1 to/],
    ["size beside faces", (i) => (i.bytes -= 5120), /faces are \d+ bytes of glyphs, but bytes is/],
    ["scripts", (i) => (i.scripts = {}), /scripts must be a list/],
    ["script", (i) => (i.scripts[3] = null), /scripts\[3\] must be an object/],
    ["name with a path", (i) => (i.scripts[0].name = "../x"), /scripts\[0\]\.name must be a new name/],
    ["name twice", (i) => (i.scripts[1].name = "latin_cap"), /scripts\[1\]\.name must be a new name/],
    ["nine characters", (i) => (i.scripts[2].characters = "βγδζθλξπψ"), /scripts\[2\]\.characters must be 10/],
    ["no faces", (i) => (i.scripts[2].faces = []), /scripts\[2\]\.faces must be a list of 1 to/],
    ["split", (i) => (i.scripts[0].faces[5].split = "trial"), /scripts\[0\]\.faces\[5\]\.split must be/],
    ["file with a path", (i) => (i.scripts[0].faces[5].file = "../../x.ttf"), /must be names, not paths/],
    ["face index", (i) => (i.scripts[0].faces[5].face = -1), /faces\[5\]\.face must be an integer >= 0/],
    ["licence", (i) => (i.scripts[0].faces[5].licence = ""), /licence must be a text/],
    ["family", (i) => (i.scripts[0].faces[5].family = 7), /family must be a text/],
    [
      "no test face",
      (i) => {
        for (const face of i.scripts[0].faces) face.split = "train";
      },
      /no face in split/,
    ],
  ])("an index with a wrong %s", (_, change, message) => {
    spoil(change);
    expect(load).toThrow(message);
  });

  test("a design in two splits", () => {
    spoil(({ scripts: [{ faces }] }) => {
      const held = faces.find((face: { split: string }) => face.split === "test");
      held.group = faces[0].group;
    });
    expect(load).toThrow(/design group \d+ is in train and in test/);
  });
});

test("SECATEUR_DATA names another data folder", () => {
  const before = process.env.SECATEUR_DATA;
  try {
    process.env.SECATEUR_DATA = join(tmpdir(), "secateur-no-such-folder");
    expect(existsSync(process.env.SECATEUR_DATA)).toBe(false);
    expect(() => datasets.loadGlyphs()).toThrow(/secateur-no-such-folder: no such folder \(SECATEUR_DATA names it\)/);
  } finally {
    if (before === undefined) delete process.env.SECATEUR_DATA;
    else process.env.SECATEUR_DATA = before;
  }
});

function unitGlyphs(levels: Uint8Array): Float64Array {
  const unit = new Float64Array(10240);
  for (let c = 0; c < 10; c++) {
    const glyph = levels.subarray(c * 1024, (c + 1) * 1024);
    const mean = glyph.reduce((sum, v) => sum + v, 0) / 1024;
    const norm = Math.sqrt(glyph.reduce((sum, v) => sum + (v - mean) ** 2, 0));
    for (let k = 0; k < 1024; k++) unit[c * 1024 + k] = ((glyph[k] as number) - mean) / norm;
  }
  return unit;
}

/** left, top, right and bottom of the ink; right and bottom exclusive */
function box(glyph: Uint8Array): [number, number, number, number] {
  let [left, top, right, bottom] = [32, 32, 0, 0];
  glyph.forEach((v, k) => {
    if (v === 0) return;
    const [x, y] = [k % 32, Math.floor(k / 32)];
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x + 1);
    bottom = Math.max(bottom, y + 1);
  });
  return [left, top, right, bottom];
}

function classMeans({ levels, faces }: datasets.CleanGlyphs): Float64Array[] {
  return Array.from({ length: 10 }, (_, c) => {
    const mean = new Float64Array(1024);
    for (let f = 0; f < faces.length; f++) {
      for (let k = 0; k < 1024; k++)
        mean[k] = (mean[k] as number) + (levels[(f * 10 + c) * 1024 + k] as number) / faces.length;
    }
    return mean;
  });
}

function nearest(glyph: Uint8Array, means: readonly Float64Array[]): number {
  const distances = means.map((mean) => glyph.reduce((sum, v, k) => sum + (v - (mean[k] as number)) ** 2, 0));
  return distances.indexOf(Math.min(...distances));
}
