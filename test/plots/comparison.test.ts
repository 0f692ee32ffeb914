import { plots, rows as tidy } from "secateur";
import { describe, expect, test } from "vitest";
import { comparisonRows, kneeTrends } from "./made-up";

type Json = Record<string, unknown>;
const texts = (figure: { layout: unknown }): string =>
  ((figure.layout as Json).annotations as Json[]).map((a) => a.text).join("\n");

describe("kneeForest", () => {
  const knees = tidy.kneeIntervals(comparisonRows());
  const figure = plots.kneeForest(knees);

  test("a mark for each series of each backbone, at its mean; series that were not run are named", () => {
    const shown = knees.filter(({ taskKind }) => taskKind === "transfer");
    expect(figure.data).toHaveLength(shown.length);
    const means = (figure.data as { x: number[] }[]).map(({ x }) => x[0]!).sort();
    expect(means).toEqual(shown.map(({ mean }) => Number(mean.toPrecision(6))).sort());
    // two schedules of blockQuadratic on the third backbone
    expect(texts(figure).match(/not run/g)).toHaveLength(2);
  });

  test("censored runs: a triangle and no bar", () => {
    const censored = knees.filter((k) => k.taskKind === "transfer" && k.censored > 0);
    expect(censored.length).toBeGreaterThan(0);
    const marks = figure.data as { marker: Json; error_x?: unknown; x: number[] }[];
    const triangles = marks.filter(({ marker }) => String(marker.symbol).startsWith("triangle-right"));
    expect(triangles).toHaveLength(censored.length);
    for (const { error_x } of triangles) expect(error_x).toBeUndefined();
  });

  test("refuses a kind without knees", () => {
    expect(() => plots.kneeForest([], { taskKind: "far" })).toThrow(/no knee of kind 'far'/);
  });
});

describe("rankTable", () => {
  const cell = { backbone: "a net", score: "magnitude", rounds: 1, place: 1, mean: 61.23, n: 6 };

  test("the best group is the darkest; what was not run is empty", () => {
    const [{ z, text }] = plots.rankTable([
      cell,
      { ...cell, score: "random", place: 3, mean: 10 },
      { ...cell, backbone: "another", place: 2, mean: 55 },
    ]).data as [{ z: (number | null)[][]; text: string[][] }];
    expect(z).toEqual([
      [2, 1],
      [0, null],
    ]);
    expect(text).toEqual([
      ["<b>1</b>  61.2", "<b>2</b>  55.0"],
      ["<b>3</b>  10.0", ""],
    ]);
  });

  test("refuses no cell, a cell twice and a place that is none", () => {
    expect(() => plots.rankTable([])).toThrow(/must not be empty/);
    expect(() => plots.rankTable([cell, cell])).toThrow(/2 cells for magnitude, one shot, on a net/);
    expect(() => plots.rankTable([{ ...cell, place: 0 }])).toThrow(/place must be 1, 2, 3 ..., got 0/);
  });
});

describe("widthTrend", () => {
  test("dashed beyond the points and labelled as an extrapolation, its interval cut at the axis", () => {
    const figure = plots.widthTrend(kneeTrends());
    expect(texts(figure)).toMatch(/extrapolation: not measured/);
    const lines = (figure.data as { mode: string; line: Json; x: number[] }[]).filter(({ mode }) => mode === "lines");
    for (const { line, x } of lines) expect(line.dash === "dash").toBe(x[1]! > 5e6);
    expect(lines.filter(({ line }) => line.dash === "dash")).toHaveLength(2);
    const ends = (figure.data as { error_y?: { symmetric?: boolean; arrayminus: number[] }; y: number[] }[]).filter(
      ({ error_y }) => error_y?.symmetric === false,
    );
    for (const { error_y, y } of ends) expect(y[0]! - error_y!.arrayminus[0]!).toBeCloseTo(0.005, 6);
  });

  test("without a line: points alone, nothing extrapolated", () => {
    const bare = kneeTrends().map(({ score, rounds, points }) => ({ score, rounds, points }));
    const figure = plots.widthTrend(bare);
    expect(figure.data).toHaveLength(2);
    expect(texts(figure)).not.toMatch(/not measured/);
    expect(() => plots.widthTrend([])).toThrow(/at least one point/);
  });
});
