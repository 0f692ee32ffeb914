import { type Row, rows } from "secateur";
import { describe, expect, test } from "vitest";
import { rowOf } from "./rows-of";

const { fitLine, kendall, kneeIntervals, noiseFloor, pooledSd, predictLine, rankSeries, tQuantile } = rows;

describe("pooledSd", () => {
  test("[1 3] and [10 14 12]: sqrt((2 + 8) / 3), each group around its own mean", () => {
    expect(
      pooledSd([
        [1, 3],
        [10, 14, 12],
      ]),
    ).toEqual({ sd: Math.sqrt(10 / 3), df: 3 });
  });

  test("groups of one say nothing", () => {
    expect(pooledSd([[5], [], [9]])).toEqual({ sd: Number.NaN, df: 0 });
    expect(pooledSd([[5], [1, 3]])).toEqual({ sd: Math.sqrt(2), df: 1 });
  });
});

/** value = 10 source + 100 seed + draw's offset, which alternates in sign */
const crossed = ["a", "b"].flatMap((source, s) =>
  [0, 1].flatMap((seed) =>
    [0, 1].map((draw) => rowOf({ source, seed, draw, value: 50 + 3 * s + 8 * seed + (draw === s ? 1 : 0) })),
  ),
);

describe("noiseFloor", () => {
  test("changes one factor at a time, tasks of a run averaged first", () => {
    const twoTasks = crossed.flatMap((row) => [row, { ...row, task: "thai", value: row.value + 20 }]);
    const [floor] = noiseFloor(twoTasks);
    expect(floor).toMatchObject({ model: "tiny", pretraining: "supervised", score: "magnitude", keep: 0.5, n: 8 });
    // draws differ by 1 in each of four pairs; sources by 2 and 4, two pairs each; seeds by 8
    expect(floor!.sdDraw).toBeCloseTo(Math.sqrt(0.5), 12);
    expect(floor!.sdSource).toBeCloseTo(Math.sqrt((2 * 2 + 2 * 8) / 4), 12);
    expect(floor!.sdSeed).toBeCloseTo(Math.sqrt(32), 12);
    expect([floor!.dfDraw, floor!.dfSource, floor!.dfSeed]).toEqual([4, 4, 4]);
    expect(floor!.mean).toBeCloseTo(66, 12);
  });

  test("a factor of one level is NaN; backbones are never pooled", () => {
    const other = crossed.map((row) => ({ ...row, pretraining: "moco", value: 2 * row.value }));
    const floors = noiseFloor([...crossed, ...other].filter((row) => row.draw === 0));
    expect(floors.map((f) => [f.pretraining, f.sdDraw, f.dfDraw, f.n])).toEqual([
      ["supervised", Number.NaN, 0, 4],
      ["moco", Number.NaN, 0, 4],
    ]);
    expect(floors[1]!.sdSeed).toBeCloseTo(2 * floors[0]!.sdSeed, 12);
  });
});

const dense = rowOf({ score: "dense", keep: 1, value: 100 });
/** A curve that is straight in ln(keep) and falls to 0.9 at the knee, measured at two keep ratios. */
const falling = (source: string, knee: number, part: Partial<Row> = {}): Row[] =>
  [0.8, 0.1].map((keep) => rowOf({ source, keep, value: 90 + 10 * Math.log(keep / knee), ...part }));

describe("kneeIntervals", () => {
  test("mean and Student-t interval over runs", () => {
    const [k] = kneeIntervals([dense, ...falling("a", 0.2), ...falling("b", 0.3), ...falling("c", 0.4)]);
    expect(k).toMatchObject({ score: "magnitude", taskKind: "transfer", n: 3, censored: 0, smallestKeep: 0.1 });
    expect(k!.mean).toBeCloseTo(0.3, 12);
    expect(k!.median).toBeCloseTo(0.3, 12);
    expect(k!.sd).toBeCloseTo(0.1, 12);
    expect(k!.high - k!.mean).toBeCloseTo((tQuantile(0.975, 2) * 0.1) / Math.sqrt(3), 12);
    expect(k!.mean - k!.low).toBeCloseTo(k!.high - k!.mean, 12);
  });

  test("a run below the smallest keep ratio is counted: the mean is a bound without an interval", () => {
    const censored = [dense, ...falling("a", 0.2), ...falling("b", 0.01), ...falling("c", 0.4)];
    const [k] = kneeIntervals(censored);
    expect(k).toMatchObject({ n: 3, censored: 1, sd: Number.NaN, low: -Infinity, high: Infinity });
    expect(k!.mean).toBeCloseTo((0.2 + 0.1 + 0.4) / 3, 12);
    expect(k!.median).toBeCloseTo(0.2, 12);
    const [most] = kneeIntervals([...censored, ...falling("d", 0.02)]);
    expect(most).toMatchObject({ n: 4, censored: 2, median: null });
    expect(kneeIntervals([dense, ...falling("a", 0.01)])[0]).toMatchObject({
      mean: 0.1,
      n: 1,
      censored: 1,
      median: null,
    });
  });

  test("one run has no interval; backbones stay apart", () => {
    const moco = { pretraining: "moco" };
    const both = kneeIntervals([dense, ...falling("a", 0.2), { ...dense, ...moco }, ...falling("a", 0.5, moco)]);
    expect(both.map((k) => [k.pretraining, Number(k.mean.toFixed(9)), k.low])).toEqual([
      ["supervised", 0.2, -Infinity],
      ["moco", 0.5, -Infinity],
    ]);
  });
});

describe("rankSeries", () => {
  const sources = ["a", "b", "c", "d"];
  const series = (score: string, values: readonly number[], more: Partial<Row> = {}): Row[] =>
    values.map((value, i) => rowOf({ score, source: sources[i]!, value, keep: 0.167, ...more }));

  test("groups of equals, best first, by the interval of paired differences", () => {
    const ranked = rankSeries(
      [
        ...series("worst", [10, 11, 12, 13]),
        ...series("best", [70, 60, 50, 40]),
        ...series("equal", [71, 58, 51, 39]), // -1, 2, -1, 1: the interval holds 0
        ...series("next", [65, 55.1, 45, 34.9]), // paired differences near 5 although runs spread by 13
      ],
      { at: 0.1678 },
    );
    expect(ranked.map((r) => [r.score, r.place, r.tiedBy])).toEqual([
      ["best", 1, "leads"],
      ["equal", 1, "interval"],
      ["next", 2, "leads"],
      ["worst", 3, "leads"],
    ]);
    expect(ranked[1]).toMatchObject({ behind: 0.25, pairs: 4, n: 4, floor: 0 });
    expect(ranked[1]!.low).toBeLessThan(0);
  });

  test("a certain difference below the noise floor of draws is a tie all the same", () => {
    const drawn = (score: string, shift: number): Row[] => [
      ...series(
        score,
        [50, 60, 70, 80].map((x) => x + shift),
      ),
      ...series(
        score,
        [54, 64, 74, 84].map((x) => x + shift),
        { draw: 1 },
      ),
    ];
    // draws differ by 4: sd sqrt(8); of a difference: 4
    const ranked = rankSeries([...drawn("high", 0), ...drawn("near", -3.9), ...drawn("far", -4.1)], { at: 0.1678 });
    expect(ranked.map((r) => [r.score, r.place, r.tiedBy])).toEqual([
      ["high", 1, "leads"],
      ["near", 1, "floor"],
      ["far", 2, "leads"],
    ]);
    expect(ranked[1]!.floor).toBeCloseTo(4, 12);
    expect(ranked[1]!.low).toBeCloseTo(3.9, 9);
  });

  test("ties are with the leader, not with one another", () => {
    const noisy = [0, 4, -4, 1];
    const ranked = rankSeries(
      [
        ...series("top", [60, 60, 60, 60]),
        ...series(
          "one",
          noisy.map((x) => 58 + x),
        ),
        ...series(
          "two",
          noisy.map((x) => 57.5 + x),
        ), // always 0.5 under "one", still an equal of the leader
      ],
      { at: 0.1678 },
    );
    expect(ranked.map((r) => r.place)).toEqual([1, 1, 1]);
  });

  test("fewer than two common runs cannot be told apart", () => {
    const ranked = rankSeries([...series("a", [90, 90]), ...series("b", [10])], { at: 0.167 });
    expect(ranked[1]).toMatchObject({ place: 1, pairs: 1, behind: 80, tiedBy: "interval" });
    const apart = rankSeries([...series("a", [90]), ...series("b", [10], { seed: 1 })], { at: 0.167 });
    expect(apart[1]).toMatchObject({ place: 1, pairs: 0, behind: Number.NaN });
  });

  test("by knee the smallest is best, and two below the smallest keep ratio are equals", () => {
    const of = (score: string, knees: readonly number[]): Row[] =>
      knees.flatMap((knee, i) => falling(sources[i]!, knee, { score }));
    const ranked = rankSeries(
      [dense, ...of("late", [0.3, 0.31, 0.29]), ...of("tiny", [0.02, 0.02, 0.02]), ...of("small", [0.05, 0.04, 0.05])],
      { at: "knee" },
    );
    expect(ranked.map((r) => [r.score, r.place, Number(r.mean.toFixed(9))])).toEqual([
      ["tiny", 1, 0.1],
      ["small", 1, 0.1],
      ["late", 2, 0.3],
    ]);
  });

  test("refuses mixed backbones and a keep ratio that was not run", () => {
    const list = series("a", [1, 2]);
    expect(() => rankSeries([...list, ...series("a", [1], { model: "big" })], { at: 0.167 })).toThrow(/rows mix model/);
    expect(() => rankSeries(list, { at: 0.5 })).toThrow(/no run of kind 'transfer' at keep ratio 0.5/);
    expect(() => rankSeries(list, { at: 2 })).toThrow(/at must be "knee" or a keep ratio in \(0, 1\), got 2/);
  });
});

describe("kendall", () => {
  test("1 for the same order, -1 reversed, ties count for neither", () => {
    expect(kendall([1, 2, 3], [10, 30, 90])).toBe(1);
    expect(kendall([1, 2, 3], [3, 2, 1])).toBe(-1);
    expect(kendall([1, 2, 3, 4], [1, 2, 4, 3])).toBeCloseTo(4 / 6, 12);
    expect(kendall([1, 1, 2], [1, 2, 3])).toBeCloseTo(2 / 3, 12);
    expect(() => kendall([1], [1])).toThrow(/at least 2, got 1 and 1/);
    expect(() => kendall([1, Number.NaN], [1, 2])).toThrow(/finite, got NaN/);
  });
});

describe("fitLine", () => {
  test("worked by hand: (0 1) (1 3) (2 2) has slope 1/2, intercept 3/2, residual sd sqrt(3/2)", () => {
    const line = fitLine([
      { x: 0, y: 1 },
      { x: 1, y: 3 },
      { x: 2, y: 2 },
    ]);
    expect(line.slope).toBeCloseTo(0.5, 12);
    expect(line.intercept).toBeCloseTo(1.5, 12);
    expect(line.sd).toBeCloseTo(Math.sqrt(1.5), 12);
    const at = predictLine(line, 4);
    expect(at.mean).toBeCloseTo(3.5, 12);
    // sqrt(1 + 1/3 + 9/2)
    expect(at.high - at.mean).toBeCloseTo(tQuantile(0.975, 1) * Math.sqrt(1.5) * Math.sqrt(35 / 6), 9);
  });

  test("two points leave nothing to judge the scatter by; one size is no line", () => {
    const line = fitLine([
      { x: 0, y: 1 },
      { x: 2, y: 5 },
    ]);
    expect(predictLine(line, 3)).toEqual({ mean: 7, low: -Infinity, high: Infinity });
    expect(() =>
      fitLine([
        { x: 1, y: 1 },
        { x: 1, y: 2 },
      ]),
    ).toThrow(/two different x, got 2 point/);
    expect(() => fitLine([{ x: 1, y: Number.NaN }])).toThrow(/finite, got \(1, NaN\)/);
    expect(() => predictLine(line, Number.NaN)).toThrow(/x must be finite/);
  });
});
