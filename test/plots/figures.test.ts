import { readdirSync } from "node:fs";
import { notebook, plots } from "secateur";
import { describe, expect, test } from "vitest";
import { figures } from "./figures";
import { ablationRows, grid, layers, lossRows, p1Rows, p2Rows, partRows } from "./made-up";

type Json = Record<string, unknown>;

const cases = Object.entries(figures);

describe("every figure", () => {
  test.each(cases)("%s equals its stored JSON", async (name, make) => {
    // a picture's bytes depend on the zlib of Node; what they decode to is tested with encodePng
    const json = JSON.stringify(make(), null, 1).replace(/(data:image\/png;base64),[\w+/=]+/g, "$1");
    await expect(`${json}\n`).toMatchFileSnapshot(`fixtures/${name}.json`);
  });

  test("no stored figure without a test", () => {
    const stored = readdirSync(new URL("fixtures", import.meta.url)).sort();
    expect(stored).toEqual(cases.map(([name]) => `${name}.json`).sort());
  });

  test.each(cases)("%s is plain JSON with 6 significant digits, without NaN", (_name, make) => {
    const figure = make();
    expect(JSON.parse(JSON.stringify(figure))).toEqual(figure);
    for (const value of numbersOf(figure)) expect(Number(value.toPrecision(6))).toBe(value);
  });

  test.each(cases.filter(([name]) => name !== "contact-sheet"))(
    "%s has a title on every axis, or shares one",
    (_name, make) => {
      const layout = make().layout as Record<string, Json>;
      const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
      expect(axes.length).toBeGreaterThanOrEqual(2);
      const titled = (key: string): boolean => Boolean((layout[key]?.title as Json | undefined)?.text);
      for (const letter of ["x", "y"])
        expect(axes.filter((key) => key.startsWith(letter)).some(titled), `${letter} title`).toBe(true);
      for (const key of axes) {
        const shared = layout[key]!.matches !== undefined || axes.some((other) => layout[other]!.matches === key[0]);
        expect(titled(key) || shared, `${key} has no title and shares none`).toBe(true);
      }
    },
  );

  test.each(cases)("%s names what it counts under the plot", (name, make) => {
    const texts = ((make().layout as Json).annotations as Json[]).map((a) => String(a.text));
    if (!["contact-sheet", "learning-curve", "rank-agreement", "layer-keep", "layer-keep-several"].includes(name))
      expect(texts.join(" ")).toMatch(/n = [\d,]+/);
    else expect(texts.at(-1)).not.toBe("");
  });

  test.each(cases)("%s stays below 60 kB of JSON", (_name, make) => {
    expect(JSON.stringify(make()).length).toBeLessThan(60_000);
  });
});

describe("sparsityCurve", () => {
  const traces = (options = {}): Json[] => plots.sparsityCurve(p1Rows(), options).data as Json[];

  test("keeps the colour of a score whatever else is drawn", () => {
    const colours = (rows: ReturnType<typeof p1Rows>): Record<string, unknown> =>
      Object.fromEntries(
        (plots.sparsityCurve(rows).data as Json[])
          .filter((t) => t.name)
          .map((t) => [String(t.name).split(",")[0], (t.line as Json).color]),
      );
    const all = colours(p1Rows());
    const few = colours(p1Rows().filter((row) => row.score !== "magnitude" && row.score !== "random"));
    for (const [name, colour] of Object.entries(few)) expect(colour).toBe(all[name]);
    expect(new Set(Object.values(all)).size).toBe(5);
  });

  test("draws the mean over runs, each averaged over its tasks", () => {
    const rows = p1Rows().filter(
      (row) => row.taskKind === "transfer" && row.score === "magnitude" && row.keep === grid[2],
    );
    const runs = ["latin", "hebrew", "hangul"].map((source) => {
      const own = rows.filter((row) => row.source === source).map((row) => row.value);
      return own.reduce((a, b) => a + b, 0) / own.length;
    });
    const line = traces({ taskKinds: ["transfer"] }).find((t) => String(t.name).startsWith("magnitude"))!;
    expect((line.y as number[])[2]).toBeCloseTo((runs[0]! + runs[1]! + runs[2]!) / 3, 3);
  });

  test("has a legend entry for each line once, and a panel for each kind", () => {
    const shown = traces().filter((t) => t.mode === "lines+markers");
    const names = shown.filter((t) => t.showlegend).map((t) => t.name);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(shown.map((t) => t.xaxis))).toEqual(new Set(["x", "x2", "x3", "x4"]));
  });

  test("has no band for a single run, and none but finite numbers", () => {
    const one = p1Rows().filter((row) => row.keep === 1 || row.source === "latin");
    const figure = plots.sparsityCurve(one);
    expect((figure.data as Json[]).some((t) => t.fill === "toself")).toBe(false);
    expect(JSON.stringify(figure.data)).not.toContain("null");
  });

  test("refuses a kind without rows and rows of several models", () => {
    const rows = p1Rows();
    expect(() =>
      plots.sparsityCurve(
        rows.filter((row) => row.taskKind !== "far"),
        { taskKinds: ["far"] },
      ),
    ).toThrow(/no row of kind 'far', only source, transfer, unseen/);
    expect(() => plots.sparsityCurve([...rows, { ...rows.at(-1)!, model: "other" }])).toThrow(
      /rows mix model: 'tiny', 'other'/,
    );
    expect(() => plots.sparsityCurve(rows, { metric: "speed" })).toThrow(/no pruned row has the metric 'speed'/);
  });
});

describe("other figures", () => {
  test("taskMatrix asks for one score and one keep ratio", () => {
    expect(() => plots.taskMatrix(p1Rows())).toThrow(/several values of score \(magnitude, diagonal-exact/);
    expect(() => plots.taskMatrix([])).toThrow(/no pruned row has the metric 'accuracy'/);
  });

  test("taskMatrix puts sources first, then other tasks of pre-training, unseen, far", () => {
    const rows = p1Rows().filter((row) => row.score === "magnitude" && row.keep === grid[1]);
    const [trace] = plots.taskMatrix(rows).data as Json[];
    expect(trace!.y).toEqual(["latin", "hebrew", "hangul"]);
    expect(trace!.x).toEqual(["latin", "hebrew", "hangul", "greek", "arabic", "han", "digits", "malayalam", "fashion"]);
  });

  test("taskBars puts tasks of pre-training first and asks for one value a bar", () => {
    const dense = p1Rows().filter((row) => row.keep === 1);
    const figure = plots.taskBars([...dense].reverse());
    const [bars] = figure.data as Json[];
    expect(bars!.x).toEqual([
      ...dense
        .map((row) => row.task)
        .slice(0, 6)
        .reverse(),
      "malayalam",
      "digits",
      "fashion",
    ]);
    expect((figure.data as Json[]).length).toBe(1);
    const mean = dense.slice(0, 6).reduce((sum, row) => sum + row.value, 0) / 6;
    const texts = ((figure.layout as Json).annotations as Json[]).map((a) => a.text);
    expect(texts[0]).toBe(`<b>pre-training</b><br>mean ${mean.toFixed(1)}`);
    const bare = JSON.stringify(plots.taskBars(dense, { means: false, by: "score" }).layout);
    expect(bare).not.toMatch(/mean/);
    expect(() => plots.taskBars([...dense, dense[0]!])).toThrow(/2 rows for task 'latin' and seed '0'; filter first/);
    expect(() => plots.taskBars(dense, { metric: "speed" })).toThrow(/no row has the metric 'speed'/);
  });

  test("beforeAfter writes the lift of each line and the dense control", () => {
    const texts = (plots.beforeAfter(p2Rows()).data as Json[])
      .filter((t) => t.mode === "text")
      .flatMap((t) => t.text as string[]);
    expect(texts.length).toBe(3 * 17);
    for (const text of texts) expect(text).toMatch(/^[+−]\d+\.\d ± \d+\.\d$/);
  });

  test("beforeAfter names the run whose partner is missing", () => {
    const rows = p2Rows().filter(
      (row) => !(row.metric === "accuracy" && row.score === "magnitude" && row.task === "han"),
    );
    expect(() => plots.beforeAfter(rows)).toThrow(
      /no 'accuracy' row for magnitude, 1 round\(s\), keep 0\.26.*task 'han'/,
    );
  });

  test("predictedVsMeasured counts the points that a logarithmic axis cannot show", () => {
    const figure = plots.predictedVsMeasured(lossRows(), {
      predicted: { lossPredictedQuadratic: "quadratic" },
      measured: "lossChange",
    });
    expect(JSON.stringify(figure.layout)).toContain("n = 72; grey line");
    expect(JSON.stringify(figure.layout)).toContain("Not shown: 3 point(s)");
    expect(() => plots.predictedVsMeasured([], { predicted: { a: "A" }, measured: "b" })).toThrow(
      /no mask has a positive 'b' and one of a/,
    );
  });

  test("oneShotVsRounds takes the scores that have both", () => {
    const titles = ((plots.oneShotVsRounds(p1Rows()).layout as Json).annotations as Json[]).map((a) => a.text);
    expect(titles).toEqual(expect.arrayContaining(["<b>diagonal-exact</b>", "<b>blockObs-32</b>"]));
    expect(titles).not.toContain("<b>magnitude</b>");
    expect(() => plots.oneShotVsRounds(p1Rows().filter((row) => row.rounds === 1))).toThrow(
      /no score has rows of kind 'transfer' both/,
    );
  });

  test("layerKeep refuses reports of different layers", () => {
    const b = layers();
    expect(() => plots.layerKeep({ a: layers(), b: { ...b, layers: b.layers.slice(1) } })).toThrow(
      /'b' reports other layers than 'a'/,
    );
  });

  test("histogram counts every finite value once", () => {
    const [bars] = plots.histogram([1, 2, 2, 3, Number.NaN, 3, 3], { x: "value (none)", bins: 3 }).data as Json[];
    expect(bars!.y).toEqual([1, 2, 3]);
    expect(() => plots.histogram([0, -1], { x: "value (none)", log: true })).toThrow(/no value can be shown/);
    expect((plots.histogram(new Float32Array([5, 5]), { x: "v", bins: 2 }).data as Json[])[0]!.y).toEqual([0, 2]);
  });

  test("tile places pictures row by row with a white gap", () => {
    const sheet = plots.tile([new Uint8Array([1]), new Uint8Array([2]), new Uint8Array([3])], {
      width: 1,
      height: 1,
      columns: 2,
      gap: 1,
    });
    expect(sheet).toEqual({ pixels: new Uint8Array([1, 255, 2, 255, 255, 255, 3, 255, 255]), width: 3, height: 3 });
    expect(() => plots.tile([new Uint8Array(3)], { width: 1, height: 1, columns: 1 })).toThrow(
      /picture 0 must have 1 \* 1 bytes, got 3/,
    );
  });

  test("names of scores and tasks cannot smuggle markup into a figure", () => {
    const rows = p1Rows().map((row) => (row.score === "magnitude" ? { ...row, score: "<b>magnitude" } : row));
    expect(JSON.stringify(plots.sparsityCurve(rows))).not.toContain("<b>magnitude");
  });

  test("two figures drawn as PNG are the same bytes each time, in either order", async () => {
    const make = ["task-matrix", "learning-curve"].map((name) => figures[name]!());
    const first = [await notebook.figureToPng(make[0]!), await notebook.figureToPng(make[1]!)];
    const again = [await notebook.figureToPng(make[1]!), await notebook.figureToPng(make[0]!)].reverse();
    for (const [i, png] of first.entries()) {
      expect(png.equals(again[i]!)).toBe(true);
      expect(png.length).toBeGreaterThan(10_000);
      expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([760, (make[i]!.layout as Json).height]);
    }
  });
});

function numbersOf(value: unknown): number[] {
  if (typeof value === "number") return [value];
  return value !== null && typeof value === "object" ? Object.values(value).flatMap(numbersOf) : [];
}

describe("lossParts", () => {
  test("parts of a bar add up to 100 % of the measured change", () => {
    const data = plots.lossParts(partRows(), { taskKinds: ["transfer"] }).data as { y: number[]; xaxis: string }[];
    for (const panel of ["x", "x2"]) {
      const bars = data.filter(({ xaxis }) => xaxis === panel);
      expect(bars).toHaveLength(5);
      for (let i = 0; i < 4; i++) expect(bars.reduce((sum, { y }) => sum + y[i]!, 0)).toBeCloseTo(100, 3);
    }
  });

  test("refuses rows without the parts", () => {
    expect(() => plots.lossParts(partRows(), { taskKinds: ["far"] })).toThrow(/no pruned row 'lossChange' for far/);
  });
});

describe("layerCoupling", () => {
  test("cells are percent of the whole form", () => {
    const [{ z }] = plots.layerCoupling(
      ["a", "b"],
      [
        [6, 1],
        [1, 2],
      ],
    ).data as [{ z: number[][] }];
    expect(z).toEqual([
      [60, 10],
      [10, 20],
    ]);
  });

  test("refuses a matrix of another size, and a step that moves nothing", () => {
    expect(() => plots.layerCoupling(["a", "b"], [[1, 2]])).toThrow(/coupling must be 2 x 2, got rows of 2/);
    expect(() => plots.layerCoupling(["a"], [[0]])).toThrow(/moves nothing/);
  });
});

describe("ablationBars", () => {
  test("a bar is the mean over runs of the mean over tasks; the order of variants and keep ratios is kept", () => {
    const figure = plots.ablationBars(ablationRows());
    const bars = figure.data as { name: string; x: string[]; y: number[]; xaxis: string }[];
    expect(bars.map(({ name, xaxis }) => [name, xaxis])).toEqual([
      ["magnitude, one shot", "x"],
      ["diagonal-exact,<br>9 rounds", "x"],
      ["magnitude, one shot", "x2"],
      ["diagonal-exact,<br>9 rounds", "x2"],
    ]);
    expect(bars[0]!.x).toEqual(["as is", "shuffled", "layerwise"]);
    const own = ablationRows().filter(
      ({ score, keep, variant, taskKind }) =>
        score === "magnitude" && keep === grid[3] && variant === "" && taskKind === "transfer",
    );
    const runs = ["latin", "hebrew", "hangul"].map((source) => {
      const values = own.filter((row) => row.source === source).map(({ value }) => value);
      return values.reduce((a, b) => a + b, 0) / values.length;
    });
    expect(bars[2]!.y[0]).toBeCloseTo(runs.reduce((a, b) => a + b, 0) / runs.length, 3);
  });

  test("refuses rows without a pruned one, or without the dense reference", () => {
    const dense = ablationRows().filter(({ keep }) => keep === 1);
    expect(() => plots.ablationBars(dense)).toThrow(/no pruned row of kind 'transfer' has the metric 'accuracy'/);
    const pruned = ablationRows().filter(({ keep }) => keep < 1);
    expect(() => plots.ablationBars(pruned)).toThrow(/no dense row of kind 'transfer'/);
  });
});

test("learningCurve: lines beyond the palette are told apart by dashes and marks", () => {
  const series = Array.from({ length: 9 }, (_, i) => `run ${i}`);
  const points = series.flatMap((name) =>
    [1, 2].map((step) => ({ step, value: step, series: name, quantity: "loss" })),
  );
  const styles = plots.learningCurve(points).data.map(({ line, marker }) => JSON.stringify([line, marker]));
  expect(new Set(styles).size).toBe(9);
});

test("maskOverlap refuses an empty list and what is no share", () => {
  expect(() => plots.maskOverlap([])).toThrow(/overlaps must not be empty/);
  const one = { differsIn: "draw", intersectionOverUnion: 1.2, byChance: 0.2 };
  expect(() => plots.maskOverlap([one])).toThrow(/must be in \[0, 1\], got 1\.2 .*draw/);
});
