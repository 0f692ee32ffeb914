import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";

// Inside the repository, so that cells find the library by name.
const root = fileURLToPath(new URL("../..", import.meta.url));
mkdirSync(join(root, "build"), { recursive: true });
const folder = mkdtempSync(join(root, "build/test-notebooks-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a notebook of code cells; "# ..." becomes a text cell. */
function notebookOf(name: string, ...sources: string[]): string {
  const cells = sources.map((source, i) =>
    source.startsWith("#")
      ? { cell_type: "markdown", id: `c${i}`, metadata: {}, source }
      : {
          cell_type: "code",
          id: `c${i}`,
          metadata: { tags: i === 1 ? ["hide-input"] : [], execution: { started: "now" } },
          source,
          outputs: [],
          execution_count: null,
        },
  );
  const file = join(folder, `${name}.ipynb`);
  writeFileSync(file, JSON.stringify({ cells, metadata: {}, nbformat: 4, nbformat_minor: 5 }));
  return file;
}

/** Standard output; of a usage error (status 2) the standard error. */
function run(script: string, ...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "scripts", script), ...args], {
    encoding: "utf8",
    cwd: folder,
  });
  return { status, text: status === 2 ? stderr : stdout };
}

const outputsOf = (file: string): Record<string, unknown>[] =>
  JSON.parse(readFileSync(file, "utf8")).cells.flatMap((cell: { outputs?: object[] }) => cell.outputs ?? []);

describe("run-notebooks", () => {
  test("runs good notebooks, shows progress, stores outputs and verdicts, counts what failed", () => {
    const good = notebookOf(
      "good",
      "# Title $a_1$",
      'import { notebook } from "secateur";\nconsole.log({ cwd: process.cwd().split("/").pop()!.startsWith("test-notebooks-"), colour: [1] });',
      'const bar = notebook.progress(10, "grid");\nfor (let i = 1; i <= 10; i++) await bar.step(i, "note");',
      'process.stdout.write("1\\r2\\r3\\n");\nnotebook.verdictTable("good", [{ claim: "c", predicted: "p", measured: { mean: 1, sd: 2, n: 3 }, verdict: "open" }]);',
      "# end",
    );
    const bad = notebookOf("bad", 'console.log("before");', 'throw new Error("the reason");', 'console.log("never");');
    const out = join(folder, "out");
    const { status, text } = run("run-notebooks.cjs", "--out", out, "--cell-times", good, bad);
    expect(text).toMatch(/ {2}grid 100 %, 10\/10, note\n/);
    expect(text).toMatch(/ {2}cell 2 \d+\.\d\d s\n/);
    expect(text).toMatch(/ok good\.ipynb \(3 cells, /);
    expect(text).toMatch(
      /FAIL bad\.ipynb cell 2\n--- cell\nthrow new Error\("the reason"\);\n--- error\n[\s\S]*Error: the reason/,
    );
    expect(text.trimEnd().split("\n").at(-1)).toBe("1 passed, 1 failed");
    expect(status).toBe(1);
    expect(readdirSync(out).sort()).toEqual(["good.ipynb", "good.verdict.json", "good.verdict.txt"]);
    expect(outputsOf(join(out, "good.ipynb"))).toEqual([
      { name: "stdout", output_type: "stream", text: ["{ cwd: true, colour: [ 1 ] }\n"] },
      {
        data: { "text/plain": ["grid [########################] 10/10 note"] },
        metadata: {},
        output_type: "display_data",
      },
      { name: "stdout", output_type: "stream", text: ["3\n"] },
      expect.objectContaining({ output_type: "display_data" }),
    ]);
    expect(outputsOf(good)).toEqual([]);
    expect(readFileSync(join(out, "good.ipynb"), "utf8")).not.toContain("started");
  });

  test("a second run with --write gives the same bytes, and compare-notebooks agrees", () => {
    const file = notebookOf(
      "twice",
      'import { notebook } from "secateur";\nnotebook.table([{ x: 0.5 }]);\nawait notebook.plot({ data: [{ x: [1, 2], y: [2, 1] }], layout: {} });',
    );
    expect(run("run-notebooks.cjs", "--write", file).text).toMatch(/1 passed, 0 failed\n$/);
    const first = readFileSync(file);
    const copy = join(folder, "copy.ipynb");
    writeFileSync(copy, first);
    expect(run("run-notebooks.cjs", "--write", file).status).toBe(0);
    expect(readFileSync(file).equals(first)).toBe(true);
    expect(first.toString()).toContain('"name": "tslab"');
    expect(run("compare-notebooks.cjs", copy, file)).toEqual({ status: 0, text: "outputs agree\n" });
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  const failures: [name: string, cells: string[], message: RegExp][] = [
    [
      "a type error",
      ["const n: number = 1;", 'const s: number = "text";'],
      /cell 2\n--- cell\n[\s\S]*1:7 - Type 'string' is not assignable to type 'number'/,
    ],
    [
      "a floating rejection",
      ["const f = async () => { throw new Error('lost'); };", "f();\nconsole.log(1);"],
      /cell 2[\s\S]*a promise that nobody awaits was rejected: Error: lost/,
    ],
    [
      "a floating rejection that comes after the last cell",
      ["setTimeout(() => { void Promise.reject(new Error('late')); }, 300);"],
      /after the last cell: a promise that nobody awaits was rejected: Error: late/,
    ],
    [
      "an exception in a timer",
      ["setTimeout(() => { throw new Error('timer'); }, 10);", "await new Promise((r) => setTimeout(r, 100));"],
      /an exception outside the cell: Error: timer/,
    ],
    ["process.exit with status 0", ["process.exit(0);"], /cell 1[\s\S]*process\.exit\(0\) was called/],
    [
      "the end of the process",
      ['process.kill(process.pid, "SIGKILL");\nawait new Promise((r) => setTimeout(r, 5000));'],
      /the process ended by SIGKILL before the notebook did/,
    ],
  ];
  test.each(failures)("fails on %s, with cell, source and message", (name, cells, message) => {
    const file = notebookOf(name.replace(/\W+/g, "-"), ...cells);
    const before = readFileSync(file);
    const { status, text } = run("run-notebooks.cjs", "--write", file);
    expect(text).toMatch(message);
    expect(text).toMatch(/0 passed, 1 failed\n$/);
    expect(status).toBe(1);
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test.each([
    ["synchronous", "for (;;) {}"],
    ["asynchronous", "await new Promise(() => setInterval(() => 0, 50));"],
  ])("a time-out ends a %s loop and names its cell", (_name, source) => {
    const file = notebookOf("endless", "const a = 1;", source);
    const { status, text } = run("run-notebooks.cjs", "--timeout=6", file);
    expect(text).toMatch(/FAIL endless\.ipynb cell 2\n--- cell\n.*\n--- error\nno end after 6 s/);
    expect(status).toBe(1);
  });

  test("refuses files and options that are none before anything runs", () => {
    writeFileSync(join(folder, "broken.ipynb"), '{"cells": [');
    writeFileSync(join(folder, "old.ipynb"), '{"nbformat": 3, "worksheets": []}');
    writeFileSync(join(folder, "odd.ipynb"), '{"nbformat": 4, "cells": [{"cell_type": "code", "source": 5}]}');
    for (const [args, message] of [
      [["broken.ipynb"], /broken\.ipynb: must be JSON/],
      [["old.ipynb"], /old\.ipynb: nbformat must be 4, got 3/],
      [["odd.ipynb"], /odd\.ipynb: cell 1: source must be text/],
      [["none.ipynb"], /none\.ipynb: no such file/],
      [["--speed", "x.ipynb"], /option --speed: known are --write --out=/],
      [["--timeout=soon", "x.ipynb"], /--timeout must be seconds > 0, got soon/],
      [[], /usage: run-notebooks/],
    ] as const) {
      const { status, text } = run("run-notebooks.cjs", ...args);
      expect(text).toMatch(message);
      expect(status).toBe(2);
    }
  });
});

describe("typecheck-notebooks", () => {
  test("passes strict cells and leaves one module a notebook", () => {
    const file = notebookOf(
      "typed",
      'import { rows } from "secateur";\nconst s = rows.stats([1, 2]);',
      "await Promise.resolve(s.mean);\nconst mean: number = s.mean;\nconsole.log(mean);",
    );
    expect(run("typecheck-notebooks.cjs", file)).toEqual({ status: 0, text: "1 notebook(s): no type errors\n" });
    expect(existsSync(join(folder, ".check/typed.ts"))).toBe(true);
  });

  test("names cell and line of what tslab would let pass: null, a name declared twice, wrong calls, promises", () => {
    const file = notebookOf(
      "loose",
      'import { notebook, rows } from "secateur";\nconst names: string[] = [];',
      "const first: string = names[0]?.at(0);",
      "const names = 1;",
      "\nrows.stats('text');",
      "notebook.plot({ data: [], layout: {} });",
      "const keep = 1;\nconst here = { keep };",
      "const there = (keep: number) => ({ keep });\nconst lost = { here };",
    );
    const { status, text } = run("typecheck-notebooks.cjs", file);
    expect(text).toMatch(/loose\.ipynb cell 2 line 1:7 - Type 'string \| undefined' is not assignable/);
    expect(text).toMatch(/cell 3 line 1:7 - Cannot redeclare block-scoped variable 'names'/);
    expect(text).toMatch(/cell 4 line 2:12 - Argument of type 'string'/);
    expect(text).toMatch(/cell 5 line 1:1 - this promise is not awaited/);
    expect(text).toMatch(/cell 7 line 2:16 - write { here: here }: tslab loses the shorthand/);
    expect(text).toMatch(/6 type error\(s\)\n$/);
    expect(status).toBe(1);
  });
});

describe("compare-notebooks", () => {
  const executed = (name: string, output: object): string => {
    const file = notebookOf(name, "const x = 1;");
    const json = JSON.parse(readFileSync(file, "utf8"));
    json.cells[0].outputs = [output];
    writeFileSync(file, JSON.stringify(json));
    return file;
  };
  const text = (s: string) => ({ output_type: "stream", name: "stdout", text: [s] });
  const figure = (y: number) => ({
    output_type: "display_data",
    metadata: {},
    data: { "application/vnd.plotly.v1+json": { data: [{ y: [1, y] }], layout: {} }, "image/png": String(y) },
  });

  test("numbers within the tolerance agree, pictures are not compared", () => {
    const [a, b] = [
      executed("a1", text("accuracy 71.2340 %  (n = 3)\n")),
      executed("b1", text("accuracy 71.2341 % (n = 3)\n")),
    ];
    expect(run("compare-notebooks.cjs", a, b, "--rtol=1e-4").status).toBe(0);
    expect(run("compare-notebooks.cjs", a, b)).toEqual({
      status: 1,
      text: expect.stringMatching(/cell 1: output 1: number 1: 71\.2340 -> 71\.2341/),
    });
    expect(run("compare-notebooks.cjs", executed("a2", figure(2)), executed("b2", figure(2.0000001))).status).toBe(0);
  });

  test("finds other text, other figures, missing outputs, other cells", () => {
    expect(
      run("compare-notebooks.cjs", executed("a3", text("supports\n")), executed("b3", text("refutes\n"))).text,
    ).toMatch(/text differs/);
    expect(run("compare-notebooks.cjs", executed("a4", figure(2)), executed("b4", figure(3))).text).toMatch(
      /vnd\.plotly\.v1\+json \.data\.0\.y\.1: 2 -> 3/,
    );
    expect(run("compare-notebooks.cjs", executed("a5", figure(2)), notebookOf("b5", "const x = 1;")).text).toMatch(
      /1 outputs -> 0/,
    );
    expect(
      run("compare-notebooks.cjs", notebookOf("a6", "const x = 1;"), notebookOf("b6", "const x = 2;")).text,
    ).toMatch(/cell 1: source differs/);
    expect(run("compare-notebooks.cjs", "one.ipynb").status).toBe(2);
  });
});

describe("build-site", () => {
  test("writes pages that need nothing from outside: text, formulas, code, tables, figures", () => {
    const file = notebookOf(
      "page",
      "# The question of $\\theta^2$\n\nSee [the next](next.ipynb#part) & `code`.\n\n$$\\sum_j x_j$$",
      'import { notebook } from "secateur"; // hidden <input>\nnotebook.table([{ x: "<i>" }]);\nnotebook.markdown("lift **2**");',
      'await notebook.plot({ data: [{ x: [1], y: [2], name: "</script><b>" }], layout: {} });\nnotebook.verdictTable("page", [{ claim: "it holds", predicted: "p", measured: { mean: 1, sd: 2, n: 3 }, verdict: "supports" }]);',
    );
    const out = join(folder, "executed");
    expect(run("run-notebooks.cjs", `--out=${out}`, file).status).toBe(0);
    const site = join(folder, "site");
    const { status, text } = run("build-site.mjs", site, join(out, "page.ipynb"));
    expect(text).toMatch(/^1 page\(s\) in /);
    expect(status).toBe(0);
    const html = readFileSync(join(site, "page.html"), "utf8");
    expect(html).toContain('<a href="next.html#part">the next</a>');
    expect(html).toContain('class="katex-display"');
    expect(html).toContain("<details><summary>code</summary>");
    expect(html).toContain('<span class="comment">// hidden &lt;input&gt;</span>');
    expect(html).toContain("&lt;i&gt;");
    expect(html).toContain("lift <strong>2</strong>");
    expect(html).toContain("\\u003c/script>\\u003cb>");
    expect(html).toMatch(
      /<img alt="\[figure: plotly\]" src="data:image\/png;base64,[\w+/=]+" width="700" height="420">/,
    );
    const index = readFileSync(join(site, "index.html"), "utf8");
    expect(index).toContain('<b class="supports">supports</b> it holds');
    const links = [...html.matchAll(/(?:src|href)="([^"]*)"/g)]
      .map(([, link]) => link!)
      .filter((link) => !link.startsWith("data:"));
    for (const link of links.filter((l) => l.startsWith("assets/")))
      expect(existsSync(join(site, link)), link).toBe(true);
    expect(links.filter((link) => /^(https?:)?\/\//.test(link))).toEqual([]);
    expect(readdirSync(join(site, "assets")).sort()).toEqual([
      "figures.js",
      "katex",
      "page.css",
      "plotly-cartesian.min.js",
    ]);
    const css = readFileSync(join(site, "assets/katex/katex.min.css"), "utf8");
    for (const [, font] of css.matchAll(/url\((fonts\/[^)]+\.woff2)\)/g))
      expect(existsSync(join(site, "assets/katex", font!)), font).toBe(true);
  });

  test("says how it is called", () => {
    expect(run("build-site.mjs")).toEqual({ status: 2, text: expect.stringMatching(/usage: build-site\.mjs OUT/) });
  });
});
