import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  backend,
  datasets,
  experiments,
  heads,
  masks,
  nets,
  type Row,
  type Scorer,
  scores,
  rows as tidy,
  tree,
} from "secateur";
import { beforeEach, describe, expect, test } from "vitest";
import { tinyZoo } from "../support/tiny-zoo";
import { firstOrder } from "./own-score";

const { tf } = backend;
const { p1 } = experiments;

const own = tinyZoo();
own.add("tiny");

const TASKS = datasets.tasks().map(({ name }) => name);
const SOURCES = ["hebrew", "fashion"];
const KEEPS = [0.5, 0.1];

/** The scorer, and how often it was asked. */
function counted(scorer: Scorer): Scorer & { calls: number } {
  const watched = {
    ...scorer,
    calls: 0,
    score(...given: Parameters<Scorer["score"]>) {
      watched.calls++;
      return scorer.score(...given);
    },
  };
  return watched;
}

function settings() {
  const [magnitude, diagonal] = [counted(scores.magnitude()), counted(scores.diagonal())];
  const curves = [
    { scorer: magnitude, rounds: 1 },
    { scorer: diagonal, rounds: 1 },
    { scorer: diagonal, rounds: 2 },
  ];
  return { magnitude, diagonal, plan: { models: ["tiny"], sources: SOURCES, curves, grid: KEEPS, perClass: 2 } };
}

const files = (): string[] => (existsSync(own.results) ? readdirSync(own.results).sort() : []);
const pick = (rows: readonly Row[], wanted: Partial<Row>): Row[] =>
  rows.filter((row) => Object.entries(wanted).every(([column, value]) => row[column as keyof Row] === value));
const withoutTimes = (rows: readonly Row[]) => rows.map(({ seconds: _, ...row }) => row);

beforeEach(() => rmSync(own.results, { recursive: true, force: true }));

describe("rows", () => {
  let computed: Promise<Row[]> | undefined;
  const once = (): Promise<Row[]> => {
    computed ??= p1(settings().plan);
    return computed;
  };

  test("have the declared columns, one row a number", async () => {
    const rows = await once();
    expect(rows).toHaveLength(TASKS.length * SOURCES.length * (1 + KEEPS.length * 3));
    const keys = new Set(rows.map((r) => [r.source, r.task, r.score, r.rounds, r.keep].join()));
    expect(keys.size).toBe(rows.length);
    expect(tidy.fromCsv(tidy.toCsv(rows))).toEqual(rows);
    for (const row of rows) {
      expect(row).toMatchObject({
        model: "rs4x1",
        pretraining: "none",
        protocol: "clean",
        seed: 3,
        draw: 0,
        variant: "",
      });
      expect(row).toMatchObject({ metric: "accuracy", n: 20 });
      expect(row.value * 20).toBe(100 * Math.round(row.value / 5));
    }
    expect([...new Set(rows.map(({ score, rounds, keep }) => `${score} ${rounds} ${keep}`))]).toEqual([
      "dense 1 1",
      ...["magnitude 1", "diagonal 1", "diagonal 2"].flatMap((curve) => KEEPS.map((keep) => `${curve} ${keep}`)),
    ]);
  });

  test("say what a task is to the source", async () => {
    const rows = await once();
    const kinds = (source: string) =>
      Object.fromEntries(pick(rows, { source, score: "dense" }).map(({ task, taskKind }) => [task, taskKind]));
    expect(kinds("hebrew")).toMatchObject({ hebrew: "source", greek: "transfer", digits: "unseen", fashion: "far" });
    expect(kinds("fashion")).toMatchObject({
      hebrew: "transfer",
      greek: "transfer",
      digits: "unseen",
      fashion: "source",
    });
    for (const source of SOURCES)
      expect(pick(rows, { source, taskKind: "source" }).every((r) => r.task === source)).toBe(true);
  });

  test("are the accuracies of masks under clean heads, computed here step by step", async () => {
    const rows = await once();
    const { model } = experiments.loadBackbone("tiny");
    const order = model.net.prunable;
    for (const source of SOURCES) {
      const head = heads.fitHead(model, datasets.subset(source, "head"));
      const { x, labels } = datasets.toBatch(datasets.subset(source, "scoring"));
      const score = scores.diagonal().score({ ...model, head }, { x, labels });
      const diagonalMask = masks.globalThreshold(tree.toHost(score), 0.1, { order });
      const squares = Object.fromEntries(
        order.map((key) => [key, model.params[key]!.dataSync<"float32">().map((w) => w * w)]),
      );
      const magnitudeMask = masks.globalThreshold(squares, 0.5, { order });
      for (const task of ["hebrew", "georgian", "fashion"]) {
        const taskHead = heads.fitHead(model, datasets.subset(task, "head"));
        const accuracy = (mask: typeof diagonalMask): number => {
          const weights = masks.maskedWeights(model, mask);
          const value = heads.accuracyOf(
            { ...nets.withParams(model, weights), head: taskHead },
            datasets.subset(task, "test", { perClass: 2 }),
          );
          tree.disposeTree(weights);
          return value;
        };
        const value = (wanted: Partial<Row>): number[] => pick(rows, { source, task, ...wanted }).map((r) => r.value);
        expect(value({ score: "dense" })).toEqual([accuracy(masks.fullMask(model.net))]);
        expect(value({ score: "magnitude", keep: 0.5 })).toEqual([accuracy(magnitudeMask)]);
        expect(value({ score: "diagonal", rounds: 1, keep: 0.1 })).toEqual([accuracy(diagonalMask)]);
        tf.dispose(taskHead as never);
      }
      tf.dispose([head, x, score] as never);
    }
    tree.disposeTree(model.params);
  });

  test("of a score that looks at no data are the same under every source", async () => {
    const rows = await once();
    const of = (source: string) =>
      pick(rows, { source, score: "magnitude" }).map(({ task, keep, value, seconds }) => ({
        task,
        keep,
        value,
        seconds,
      }));
    expect(of("fashion")).toEqual(of("hebrew"));
    const data = (source: string) => pick(rows, { source, score: "diagonal" }).map(({ value }) => value);
    expect(data("fashion")).not.toEqual(data("hebrew"));
  });
});

describe("cached by the settings", () => {
  test("a path a file; a second call reads them, computes nothing and gives equal rows", async () => {
    const first = settings();
    const rows = await p1(first.plan);
    expect([first.magnitude.calls, first.diagonal.calls]).toEqual([1, 2 * (1 + 2)]);
    expect(files().map((file) => file.replace(/-[0-9a-f]{12}\.json$/, ""))).toEqual(["dense", ...Array(5).fill("p1")]);
    const times = () => files().map((file) => statSync(join(own.results, file)).mtimeMs);
    const before = times();
    const second = settings();
    expect(await p1(second.plan)).toEqual(rows);
    expect([second.magnitude.calls, second.diagonal.calls]).toEqual([0, 0]);
    expect(times()).toEqual(before);
  });

  test("what is there already is used: more sources, curves and another order cost only what is new", async () => {
    const first = settings();
    const { plan } = first;
    await p1({ ...plan, sources: ["hebrew"], curves: plan.curves.slice(0, 2) });
    const second = settings();
    await p1({ ...second.plan, sources: ["fashion", "hebrew"], curves: second.plan.curves.slice(0, 2).reverse() });
    expect([second.magnitude.calls, second.diagonal.calls]).toEqual([0, 1]);
  });

  test("other fonts, numbers of images, grids and draws are other results", async () => {
    const { plan } = settings();
    const small = { ...plan, sources: ["hebrew"], curves: plan.curves.slice(1, 2) };
    const changes = [{}, { evaluateOn: "validation" }, { perClass: 1 }, { grid: [0.5] }, { draws: [1] }] as const;
    for (const [i, change] of changes.entries()) {
      const before = files().length;
      await p1({ ...small, ...change });
      expect(files().length, JSON.stringify(change)).toBe(before + (i < 3 ? 2 : 1));
    }
  });

  test("fresh computes again", async () => {
    const { plan, magnitude } = settings();
    const small = { ...plan, curves: plan.curves.slice(0, 1) };
    const rows = await p1(small);
    expect(withoutTimes(await p1(small, { fresh: true }))).toEqual(withoutTimes(rows));
    expect(magnitude.calls).toBe(2);
  });

  test("a result that was changed is an error, not a row", async () => {
    const { plan } = settings();
    const small = { ...plan, curves: plan.curves.slice(0, 1) };
    await p1(small);
    const file = join(own.results, files().find((name) => name.startsWith("p1"))!);
    writeFileSync(file, readFileSync(file, "utf8").replace('"keep":0.1', '"keep":0.2'));
    const before = tf.memory().numTensors;
    await expect(p1(small)).rejects.toThrow(`${file}: SHA-256 of the result`);
    expect(tf.memory().numTensors).toBe(before);
  });
});

test("an interrupted run goes on: units that were done are not done again, rows are those of a whole run", async () => {
  const whole = await p1(settings().plan);
  rmSync(own.results, { recursive: true });
  mkdirSync(own.results);
  const seen: [number, string | undefined][] = [];
  const stopping = {
    progress: (total: number, label: string) => {
      expect([total, label]).toEqual([1 + 1 + 2 * 2, "P1"]);
      return {
        step(done: number, note?: string): void {
          seen.push([done, note]);
          if (done === 2) throw new Error("interrupted");
        },
      };
    },
  };
  const first = settings();
  const before = tf.memory().numTensors;
  await expect(p1(first.plan, stopping)).rejects.toThrow("interrupted");
  expect(tf.memory().numTensors).toBe(before);
  expect(seen).toEqual([
    [1, "tiny dense"],
    [2, "magnitude, one shot"],
  ]);
  expect(files()).toHaveLength(2);
  expect([first.magnitude.calls, first.diagonal.calls]).toEqual([1, 0]);

  const second = settings();
  expect(withoutTimes(await p1(second.plan))).toEqual(withoutTimes(whole));
  expect([second.magnitude.calls, second.diagonal.calls]).toEqual([0, 6]);
});

test("draws of scoring images are rows of their own; a score without data has draw 0 alone", async () => {
  const { plan } = settings();
  const rows = await p1({ ...plan, sources: ["hebrew"], curves: plan.curves.slice(0, 2), draws: [0, 3] });
  const draws = (score: string) => [...new Set(pick(rows, { score }).map(({ draw }) => draw))];
  expect([draws("dense"), draws("magnitude"), draws("diagonal")]).toEqual([[0], [0], [0, 3]]);
  const values = (draw: number) => pick(rows, { score: "diagonal", draw }).map(({ value }) => value);
  expect(values(3)).toHaveLength(values(0).length);
  expect(values(3)).not.toEqual(values(0));
});

test("the authors' protocol is labelled, kept apart, and has one draw", async () => {
  const { plan } = settings();
  const small = { ...plan, sources: ["hebrew"], curves: plan.curves.slice(1, 2) };
  const clean = await p1(small);
  const authors = await p1({ ...small, protocol: "authors" });
  expect(files()).toHaveLength(4);
  expect(new Set(authors.map(({ protocol }) => protocol))).toEqual(new Set(["authors"]));
  expect(new Set(clean.map(({ protocol }) => protocol))).toEqual(new Set(["clean"]));
  const { model } = experiments.loadBackbone("tiny");
  const head = heads.fitHead(model, datasets.subset("greek", "authors"));
  const expected = heads.accuracyOf({ ...model, head }, datasets.subset("greek", "authors", { perClass: 2 }));
  expect(pick(authors, { task: "greek", score: "dense" }).map(({ value }) => value)).toEqual([expected]);
  tf.dispose([model.params, head] as never);
  await expect(p1({ ...small, protocol: "authors", draws: [1] })).rejects.toThrow(/draw must be 0 under the authors'/);
});

test("a score of one's own works, in under 30 lines", async () => {
  const lines = readFileSync(join(__dirname, "own-score.ts"), "utf8").trimEnd().split("\n");
  expect(lines.length).toBeLessThan(30);
  const curves = [1, 2].map((rounds) => ({ scorer: firstOrder(), rounds }));
  const rows = await p1({ models: ["tiny"], sources: ["hebrew"], curves, grid: KEEPS, perClass: 2 });
  expect(pick(rows, { score: "firstOrder" })).toHaveLength(TASKS.length * 2 * KEEPS.length);
});

describe("memory and refusals", () => {
  test("nothing is left on the device", async () => {
    const { plan } = settings();
    await p1(plan, { fresh: true });
    const before = [tf.memory().numTensors, backend.nativeHandles()];
    await p1(plan, { fresh: true });
    expect([tf.memory().numTensors, backend.nativeHandles()]).toEqual(before);
  });

  const { plan } = settings();
  const diagonal = plan.curves[1]!;
  test.each<[string, object, RegExp]>([
    ["no models", { models: [] }, /models and sources must not be empty/],
    ["no sources", { sources: [] }, /models and sources must not be empty/],
    ["a model that is not there", { models: ["tiny", "huge"] }, /model must be one of tiny, got 'huge'/],
    [
      "a source that is not there",
      { sources: ["hebrew", "klingon"] },
      /sources must be among latin_cap, .* got 'klingon'/,
    ],
    ["a grid that rises", { grid: [0.1, 0.5] }, /grid must fall strictly, got 0.1 before 0.5/],
    ["a keep ratio of 0", { grid: [0.5, 0] }, /keep must be in \(0, 1\], got 0/],
    ["an empty grid", { grid: [] }, /rounds|grid/],
    [
      "rounds that do not fit the grid",
      { curves: [{ ...diagonal, rounds: 3 }] },
      /multiple of the 2 keep ratios .* got 3 for diagonal/,
    ],
    ["no rounds", { curves: [{ ...diagonal, rounds: 0 }] }, /rounds must be 1 or .* got 0/],
    [
      "a score twice",
      { curves: [diagonal, { scorer: { ...firstOrder(), name: "diagonal" }, rounds: 1 }] },
      /got twice diagonal, rounds 1/,
    ],
    ["a protocol that is not there", { protocol: "dirty" }, /protocol must be clean or authors, got 'dirty'/],
    ["training fonts", { evaluateOn: "train" }, /evaluateOn must be test or validation, got 'train'/],
    ["too many images", { perClass: 101 }, /perClass must be an integer from 1 to 100, got 101/],
  ])("refuses %s before any work", async (_, change, rule) => {
    const before = tf.memory().numTensors;
    const progress = () => ({ step: () => expect.fail("no unit expected") });
    await expect(p1({ ...plan, ...change } as never, { progress })).rejects.toThrow(rule);
    expect(files()).toEqual([]);
    expect(tf.memory().numTensors).toBe(before);
  });
});
