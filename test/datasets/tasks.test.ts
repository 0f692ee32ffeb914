import { createHash } from "node:crypto";
import { datasets, type ImageSet } from "secateur";
import { beforeEach, describe, expect, test } from "vitest";

const { subset, tasks } = datasets;
const SIZE = 28 * 28;

const digests = ({ pixels, shape }: ImageSet): string[] =>
  Array.from({ length: shape[0] }, (_, i) =>
    createHash("sha256")
      .update(pixels.subarray(i * SIZE, (i + 1) * SIZE))
      .digest("hex"),
  );
const first = (set: ImageSet, images: number): Uint8Array => set.pixels.subarray(0, images * SIZE);
const shared = (a: ImageSet, b: ImageSet): number => {
  const other = new Set(digests(b));
  return digests(a).filter((digest) => other.has(digest)).length;
};

describe("tasks", () => {
  test("10 scripts of pre-training, 4 unseen, 1 far, of 10 classes each", () => {
    const kinds = tasks().map((task) => task.kind);
    expect(kinds).toEqual([...Array(10).fill("pretraining"), ...Array(4).fill("unseen"), "far"]);
    for (const task of tasks()) expect(task.classes).toHaveLength(10);
    expect(
      tasks()
        .find((task) => task.name === "hebrew")
        ?.classes.join(""),
    ).toBe("אבגהטלמצקש");
  });
});

describe("subset", () => {
  beforeEach(() => datasets.forgetData());

  test.each([
    ["latin_cap", "head", "deaa03d5909a"],
    ["hebrew", "scoring", "d62b0d2095df"],
    ["hebrew", "finetuning", "5364a6ccd1bc"],
    ["han", "validation", "e7c79e6fd36f"],
    ["malayalam", "test", "702d0f8bb050"],
    ["digits", "authors", "cde33b087ff2"],
    ["fashion", "test", "b626cfd352f5"],
  ] as const)("%s/%s has the hash that published numbers belong to", (task, role, hash) => {
    expect(subset(task, role).hash).toBe(hash);
  });

  test("is the same whatever was generated before", () => {
    const alone = subset("greek", "validation").hash;
    datasets.forgetData();
    subset("greek", "test");
    subset("greek", "head");
    datasets.pretrainingSet(5);
    expect(subset("greek", "validation").hash).toBe(alone);
  });

  test("sizes, labels in turn, names", () => {
    const set = subset("katakana", "scoring", { draw: 3 });
    expect(set.name).toBe("katakana/scoring/draw3");
    expect(set.shape).toEqual([100, 28, 28, 1]);
    expect([...set.labels.slice(0, 12)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    expect(set.classes).toBe(10);
    expect(set.normalise).toEqual({ levels: 15, mean: [0.5], std: [0.28] });
    expect(subset("katakana", "test", { perClass: 20 }).name).toBe("katakana/test/20-a-class");
    for (const [role, images] of [
      ["head", 1000],
      ["scoring", 100],
      ["finetuning", 1000],
      ["validation", 1000],
      ["test", 1000],
      ["authors", 500],
    ] as const) {
      expect(subset("fashion", role).shape[0], role).toBe(images);
    }
  });

  test("another strength: the same images more or less corrupted, under a name of their own", () => {
    const [weak, usual] = [
      subset("hebrew", "test", { perClass: 2, strength: 0.1 }),
      subset("hebrew", "test", { perClass: 2 }),
    ];
    expect(weak.name).toBe("hebrew/test/2-a-class/strength0.1");
    expect(subset("hebrew", "test", { perClass: 2, strength: 0.9 })).toEqual(usual);
    const roughness = ({ pixels }: ImageSet): number =>
      pixels.reduce((sum, p, i) => sum + (i % 28 === 0 ? 0 : Math.abs(p - pixels[i - 1]!)), 0);
    expect(roughness(weak)).toBeLessThan(0.7 * roughness(usual));
    expect(() => subset("hebrew", "test", { strength: 1.1 })).toThrow(/strength must be in \[0, 1\], got 1.1/);
    expect(() => subset("fashion", "test", { strength: 0.5 })).toThrow(/strength is for scripts/);
  });

  test("perClass takes the first of the role", () => {
    const whole = subset("arabic", "test");
    const part = subset("arabic", "test", { perClass: 20 });
    expect(part.pixels).toEqual(first(whole, 200));
    expect(part.hash).not.toBe(whole.hash);
  });

  test("roles follow the sizes: scoring draws are the tens of fine-tuning and go on behind it", () => {
    const tuning = subset("hangul", "finetuning");
    for (const draw of [0, 4, 9]) {
      const tens = tuning.pixels.subarray(draw * 100 * SIZE, (draw + 1) * 100 * SIZE);
      expect(subset("hangul", "scoring", { draw }).pixels).toEqual(tens);
    }
    expect(shared(subset("hangul", "scoring", { draw: 10 }), tuning)).toBe(0);
    expect(subset("hangul", "scoring", { draw: 19 }).shape[0]).toBe(100);
    expect(subset("hangul", "authors").pixels).toEqual(first(subset("hangul", "test"), 500));
  });

  test.each(["hebrew", "devanagari", "fashion"])(
    "%s: head, fine-tuning, validation and test share no image",
    (task) => {
      const sets = (["head", "finetuning", "validation", "test"] as const).map((role) => subset(task, role));
      sets.forEach((a, i) => {
        expect(new Set(digests(a)).size, `${a.name}: distinct`).toBe(a.shape[0]);
        sets.slice(i + 1).forEach((b) => {
          expect(shared(a, b), `${a.name} and ${b.name}`).toBe(0);
        });
      });
    },
  );

  test("disjoint scoring draws share no image", () => {
    const draws = [0, 1, 2, 19].map((draw) => subset("digits", "scoring", { draw }));
    draws.forEach((a, i) => {
      draws.slice(i + 1).forEach((b) => {
        expect(shared(a, b)).toBe(0);
      });
    });
    expect(subset("digits", "scoring", { perClass: 40, draw: 4 }).shape[0]).toBe(400);
  });

  test("statistics: mean near one half, every class with contrast, classes differ", () => {
    for (const { name, kind } of tasks()) {
      if (kind === "far") continue;
      const { pixels } = subset(name, "validation", { perClass: 30 });
      const mean = pixels.reduce((sum, v) => sum + v, 0) / pixels.length / 15;
      const variance = pixels.reduce((sum, v) => sum + (v / 15 - mean) ** 2, 0) / pixels.length;
      expect(Math.abs(mean - 0.5), name).toBeLessThan(0.06);
      expect(Math.sqrt(variance), name).toBeGreaterThan(0.22);
      expect(Math.sqrt(variance), name).toBeLessThan(0.34);
    }
  });

  test("refuses what is not there", () => {
    expect(() => subset("klingon", "test")).toThrow(/task must be one of latin_cap, .*fashion, got "klingon"/);
    expect(() => subset("han", "training" as "test")).toThrow(/role must be one of head, .*, got "training"/);
    expect(() => subset("han", "toString" as "test")).toThrow(/role must be one of/);
    expect(() => subset("han", "test", { perClass: 101 })).toThrow(
      /perClass must be an integer from 1 to 100, got 101/,
    );
    expect(() => subset("han", "test", { perClass: 0.5 })).toThrow(/got 0.5/);
    expect(() => subset("han", "scoring", { draw: 20 })).toThrow(/draw must be an integer from 0 to 19, got 20/);
    expect(() => subset("fashion", "scoring", { draw: 10 })).toThrow(/draw must be an integer from 0 to 9, got 10/);
    expect(() => subset("han", "test", { draw: 1 })).toThrow(/draw must be an integer from 0 to 0, got 1/);
  });
});

describe("pretrainingSet", () => {
  test("30,000 images of 100 classes; the roles of the sources are its first images", () => {
    const set = datasets.pretrainingSet();
    expect([set.name, set.hash]).toEqual(["pretraining", "9cbb572647f9"]);
    expect(set.shape).toEqual([30_000, 28, 28, 1]);
    const counts = new Array<number>(100).fill(0);
    for (const label of set.labels) counts[label] = (counts[label] as number) + 1;
    expect(new Set(counts)).toEqual(new Set([300]));
    // hebrew is the fifth script: its classes are 40 to 49
    const head = subset("hebrew", "head", { perClass: 2 });
    for (let i = 0; i < 20; i++) {
      const at = Math.floor(i / 10) * 100 + 40 + (i % 10);
      expect(set.labels[at]).toBe(40 + (i % 10));
      expect(set.pixels.subarray(at * SIZE, (at + 1) * SIZE)).toEqual(head.pixels.subarray(i * SIZE, (i + 1) * SIZE));
    }
  });

  test("another seed gives other images of the same classes", () => {
    const set = datasets.pretrainingSet(1);
    expect(set.name).toBe("pretraining/seed1");
    expect(set.hash).not.toBe("9cbb572647f9");
  });
});

describe("cleanGlyphs", () => {
  test("glyphs of the fonts of one split", () => {
    const { levels, faces, characters } = datasets.cleanGlyphs("han", "test");
    expect(levels.length).toBe(faces.length * 10 * 1024);
    expect(characters.join("")).toBe("日月火水木金土山田車");
    expect(new Set(faces.map((face) => face.split))).toEqual(new Set(["test"]));
  });

  test("refuses what is no script or split", () => {
    expect(() => datasets.cleanGlyphs("fashion", "test")).toThrow(/task must be one of latin_cap/);
    expect(() => datasets.cleanGlyphs("han", "all" as "test")).toThrow(/split must be train, validation or test/);
  });
});
