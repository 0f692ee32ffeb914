import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { notebook } from "secateur";
import { afterEach, describe, expect, test, vi } from "vitest";
import { inKernel } from "./in-kernel";

const require = createRequire(import.meta.url);

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe("the kernel", () => {
  test("tslab still exports the variable that rich outputs go through", () => {
    const kernel = require("tslab/dist/jupyter.js") as Record<string, unknown>;
    expect(Object.keys(kernel)).toContain("lastWriteDisplayData");
    const source = readFileSync(require.resolve("tslab/dist/jupyter.js"), "utf8");
    expect(source).toContain("exports.lastWriteDisplayData = writeDisplayData");
  });

  test("outside it the plain text is printed", () => {
    const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    notebook.markdown("*hello*");
    expect(write.mock.calls).toEqual([["*hello*\n"]]);
  });

  test("inside it one message holds all forms", async () => {
    const sent = await inKernel(() => notebook.markdown("mean **2**"));
    expect(sent).toEqual([
      {
        data: { "text/markdown": "mean **2**", "text/plain": "mean **2**" },
        metadata: {},
        transient: {},
        update: false,
      },
    ]);
  });
});

describe("table", () => {
  const html = (data: readonly object[], options = {}): string => notebook.renderTable(data, options)["text/html"];
  const text = (data: readonly object[], options = {}): string => notebook.renderTable(data, options)["text/plain"];

  test("escapes cells, headings and the caption", () => {
    const out = html([{ "<k>": '<img src="x" onerror="y">' }], { caption: "a & <b>" });
    expect(out).not.toMatch(/<img|<k>|<b>/);
    expect(out).toContain("&lt;img src=&quot;x&quot; onerror=&quot;y&quot;&gt;");
    expect(out).toContain("<caption>a &amp; &lt;b&gt;</caption>");
  });

  test("numbers stand to the right with 4 significant digits, missing values are blank", () => {
    const list = [
      { name: "a", x: 1.23456, n: 100000 },
      { name: "bb", x: Number.NaN },
      { x: null, name: "c", n: 7 },
    ];
    expect(text(list)).toBe(["name      x       n", "a     1.235  100000", "bb", "c                 7"].join("\n"));
    expect(html(list)).toContain('<td style="text-align:right">1.235</td>');
    expect(html(list)).toContain('<td style="text-align:left">bb</td>');
  });

  test("columns are the union of all rows, can be chosen, ordered and renamed", () => {
    const list = [{ a: 1 }, { b: 2 }];
    expect(text(list)).toBe("a  b\n1\n   2");
    expect(text(list, { columns: ["b", "a"], headings: { b: "second" } })).toBe("second  a\n        1\n     2");
    expect(() => text(list, { columns: ["z"] })).toThrow(/table: no column 'z', only a, b/);
  });

  test("counts the rows that it does not show", () => {
    const list = Array.from({ length: 31 }, (_, i) => ({ i }));
    expect(text(list).split("\n")).toHaveLength(32);
    expect(text(list)).toMatch(/31 rows, the first 30 are shown$/);
    expect(() => text(list, { maxRows: 0 })).toThrow(/maxRows must be 1, 2, 3/);
  });

  test("refuses what is not a table", () => {
    expect(() => text([1 as unknown as object])).toThrow(/row 0 must be an object, got 1/);
    expect(() => notebook.renderTable("rows" as never)).toThrow(/array of objects or a danfo DataFrame/);
  });
});

describe("toFrame", () => {
  test("reads columns by name over all rows, with types of its own, and shows as a table", () => {
    const frame = notebook.toFrame([
      { k: "a", n: 1, x: 1, ok: true },
      { x: 28.5, n: 2, k: "b", ok: false },
      { k: "c", n: 3, ok: true },
    ]);
    expect(frame.columns).toEqual(["k", "n", "x", "ok"]);
    expect(frame.dtypes).toEqual(["string", "int32", "float32", "boolean"]);
    expect(frame.values).toEqual([
      ["a", 1, 1, true],
      ["b", 2, 28.5, false],
      ["c", 3, Number.NaN, true],
    ]);
    expect(notebook.renderTable(frame)["text/plain"]).toBe(
      "k  n     x  ok\na  1     1  true\nb  2  28.5  false\nc  3        true",
    );
  });

  test("whole numbers in the first 20 rows do not make a column of whole numbers", () => {
    const frame = notebook.toFrame(Array.from({ length: 30 }, (_, i) => ({ x: i < 25 ? i : i + 0.5 })));
    expect(frame.dtypes).toEqual(["float32"]);
    expect((frame.values as number[][])[29]).toEqual([29.5]);
  });

  test("groups and queries on it work", () => {
    const frame = notebook.toFrame([
      { task: "a", value: 1 },
      { task: "b", value: 5 },
      { task: "a", value: 2 },
    ]);
    const means = frame.groupby(["task"]).col(["value"]).mean();
    expect(means.values).toEqual([
      ["a", 1.5],
      ["b", 5],
    ]);
  });

  test("refuses mixed columns, other types, names that a frame has, no rows", () => {
    expect(() => notebook.toFrame([{ x: 1 }, { x: "1" }])).toThrow(
      /column 'x' must be all numbers, all strings or all booleans, got number and string/,
    );
    expect(() => notebook.toFrame([{ x: { deep: 1 } }])).toThrow(/column 'x' must be all numbers.*got object/);
    expect(() => notebook.toFrame([{ values: 1 }])).toThrow(/must not be named 'values'/);
    expect(() => notebook.toFrame([])).toThrow(/non-empty array/);
  });

  test("danfo is not loaded by importing the library", () => {
    const code =
      'require("secateur"); process.exit(Object.keys(require.cache).some((k) => k.includes("danfojs-node/dist")) ? 1 : 0)';
    const { status, stderr } = require("node:child_process").spawnSync(process.execPath, ["-e", code], {
      encoding: "utf8",
    });
    expect(status, stderr).toBe(0);
  });
});

describe("encodePng", () => {
  /** Pixels of an 8-bit PNG without filters. */
  function decode(png: Buffer): { width: number; height: number; type: number; pixels: number[] } {
    const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
    const at = png.indexOf("IDAT");
    const raw = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
    const stride = raw.length / height;
    const pixels = Array.from({ length: height }, (_, y) => [...raw.subarray(y * stride + 1, (y + 1) * stride)]).flat();
    return { width, height, type: png[25]!, pixels };
  }

  test("the pixels come out again", () => {
    expect(decode(notebook.encodePng(new Uint8Array([0, 50, 100, 150, 200, 250]), 3, 2))).toEqual({
      width: 3,
      height: 2,
      type: 0,
      pixels: [0, 50, 100, 150, 200, 250],
    });
    expect(decode(notebook.encodePng(new Uint8Array([1, 2, 3, 4]), 1, 1, 4))).toEqual({
      width: 1,
      height: 1,
      type: 6,
      pixels: [1, 2, 3, 4],
    });
  });

  test("an independent decoder agrees about the file", async () => {
    const { Resvg } = require("@resvg/resvg-js") as typeof import("@resvg/resvg-js");
    const png = notebook.encodePng(new Uint8Array([255, 0, 0, 0, 0, 255]), 2, 1, 3).toString("base64");
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="2" height="1"><image width="2" height="1" image-rendering="optimizeSpeed" href="data:image/png;base64,${png}"/></svg>`;
    expect([...new Resvg(svg).render().pixels]).toEqual([255, 0, 0, 255, 0, 0, 255, 255]);
  });

  test("refuses a wrong number of bytes and a wrong size", () => {
    expect(() => notebook.encodePng(new Uint8Array(5), 2, 3)).toThrow(/pixels must have 3 \* 2 \* 1 = 6 bytes, got 5/);
    expect(() => notebook.encodePng(new Uint8Array(0), 0, 3)).toThrow(
      /width must be a whole number in \[1, 32767\], got 0/,
    );
    expect(() => notebook.encodePng(new Uint8Array(2), 1, 1, 2 as 1)).toThrow(/channels must be 1, 3 or 4, got 2/);
  });

  test("image enlarges pixels to squares", async () => {
    const [sent] = await inKernel(() => notebook.image(new Uint8Array([9, 8]), 2, 1, { zoom: 2, alt: "two dots" }));
    expect(sent!.data["text/plain"]).toBe("[two dots]");
    const png = Buffer.from(sent!.data["image/png"] as string, "base64");
    expect(decode(png)).toEqual({ width: 4, height: 2, type: 0, pixels: [9, 9, 8, 8, 9, 9, 8, 8] });
  });
});

describe("plot", () => {
  const figure = {
    data: [{ type: "scatter", x: [1, 2, 3], y: [1 / 3, Number.NaN, 12345.678] }],
    layout: { title: { text: "<b>Lines</b>" } },
  };

  test("sends live figure, PNG and text; numbers have 6 digits and gaps are null", async () => {
    const [sent] = await inKernel(() => notebook.plot(figure));
    expect(sent!.data["application/vnd.plotly.v1+json"]).toEqual({
      data: [{ type: "scatter", x: [1, 2, 3], y: [0.333333, null, 12345.7] }],
      layout: { width: 700, height: 420, title: { text: "<b>Lines</b>" } },
    });
    const png = Buffer.from(sent!.data["image/png"] as string, "base64");
    expect([png.toString("latin1", 1, 4), png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual(["PNG", 700, 420]);
    expect(sent!.data["text/plain"]).toBe("[figure: Lines]");
    expect(sent!.metadata).toEqual({ "image/png": { width: 700, height: 420 } });
  });

  test("long numbers in text are not cut in the picture", async () => {
    const titled = (text: string) =>
      notebook.figureToPng(notebook.compactFigure({ data: [], layout: { title: { text } } }));
    expect((await titled("0.4096")).equals(await titled("0.40"))).toBe(false);
  });

  test("refuses traces that need WebGL or another bundle before drawing", async () => {
    for (const type of ["scattergl", "surface", "scatter3d", "sankey"])
      await expect(notebook.plot({ data: [{ type }], layout: {} })).rejects.toThrow(
        `trace type must be one of bar, box, contour, heatmap, histogram, histogram2d, histogram2dcontour, image, pie, scatter, violin, got '${type}'`,
      );
    await expect(notebook.plot({} as never)).rejects.toThrow(/figure must be \{ data/);
  });

  test.each(["bar", "box", "contour", "heatmap", "histogram", "histogram2d", "histogram2dcontour", "pie", "violin"])(
    "draws %s",
    async (type) => {
      const z = [
        [1, 2, 3],
        [3, 1, 2],
        [2, 3, 1],
      ];
      const trace =
        type === "pie"
          ? { values: [1, 2] }
          : /heatmap|contour$/.test(type) && !type.startsWith("hist")
            ? { z }
            : { x: [1, 2, 2, 3], y: [1, 3, 2, 2] };
      const png = await notebook.figureToPng(notebook.compactFigure({ data: [{ type, ...trace }], layout: {} }));
      const empty = await notebook.figureToPng(notebook.compactFigure({ data: [], layout: {} }));
      expect(png.equals(empty)).toBe(false);
      expect(png.length).toBeGreaterThan(2000);
    },
  );
});

describe("verdictTable", () => {
  const rows = [
    {
      claim: "Pruning on one task keeps transfer accuracy down to a keep ratio of a quarter",
      predicted: "> 90 % of dense",
      measured: { mean: 91.234, sd: 1.56, n: 6 },
      unit: "%",
      verdict: "supports" as const,
    },
    { claim: "<b>", predicted: "lift > 3", measured: { mean: -2, sd: Number.NaN, n: 1 }, verdict: "open" as const },
  ];

  test("shows a table and writes text and JSON where SECATEUR_RUN_DIR says", async () => {
    const folder = mkdtempSync(join(tmpdir(), "secateur-verdict-"));
    vi.stubEnv("SECATEUR_RUN_DIR", join(folder, "run"));
    const [sent] = await inKernel(() => notebook.verdictTable("03-p1", rows));
    expect(sent!.data["text/html"]).toContain('<td style="text-align:left">91.2 ± 1.56 %</td>');
    expect(sent!.data["text/html"]).not.toContain("<b>");
    expect(readFileSync(join(folder, "run/03-p1.verdict.txt"), "utf8")).toBe(
      [
        "claim                                        predicted        measured ± sd  n  verdict",
        "-".repeat(88),
        "Pruning on one task keeps transfer accuracy  > 90 % of dense  91.2 ± 1.56 %  6  supports",
        "down to a keep ratio of a quarter",
        "<b>                                          lift > 3         -2             1  open",
        "",
      ].join("\n"),
    );
    expect(JSON.parse(readFileSync(join(folder, "run/03-p1.verdict.json"), "utf8")).verdicts[0]).toEqual(rows[0]);
    expect(readdirSync(join(folder, "run")).sort()).toEqual(["03-p1.verdict.json", "03-p1.verdict.txt"]);
    rmSync(folder, { recursive: true });
  });

  test("writes nothing without SECATEUR_RUN_DIR", async () => {
    vi.stubEnv("SECATEUR_RUN_DIR", "");
    expect(await inKernel(() => notebook.verdictTable("x", rows))).toHaveLength(1);
  });

  test("refuses names that leave the folder, empty tables, numbers that are none, unknown verdicts", () => {
    expect(() => notebook.verdictTable("../x", rows)).toThrow(/name must be letters, digits, - and _, got '..\/x'/);
    expect(() => notebook.verdictTable("x", [])).toThrow(/non-empty/);
    expect(() => notebook.verdictTable("x", [{ ...rows[0]!, measured: { mean: Number.NaN, sd: 0, n: 1 } }])).toThrow(
      /measured.mean must be finite, got NaN for 'Pruning/,
    );
    expect(() => notebook.verdictTable("x", [{ ...rows[0]!, measured: { mean: 1, sd: 0, n: 0 } }])).toThrow(
      /measured.n must be/,
    );
    expect(() => notebook.verdictTable("x", [{ ...rows[0]!, verdict: "proves" as "open" }])).toThrow(
      /verdict must be supports, refutes, open, got 'proves'/,
    );
  });
});

describe("scale", () => {
  test("reads SECATEUR_SCALE, full by default, and refuses others", () => {
    vi.stubEnv("SECATEUR_SCALE", undefined);
    expect(notebook.scale()).toBe("full");
    vi.stubEnv("SECATEUR_SCALE", "quick");
    expect(notebook.scale()).toBe("quick");
    vi.stubEnv("SECATEUR_SCALE", "Quick");
    expect(() => notebook.scale()).toThrow(/SECATEUR_SCALE must be full or quick, got 'Quick'/);
  });
});
