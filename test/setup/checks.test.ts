import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { unnoticed, unreadableLines } from "../../scripts/check-dts.mjs";
import { importFaults } from "../../scripts/check-imports.mjs";
import { machineTraces, notebookFaults } from "../../scripts/check-notebooks.mjs";
import { temporaryFolder } from "./temporary";

describe("importFaults", () => {
  const faults = (files: Readonly<Record<string, string>>): string[] => importFaults(temporaryFolder(files));

  test("finds nothing where imports point downward", () => {
    const files = {
      "index.ts": 'export * as masks from "./masks";\nexport * from "./types";',
      "masks/index.ts": 'export { full } from "./full";',
      "masks/full.ts":
        'import type { Tree } from "../types";\nimport { zip } from "../tree";\nimport * as path from "node:path";',
      "tree/index.ts": 'import { tf } from "../backend";\nexport const zip = tf.zip;',
      "backend/index.ts":
        "export const tf = load();\nexport const ids = () => tf.engine().state + tf.backend().binding.x;",
      "types.ts": "export type Tree = object;",
    };
    expect(faults(files)).toEqual([]);
  });

  test.each([
    ["import", 'import { prune } from "../prune";'],
    ["type import", 'import type { Prune } from "../prune/loop";'],
    ["re-export", 'export { prune } from "../prune";'],
    ["dynamic import", 'const prune = import("../prune");'],
    ["require", 'const prune = require("../prune");'],
  ])("finds an upward %s", (_, line) => {
    const found = faults({ "masks/index.ts": line, "prune/index.ts": "", "prune/loop.ts": "" });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/lib\/src\/masks\/index\.ts imports '\.\.\/prune.*': prune\/ is above masks\//);
  });

  test("finds a circle inside a folder, and names it", () => {
    const found = faults({ "tree/a.ts": 'import "./b";', "tree/b.ts": 'import "./c";', "tree/c.ts": 'import "./a";' });
    expect(found).toEqual(["circle: lib/src/tree/a.ts -> lib/src/tree/b.ts -> lib/src/tree/c.ts -> lib/src/tree/a.ts"]);
  });

  test("finds engine internals outside backend", () => {
    const found = faults({
      "tree/index.ts": 'import { tf } from "../backend";\ntf.engine();\ntf.backend().binding;',
      "backend/index.ts": "",
    });
    expect(found.map((line) => line.replace(/^.*index\.ts:/, ""))).toEqual([
      "2 uses tf.engine(), which only backend/ may",
      "3 uses .binding, which only backend/ may",
      "3 uses tf.backend(), which only backend/ may",
    ]);
  });

  test("finds a folder without a place, an import from outside, and tslab outside notebook", () => {
    expect(faults({ "helpers/index.ts": "" })).toEqual([
      expect.stringContaining("'helpers' has no place in the order"),
    ]);
    expect(faults({ "tree/index.ts": 'import "../../elsewhere";' })).toEqual([expect.stringContaining("from outside")]);
    expect(faults({ "plots/index.ts": 'import "tslab";' })).toEqual([expect.stringContaining("only notebook/ may")]);
  });
});

describe("notebookFaults", () => {
  const output = (data: object) => ({ output_type: "display_data", metadata: {}, data });
  const cell = (outputs: object[], execution_count: number | null = 1) => ({
    cell_type: "code",
    execution_count,
    metadata: {},
    outputs,
    source: [],
  });
  const notebook = (cells: object[], kernel = "tslab") =>
    JSON.stringify({ cells, metadata: { kernelspec: { name: kernel } }, nbformat: 4 });
  const faults = (text: string): string[] =>
    notebookFaults(join(temporaryFolder({ "03-case.ipynb": text }), "03-case.ipynb"));
  const good = output({
    "text/plain": ["kept 10 % of 2/3 weights\n", "see data/results/p1.csv"],
    "image/png": "/tmp/AAAA/home/BBBB",
  });

  test("finds nothing in a good one; pictures are not read as text", () => {
    expect(faults(notebook([cell([good])]))).toEqual([]);
  });

  test.each([
    ["another kernel", notebook([cell([good])], "python3"), /kernelspec name must be tslab, got python3/],
    ["no outputs", notebook([cell([])]), /has no outputs/],
    ["a cell that was not run", notebook([cell([good]), cell([], null)]), /not executed: code cell 2$/],
    [
      "an error",
      notebook([cell([good, { output_type: "error", ename: "RangeError" }])]),
      /code cell 1: ends with the error RangeError/,
    ],
    [
      "an absolute path",
      notebook([cell([output({ "text/plain": ["from /home/", "ada/secateur"] })])]),
      /shows '\/home\/ada'/,
    ],
    [
      "a path deep in a figure",
      notebook([cell([output({ "application/vnd.plotly.v1+json": { layout: { title: "/tmp/run1" } } })])]),
      /shows '\/tmp\/run1'/,
    ],
    [
      "an address",
      notebook([cell([{ output_type: "stream", name: "stdout", text: "http://localhost:8888/lab" }])]),
      /shows 'localhost:8888'/,
    ],
    [
      "a large file",
      notebook([cell([output({ "text/plain": "x".repeat(1_000_000) })])]),
      /must be below 1000000 bytes, has 1000\d\d\d/,
    ],
    ["text that is not JSON", "{", /not JSON/],
    ["JSON that is no notebook", "[]", /has no cells/],
  ])("finds %s", (_, text, message) => {
    expect(faults(text).join("\n")).toMatch(message);
  });

  test("finds the name of the machine, as a whole word", () => {
    expect(machineTraces("ran on node17 in 3 s", ["node17"])).toEqual(["node17"]);
    expect(machineTraces("ran on node170 in 3 s", ["node17"])).toEqual([]);
  });
});

describe("check of declarations", () => {
  test.each(["Float32Array<ArrayBuffer>", "Uint8Array<ArrayBufferLike>", "NoInfer<T>", "Disposable"])(
    "finds %s",
    (type) => {
      const folder = temporaryFolder({
        "a.d.ts": `export declare const a: number;\nexport declare const b: ${type};\n`,
      });
      expect(unreadableLines([join(folder, "a.d.ts")])).toEqual([expect.stringMatching(/a\.d\.ts:2 /)]);
    },
  );

  test("tslab's compiler sees a wrong type in a cell, and a right line is told apart", () => {
    const right = 'const a: string = "text";';
    expect(unnoticed(["const b: string = 1;", right])).toEqual([expect.stringContaining(right)]);
  });
});

test("doctor --json: every problem with its cure, and the exit status says whether there is one", () => {
  const { status, stdout } = spawnSync(process.execPath, ["scripts/doctor.mjs", "--json"], { encoding: "utf8" });
  const report = JSON.parse(stdout);
  expect(report.ok).toBe(report.problems.length === 0);
  expect(status).toBe(report.ok ? 0 : 1);
  for (const { what, cure } of report.problems)
    expect([what, cure]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/\S/)]);
  expect(report.tensorflow).toMatchObject({
    version: expect.stringMatching(/^2\./),
    device: expect.stringMatching(/^[CG]PU$/),
  });
  expect(report.tensorflow.convGflops).toBeGreaterThan(0);
  expect(report.packages.tfjsCopies).toBe(1);
});
