import { backend, type Mask, masks } from "secateur";
import { describe, expect, test } from "vitest";
import { net } from "./tiny";

describe("overlap", () => {
  test("worked: 2 in both, 4 in a, 3 in b", () => {
    const a: Mask = { x: Uint8Array.of(1, 1, 1, 0), y: Uint8Array.of(1, 0) };
    const b: Mask = { x: Uint8Array.of(1, 0, 1, 1), y: Uint8Array.of(0, 0) };
    expect(masks.overlap(a, b)).toEqual({ both: 2, intersectionOverUnion: 2 / 5, shareOfA: 2 / 4 });
    expect(masks.overlap(b, a)).toEqual({ both: 2, intersectionOverUnion: 2 / 5, shareOfA: 2 / 3 });
  });

  test("a mask overlaps itself fully, an empty one too; disjoint masks not at all", () => {
    const a: Mask = { x: Uint8Array.of(1, 0) };
    const none: Mask = { x: Uint8Array.of(0, 0) };
    expect(masks.overlap(a, a).intersectionOverUnion).toBe(1);
    expect(masks.overlap(none, none)).toEqual({ both: 0, intersectionOverUnion: 1, shareOfA: 1 });
    expect(masks.overlap(a, { x: Uint8Array.of(0, 1) })).toEqual({ both: 0, intersectionOverUnion: 0, shareOfA: 0 });
  });

  test("other names or sizes are refused", () => {
    expect(() => masks.overlap({ x: Uint8Array.of(1) }, { y: Uint8Array.of(1) })).toThrow(
      /only in a: \[x\]; only in b: \[y\]/,
    );
    expect(() => masks.overlap({ x: Uint8Array.of(1) }, { x: Uint8Array.of(1, 1) })).toThrow(
      /"x" has 1 weights in a, 2 in b/,
    );
  });
});

describe("overlapReport", () => {
  const a: Mask = { x: Uint8Array.of(1, 1, 1, 0), y: Uint8Array.of(1, 0) };
  const b: Mask = { x: Uint8Array.of(1, 0, 1, 1), y: Uint8Array.of(0, 0) };

  test("worked: layer by layer, and by chance 3 x 3 / 4 weights in common", () => {
    const report = masks.overlapReport(a, b);
    expect(report).toMatchObject(masks.overlap(a, b));
    expect(report.byChance).toBeCloseTo(2.25 / (4 + 3 - 2.25), 14);
    expect(report.layers).toEqual([
      { name: "x", both: 2, keptInA: 3, keptInB: 3, total: 4, intersectionOverUnion: 2 / 4, shareOfA: 2 / 3 },
      { name: "y", both: 0, keptInA: 1, keptInB: 0, total: 2, intersectionOverUnion: 0, shareOfA: 0 },
    ]);
  });

  test("shuffles of a mask overlap it as chance says: mean of 400 within 4 standard errors", () => {
    const mask: Mask = {
      x: Uint8Array.from({ length: 60 }, (_, i) => Number(i % 3 === 0)),
      y: Uint8Array.from({ length: 30 }, (_, i) => Number(i < 24)),
    };
    const stream = backend.stream(0, "shuffle");
    const both = Array.from({ length: 400 }, () => masks.overlap(mask, masks.shuffleWithinLayers(mask, stream)).both);
    const mean = both.reduce((s, v) => s + v, 0) / both.length;
    const variance = both.reduce((s, v) => s + (v - mean) ** 2, 0) / (both.length - 1);
    const kept = 20 + 24;
    const { byChance } = masks.overlapReport(mask, mask);
    // IoU = both / (2 kept - both)
    const expected = (2 * kept * byChance) / (1 + byChance);
    expect(Math.abs(mean - expected)).toBeLessThan(4 * Math.sqrt(variance / both.length));
  });
});

describe("maskReport", () => {
  test("nothing removed: nothing dead", () => {
    const report = masks.maskReport(net, masks.fullMask(net));
    expect(report).toMatchObject({
      kept: 99,
      total: 99,
      keep: 1,
      deadLayers: [],
      deadOutputs: 0,
      deadInputs: 0,
      deadKernels: 0,
    });
    expect(report.layers.map(({ name }) => name)).toEqual(net.prunable);
  });

  test("counts by hand: conv [3, 3, 2, 4] with two weights, conv [1, 1, 4, 3] empty, linear [3, 5] without input 0 and output 4", () => {
    const mask = {
      "conv1.weight": new Uint8Array(72),
      "conv2.weight": new Uint8Array(12),
      "fc.weight": Uint8Array.from({ length: 15 }, (_, i) => (i < 5 || i % 5 === 4 ? 0 : 1)),
    };
    // y = 1, x = 2, input 1: outputs 0 and 1
    mask["conv1.weight"][((1 * 3 + 2) * 2 + 1) * 4 + 0] = 1;
    mask["conv1.weight"][((1 * 3 + 2) * 2 + 1) * 4 + 1] = 1;
    const { layers, ...totals } = masks.maskReport(net, mask);
    expect(layers).toEqual([
      {
        name: "conv1.weight",
        kept: 2,
        total: 72,
        keep: 2 / 72,
        dead: false,
        deadOutputs: 2,
        deadInputs: 1,
        deadKernels: 6,
      },
      { name: "conv2.weight", kept: 0, total: 12, keep: 0, dead: true, deadOutputs: 3, deadInputs: 4, deadKernels: 12 },
      {
        name: "fc.weight",
        kept: 8,
        total: 15,
        keep: 8 / 15,
        dead: false,
        deadOutputs: 1,
        deadInputs: 1,
        deadKernels: 7,
      },
    ]);
    expect(totals).toEqual({
      kept: 10,
      total: 99,
      keep: 10 / 99,
      deadLayers: ["conv2.weight"],
      deadOutputs: 6,
      deadInputs: 6,
      deadKernels: 25,
    });
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      "a layer missing",
      { "conv1.weight": new Uint8Array(72), "conv2.weight": new Uint8Array(12) },
      /only in tiny\.prunable: \[fc\.weight\]/,
    ],
    ["a layer too many", { ...masks.fullMask(net), "bn1.weight": new Uint8Array(4) }, /only in mask: \[bn1\.weight\]/],
    [
      "a wrong size",
      { ...masks.fullMask(net), "fc.weight": new Uint8Array(14) },
      /"fc\.weight" must have 15 entries for \[3,5\], got 14/,
    ],
    ["a value of 2", { ...masks.fullMask(net), "fc.weight": new Uint8Array(15).fill(2) }, /must be 0 or 1, got 2 at 0/],
    ["a plain array", { ...masks.fullMask(net), "fc.weight": Array(15).fill(1) }, /must be a Uint8Array/],
  ])("refuses %s", (_, mask, rule) => expect(() => masks.maskReport(net, mask as Mask)).toThrow(rule));
});
