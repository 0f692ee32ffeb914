import fc from "fast-check";
import { rows } from "secateur";
import { describe, expect, test } from "vitest";
import { rowOf } from "./rows-of";

const { curve, denseAccuracy, interpolateKnee, knees, replicates } = rows;

describe("interpolateKnee", () => {
  test("half way in log(keep) between 1.0 at keep 0.64 and 0.8 at keep 0.16: sqrt(0.64 0.16) = 0.32", () => {
    const points = [
      { keep: 0.16, share: 0.8 },
      { keep: 0.64, share: 1 },
    ];
    expect(interpolateKnee(points, 0.9)).toBeCloseTo(0.32, 12);
  });

  test("takes the first fall from keep 1 downward, and adds the dense point", () => {
    const points = [
      { keep: 0.5, share: 0.8 },
      { keep: 0.25, share: 0.95 },
      { keep: 0.1, share: 0.1 },
    ];
    expect(interpolateKnee(points, 0.9)).toBeCloseTo(Math.sqrt(0.5), 12);
  });

  test("a curve that stays above has no knee", () => {
    expect(interpolateKnee([{ keep: 0.1, share: 0.9 }], 0.9)).toBeNull();
  });

  const falling = fc
    .uniqueArray(fc.double({ min: 0.01, max: 0.99, noNaN: true }), {
      minLength: 1,
      maxLength: 8,
      comparator: (a, b) => Math.abs(a - b) < 1e-3,
    })
    .chain((keeps) =>
      fc
        .array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: keeps.length, maxLength: keeps.length })
        .map((shares) => {
          const down = [...shares].sort((a, b) => b - a);
          return [...keeps].sort((a, b) => b - a).map((keep, i) => ({ keep, share: down[i]! }));
        }),
    );

  test("lies between the last point at the level and the first point under it; the order of points does not matter", () => {
    fc.assert(
      fc.property(falling, (points) => {
        const knee = interpolateKnee(points, 0.9);
        expect(interpolateKnee([...points].reverse(), 0.9)).toBe(knee);
        const below = points.find((p) => p.share < 0.9);
        if (!below) {
          expect(knee).toBeNull();
          return;
        }
        const above = points.filter((p) => p.keep > below.keep).at(-1)?.keep ?? 1;
        expect(knee!).toBeGreaterThanOrEqual(below.keep * (1 - 1e-12));
        expect(knee!).toBeLessThanOrEqual(above * (1 + 1e-12));
      }),
    );
  });

  test("a lower level has a lower knee on a falling curve", () => {
    fc.assert(
      fc.property(falling, (points) => {
        const high = interpolateKnee(points, 0.9);
        const low = interpolateKnee(points, 0.5);
        if (high !== null && low !== null) expect(low).toBeLessThanOrEqual(high * (1 + 1e-12));
      }),
    );
  });

  test("exact on a curve that is straight in log(keep), whatever the grid", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.05, max: 0.5, noNaN: true }), fc.integer({ min: 3, max: 12 }), (slope, n) => {
        const points = Array.from({ length: n }, (_, i) => 0.02 ** ((i + 1) / n)).map((keep) => ({
          keep,
          share: 1 + slope * Math.log(keep),
        }));
        expect(interpolateKnee(points, 0.9)).toBeCloseTo(Math.exp(-0.1 / slope), 9);
      }),
    );
  });

  test("refuses bad points", () => {
    expect(() => interpolateKnee([{ keep: 0, share: 1 }])).toThrow(/keep must be in \(0, 1\], got 0/);
    expect(() => interpolateKnee([{ keep: 0.5, share: Number.NaN }])).toThrow(
      /share must be finite, got NaN at keep 0.5/,
    );
    expect(() => interpolateKnee([{ keep: 1, share: 0.5 }])).toThrow(/dense point must reach the level 0.9, got 0.5/);
    expect(() => interpolateKnee([], 90)).toThrow(/level must be in \(0, 1\), got 90/);
    const twice = [
      { keep: 0.5, share: 1 },
      { keep: 0.5, share: 0.9 },
    ];
    expect(() => interpolateKnee(twice)).toThrow(/keep 0.5 is given twice/);
  });
});

describe("curve", () => {
  const list = [
    rowOf({ source: "a", task: "x", value: 60 }),
    rowOf({ source: "a", task: "y", value: 80 }),
    rowOf({ source: "b", task: "x", value: 50 }),
    rowOf({ source: "", score: "dense", task: "x", keep: 1, value: 80 }),
    rowOf({ source: "", score: "dense", task: "y", keep: 1, value: 100 }),
  ];

  test("averages the tasks of a run first: spread is between runs, not between tasks", () => {
    expect(replicates(list).map((r) => [r.source, r.value, r.tasks])).toEqual([
      ["a", 70, 2],
      ["b", 50, 1],
    ]);
    expect(curve(list)).toEqual([
      expect.objectContaining({
        taskKind: "transfer",
        score: "magnitude",
        rounds: 1,
        keep: 0.5,
        mean: 60,
        sd: Math.sqrt(200),
        n: 2,
      }),
    ]);
  });

  test("relative divides every task by its own dense accuracy", () => {
    // a: (60/80 + 80/100) / 2 = 0.775, b: 50/80
    expect(replicates(list, { relative: true }).map((r) => r.value)).toEqual([0.775, 0.625]);
    expect(() => replicates(list.slice(0, 3), { relative: true })).toThrow(
      /no dense row \(keep 1, metric 'accuracy'\) for task 'x', seed 0/,
    );
  });

  test("dense rows are looked up by task and seed, not by source; several are averaged", () => {
    const dense = denseAccuracy([...list, rowOf({ source: "b", task: "x", keep: 1, value: 90 })]);
    expect(dense(list[0]!)).toBe(85);
    expect(() => dense(rowOf({ task: "x", seed: 1 }))).toThrow(/seed 1/);
  });

  test("refuses to pass mixed models or variants for spread, and an unknown metric", () => {
    expect(() => curve([...list, rowOf({ variant: "lr=3" })])).toThrow(/rows mix variant: '', 'lr=3'; filter first/);
    expect(() => curve([...list, rowOf({ model: "big" })])).toThrow(/rows mix model/);
    expect(() => curve(list, { metric: "loss" })).toThrow(/no pruned row has the metric 'loss', only accuracy/);
  });

  test("knees: one a run", () => {
    const one = (keep: number, value: number) => rowOf({ source: "a", task: "x", keep, value });
    const found = knees([...list.slice(3), one(0.64, 80), one(0.16, 64)]);
    expect(found).toHaveLength(1);
    expect(found[0]!.knee).toBeCloseTo(0.32, 12);
  });
});
