import { createHash } from "node:crypto";
import { backend, datasets } from "secateur";
import { describe, expect, test } from "vitest";
import { slowCorrupt } from "./corrupt-oracle";

const { stream } = backend;
const { corrupt } = datasets;

const drawn = (inside: (x: number, y: number) => boolean): Uint8Array =>
  Uint8Array.from({ length: 1024 }, (_, k) => (inside(k % 32, Math.floor(k / 32)) ? 15 : 0));
const bar = drawn((x, y) => x >= 10 && x < 16 && y >= 4 && y < 28);
const square = drawn((x, y) => x >= 10 && x < 20 && y >= 10 && y < 20);
const blank = drawn(() => false);

const average = (images: readonly Uint8Array[], f: (image: Uint8Array) => number): number =>
  images.reduce((sum, image) => sum + f(image), 0) / images.length;
const many = (n: number, strength: number, glyph = bar, other = square): Uint8Array[] =>
  Array.from({ length: n }, (_, i) => corrupt(glyph, other, stream(0, "statistics", i), strength));

describe("corrupt", () => {
  test("gives these bytes on every machine", () => {
    const hash = createHash("sha256");
    for (let i = 0; i < 200; i++) hash.update(corrupt(bar, square, stream(0, "golden", i), 0.1 + (i % 9) / 10));
    expect(hash.digest("hex")).toBe("8f4bdcb90a4e81dbaaf92cf89591ca17bd7fad63611b42b563356575ed477e4f");
  });

  test.each([0.1, 0.5, 0.9])("equals the slow twin built from its docstring, strength %d", (strength) => {
    const { levels } = datasets.cleanGlyphs("han", "train");
    let different = 0;
    for (let i = 0; i < 6; i++) {
      const glyph = levels.subarray(i * 1024, (i + 1) * 1024);
      const other = levels.subarray((i + 20) * 1024, (i + 21) * 1024);
      const fast = corrupt(glyph, other, stream(3, "twin", i), strength);
      const slow = slowCorrupt(glyph, other, stream(3, "twin", i), strength).flat();
      slow.forEach((level, k) => {
        expect(Math.abs(level - (fast[k] as number)), `image ${i}, pixel ${k}`).toBeLessThanOrEqual(1);
        if (level !== fast[k]) different++;
      });
    }
    // rounding may fall the other way where a value is within 1e-12 of a half
    expect(different).toBeLessThanOrEqual(1);
  });

  test("writes to the array it is given and leaves the glyphs alone", () => {
    const [glyph, other, out] = [bar.slice(), square.slice(), new Uint8Array(784)];
    expect(corrupt(glyph, other, stream(0), 0.9, out)).toBe(out);
    expect(out).toEqual(corrupt(bar, square, stream(0)));
    expect([glyph, other]).toEqual([bar, square]);
  });

  test("uses the 16 levels, both polarities and the whole of them about equally", () => {
    const images = many(600, 0.9);
    expect(new Set(images.flatMap((image) => [...image])).size).toBe(16);
    const overall = average(images, (image) => image.reduce((sum, v) => sum + v, 0) / 784) / 15;
    expect(Math.abs(overall - 0.5)).toBeLessThan(0.03);
    const bright = average(images, (image) => Number(middle(image) > edge(image)));
    expect(Math.abs(bright - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / images.length));
  });

  test("noise grows with strength: the roughness of blank images is proportional to it", () => {
    const roughness = (strength: number): number =>
      average(many(300, strength, blank, blank), (image) => {
        let sum = 0;
        for (let k = 1; k < 784; k++) if (k % 28 > 0) sum += ((image[k] as number) - (image[k - 1] as number)) ** 2;
        return sum;
      });
    const [weak, half, strong] = [roughness(0.3), roughness(0.45), roughness(0.9)];
    expect(weak).toBeLessThan(half);
    expect(half).toBeLessThan(0.5 * strong);
  });

  test("one stream at two strengths gives one image, more and less corrupted", () => {
    const close = (a: Uint8Array, b: Uint8Array): number =>
      a.reduce((sum, v, k) => sum + Math.abs(v - (b[k] as number)), 0) / 784;
    const pairs = Array.from({ length: 100 }, (_, i) => {
      const near = close(corrupt(bar, blank, stream(1, i), 0.2), corrupt(bar, blank, stream(1, i), 0.1));
      const far = close(corrupt(bar, blank, stream(1, i), 0.2), corrupt(bar, blank, stream(2, i), 0.1));
      return near < far;
    });
    expect(pairs.filter(Boolean).length).toBeGreaterThan(95);
  });

  test("a distractor shows in .7 x strength of the images, towards the edge", () => {
    for (const strength of [0.3, 0.9]) {
      const n = 800;
      let seen = 0;
      for (let i = 0; i < n; i++) {
        const without = corrupt(blank, blank, stream(4, i), strength);
        const withOne = corrupt(blank, square, stream(4, i), strength);
        const changed = without.reduce((count, v, k) => count + Number(v !== withOne[k]), 0);
        if (changed > 0) seen++;
      }
      const expected = 0.7 * strength; // every distractor of this size reaches into the image
      expect(Math.abs(seen / n - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / n));
    }
  });

  test("refuses wrong sizes and strengths", () => {
    expect(() => corrupt(new Uint8Array(784), square, stream(0))).toThrow(/glyph must have 1024 levels, got 784/);
    expect(() => corrupt(bar, new Uint8Array(0), stream(0))).toThrow(/distractor must have 1024 levels, got 0/);
    expect(() => corrupt(bar, square, stream(0), 1.5)).toThrow(/strength must be in \[0, 1\], got 1.5/);
    expect(() => corrupt(bar, square, stream(0), Number.NaN)).toThrow(/got NaN/);
    expect(() => corrupt(bar, square, stream(0), 0.9, new Uint8Array(1024))).toThrow(/out must have room for 784/);
  });
});

/** mean of the central 8 x 8 pixels and of the border */
function middle(image: Uint8Array): number {
  let sum = 0;
  for (let i = 10; i < 18; i++) for (let j = 10; j < 18; j++) sum += image[i * 28 + j] as number;
  return sum / 64;
}

function edge(image: Uint8Array): number {
  let sum = 0;
  for (let k = 0; k < 28; k++) sum += (image[k] as number) + (image[27 * 28 + k] as number);
  return sum / 56;
}
