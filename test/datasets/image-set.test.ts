import { type Batch, backend, datasets, type ImageSet } from "secateur";
import { describe, expect, test } from "vitest";
import { owned } from "../support/owned";

const { tf } = backend;
const { batches, contactSheet, imageSet, toBatch } = datasets;

const parts = {
  name: "mine",
  pixels: Uint8Array.from({ length: 3 * 2 * 2 * 2 }, (_, k) => 10 * k),
  shape: [3, 2, 2, 2] as const,
  labels: [0, 2, 1],
  classes: 3,
  normalise: { levels: 255, mean: [0.5, 0.25], std: [0.28, 0.5] },
};

describe("imageSet", () => {
  test("takes any height, width and channels; the hash sees shape, pixels and labels, not the name", () => {
    const set = imageSet(parts);
    expect(set.hash).toMatch(/^[0-9a-f]{12}$/);
    expect(imageSet({ ...parts, name: "yours" }).hash).toBe(set.hash);
    const others = [
      imageSet({ ...parts, shape: [3, 4, 1, 2] }),
      imageSet({ ...parts, labels: [0, 1, 2] }),
      imageSet({ ...parts, pixels: parts.pixels.map((v, k) => (k === 5 ? v + 1 : v)) }),
    ];
    expect(new Set([set, ...others].map(({ hash }) => hash)).size).toBe(4);
  });

  test.each<[string, Partial<Parameters<typeof imageSet>[0]>, RegExp]>([
    ["shape", { shape: [3, 2, 2, 0] }, /"mine": shape must be four positive integers .* got \[3,2,2,0\]/],
    ["pixels", { pixels: new Uint8Array(23) }, /pixels must be a Uint8Array of 24 values .* got 23/],
    ["labels", { labels: [0, 1] }, /labels must be 3 numbers, got 2/],
    ["label", { labels: [0, 1, 3] }, /labels\[2\] must be an integer from 0 to 2, got 3/],
    ["fractional label", { labels: [0, 0.5, 1] }, /labels\[1\] must be an integer from 0 to 2, got 0.5/],
    ["classes", { classes: 0 }, /classes must be an integer >= 1, got 0/],
    ["levels", { normalise: { levels: 0, mean: [0, 0], std: [1, 1] } }, /levels must be an integer from 1 to 255/],
    ["mean", { normalise: { levels: 255, mean: [0], std: [1, 1] } }, /mean must be 2 finite numbers, got \[0\]/],
    ["std", { normalise: { levels: 255, mean: [0, 0], std: [1, 0] } }, /std must be 2 positive numbers/],
    ["value", { normalise: { levels: 229, mean: [0, 0], std: [1, 1] } }, /pixels\[23\] must be at most levels = 229/],
  ])("refuses a wrong %s", (_, change, message) => {
    expect(() => imageSet({ ...parts, ...change })).toThrow(message);
  });
});

describe("toBatch and batches", () => {
  const set = imageSet(parts);
  const expected = [...parts.pixels].map((p, k) => Math.fround((p / 255 - [0.5, 0.25][k % 2]!) / [0.28, 0.5][k % 2]!));

  test("(pixel / levels - mean) / std per channel, to the last bit of float32", () => {
    const { x, labels } = toBatch(set);
    expect(x.shape).toEqual([3, 2, 2, 2]);
    expect(x.dtype).toBe("float32");
    expect([...x.dataSync()]).toEqual(expected);
    expect([...labels]).toEqual([0, 2, 1]);
    x.dispose();
  });

  test("a task's images are normalised by levels 15, mean .5, std .28", () => {
    const task = datasets.subset("greek", "scoring", { perClass: 1 });
    const { x } = toBatch(task);
    const wanted = [...task.pixels].map((p) => Math.fround((p / 15 - 0.5) / 0.28));
    expect([...x.dataSync()]).toEqual(wanted);
    x.dispose();
  });

  test("batches cut the set in order, the last one short", () => {
    const parts: Batch[] = [...batches(set, 2)];
    expect(parts.map(({ x }) => x.shape[0])).toEqual([2, 1]);
    expect(parts.flatMap(({ x }) => [...x.dataSync()])).toEqual(expected);
    expect(parts.flatMap(({ labels }) => [...labels])).toEqual([0, 2, 1]);
    tf.dispose(parts.map(({ x }) => x));
  });

  test("leave nothing behind but what they return", () => {
    tf.dispose(owned(() => toBatch(set).x));
    tf.dispose(owned(() => [...batches(set, 2)].map(({ x }) => x)));
  });

  test("refuse a size that is no positive integer before the first batch is asked for", () => {
    expect(() => batches(set, 0)).toThrow(/size must be an integer >= 1, got 0/);
    expect(() => batches(set, 1.5)).toThrow(/got 1.5/);
  });
});

describe("contactSheet", () => {
  const grey = (values: number[], labels: number[]): ImageSet =>
    imageSet({
      name: "grey",
      pixels: Uint8Array.from(values),
      shape: [values.length, 1, 1, 1],
      labels,
      classes: 2,
      normalise: { levels: 15, mean: [0.5], std: [0.28] },
    });
  const a = grey([0, 15, 3, 6], [1, 0, 1, 0]);

  test("class after class, the first images of each, levels stretched to 0 to 255, white gaps", () => {
    expect(contactSheet(a, { perClass: 2, gap: 0 })).toEqual({
      width: 4,
      height: 1,
      pixels: Uint8Array.from([255, 102, 0, 51]),
    });
    expect(contactSheet([a, a], { perClass: 1, gap: 1 })).toEqual({
      width: 3,
      height: 3,
      pixels: Uint8Array.from([255, 255, 0, 255, 255, 255, 255, 255, 0]),
    });
    expect(contactSheet(a, { perClass: 1, gap: 0, zoom: 2 })).toEqual({
      width: 4,
      height: 2,
      pixels: Uint8Array.from([255, 255, 0, 0, 255, 255, 0, 0]),
    });
  });

  test("refuses too few images, sets that differ, wrong options", () => {
    expect(() => contactSheet(a, { perClass: 3 })).toThrow(/class 0 of "grey" has 2 images, perClass is 3/);
    expect(() => contactSheet([a, imageSet(parts)])).toThrow(/sets must agree in image size and classes/);
    expect(() => contactSheet([])).toThrow(/at least one set/);
    expect(() => contactSheet(a, { zoom: 0 })).toThrow(/zoom must be an integer >= 1, got 0/);
  });
});
