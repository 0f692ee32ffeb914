import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { backend, datasets, experiments, masks, type Row, scores, rows as tidy, train, tree } from "secateur";
import { beforeEach, describe, expect, test } from "vitest";
import { tinyZoo } from "../support/tiny-zoo";

const { tf } = backend;
const { p1, p2 } = experiments;

const own = tinyZoo();
own.add("tiny");

const TASKS = datasets.tasks().map(({ name }) => name);
const curves = [{ scorer: scores.magnitude(), rounds: 1 }];
const plan: experiments.P2Settings = {
  models: ["tiny"],
  sources: ["hebrew"],
  curves,
  keeps: [1, 0.5],
  grid: [0.5, 0.1],
  perClass: 2,
  epochs: 1,
  rate: 0.1,
};

const files = (): string[] => (existsSync(own.results) ? readdirSync(own.results).sort() : []);
const pick = (rows: readonly Row[], wanted: Partial<Row>): Row[] =>
  rows.filter((row) => Object.entries(wanted).every(([column, value]) => row[column as keyof Row] === value));
const withoutTimes = (rows: readonly Row[]) => rows.map(({ seconds: _, ...row }) => row);

beforeEach(() => rmSync(own.results, { recursive: true, force: true }));

describe("rows", () => {
  let computed: Promise<Row[]> | undefined;
  const once = (): Promise<Row[]> => {
    computed ??= p2(plan);
    return computed;
  };

  test("before and after on every task, and whether the run diverged", async () => {
    const rows = await once();
    expect(rows).toHaveLength(2 * (2 * TASKS.length + 1));
    expect(tidy.fromCsv(tidy.toCsv(rows))).toEqual(rows);
    expect([...new Set(rows.map(({ score, rounds, keep }) => `${score} ${rounds} ${keep}`))]).toEqual([
      "dense 1 1",
      "magnitude 1 0.5",
    ]);
    for (const metric of ["accuracy", "accuracyFineTuned"]) {
      const of = pick(rows, { metric, score: "magnitude" });
      expect(of.map(({ task }) => task)).toEqual(TASKS);
      expect(of.every(({ value, n }) => n === 20 && (value / 5) % 1 === 0)).toBe(true);
    }
    expect(pick(rows, { metric: "diverged" }).map(({ task, value }) => [task, value])).toEqual([
      ["hebrew", 0],
      ["hebrew", 0],
    ]);
    for (const row of rows)
      expect(row).toMatchObject({
        model: "rs4x1",
        pretraining: "none",
        protocol: "clean",
        seed: 3,
        draw: 0,
        variant: "",
      });
    const kinds = Object.fromEntries(rows.map(({ task, taskKind }) => [task, taskKind]));
    expect(kinds).toMatchObject({ hebrew: "source", greek: "transfer", digits: "unseen", fashion: "far" });
  });

  test("before fine-tuning they are those of P1", async () => {
    const rows = await once();
    const pruned = await p1({ models: ["tiny"], sources: ["hebrew"], curves, grid: [0.5, 0.1], perClass: 2 });
    const values = (from: readonly Row[], score: string, keep: number) =>
      pick(from, { metric: "accuracy", score, keep }).map(({ task, value }) => [task, value]);
    expect(values(rows, "dense", 1)).toEqual(values(pruned, "dense", 1));
    expect(values(rows, "magnitude", 0.5)).toEqual(values(pruned, "magnitude", 0.5));
  });

  test("after it they are those of finetune, called here", async () => {
    const rows = await once();
    const bench = new experiments.Workbench({ model: "tiny", protocol: "clean", perClass: 2, evaluateOn: "test" });
    const model = bench.model("hebrew");
    const order = model.net.prunable;
    const mask = masks.globalThreshold(squares(model.params, order), 0.5, { order });
    for (const [score, keep, used] of [
      ["dense", 1, masks.fullMask(model.net)],
      ["magnitude", 0.5, mask],
    ] as const) {
      const { params } = await train.finetune(model, used, datasets.subset("hebrew", "finetuning"), {
        epochs: 1,
        rate: 0.1,
        batchSize: 64,
        weightDecay: 1e-4,
        seed: 0,
      });
      const after = pick(rows, { metric: "accuracyFineTuned", score, keep });
      expect(Object.fromEntries(after.map(({ task, value }) => [task, value]))).toEqual(bench.accuracies(params));
      tree.disposeTree(params);
    }
    bench.dispose();
  });
});

const squares = (params: Record<string, { dataSync(): unknown }>, keys: readonly string[]) =>
  Object.fromEntries(keys.map((key) => [key, (params[key]!.dataSync() as Float32Array).map((w) => w * w)]));

describe("cached by the settings", () => {
  test("a fine-tuning a file; a second call reads them and gives equal rows; variant is only a label", async () => {
    const rows = await p2(plan);
    expect(files().map((file) => file.slice(0, 3))).toEqual(["p2-", "p2-"]);
    const notes: string[] = [];
    const progress = (total: number, label: string) => ({
      step: (done: number, note?: string) => void notes.push(`${label} ${done}/${total} ${note}`),
    });
    const times = () => files().map((file) => statSync(join(own.results, file)).mtimeMs);
    const before = times();
    const again = await p2({ ...plan, variant: "named" }, { progress });
    expect(again).toEqual(rows.map((row) => ({ ...row, variant: "named" })));
    expect(times()).toEqual(before);
    expect(notes).toEqual(["P2 named 1/2 hebrew, dense, keep 1.000", "P2 named 2/2 hebrew, magnitude, keep 0.500"]);
    expect(files()).toHaveLength(2);
  });

  test("every setting of the training has a result of its own", async () => {
    const small = { ...plan, keeps: [1], curves: [] };
    await p2(small);
    const changes = [
      { rate: 0.2 },
      { epochs: 0 },
      { batchSize: 100 },
      { weightDecay: 0 },
      { shuffleSeed: 1 },
      { draw: 1 },
    ];
    for (const [i, change] of changes.entries()) {
      await p2({ ...small, ...change });
      expect(files(), JSON.stringify(change)).toHaveLength(i + 2);
    }
  });

  test("an interrupted run goes on with the units that are left", async () => {
    const keeps = [1, 0.5, 0.1];
    const whole = await p2({ ...plan, keeps });
    rmSync(own.results, { recursive: true });
    const progress = () => ({
      step(done: number): void {
        if (done === 2) throw new Error("interrupted");
      },
    });
    const before = [tf.memory().numTensors, backend.nativeHandles()];
    await expect(p2({ ...plan, keeps }, { progress })).rejects.toThrow("interrupted");
    expect([tf.memory().numTensors, backend.nativeHandles()]).toEqual(before);
    const done = files();
    expect(done).toHaveLength(2);
    expect(withoutTimes(await p2({ ...plan, keeps }))).toEqual(withoutTimes(whole));
    expect(files()).toHaveLength(3);
    expect(files()).toEqual(expect.arrayContaining(done));
  });
});

test("a rate that is too high is a row, not a crash", async () => {
  const rows = await p2({ ...plan, rate: 1e9, variant: "rate=1e9" });
  expect(pick(rows, { metric: "diverged" }).map(({ value, variant }) => [value, variant])).toEqual([
    [1, "rate=1e9"],
    [1, "rate=1e9"],
  ]);
  expect(await p2({ ...plan, rate: 1e9, variant: "rate=1e9" })).toEqual(rows);
});

test("the authors' protocol is labelled and kept apart", async () => {
  const small = { ...plan, keeps: [1], curves: [] };
  const clean = await p2(small);
  const authors = await p2({ ...small, protocol: "authors" });
  expect(files()).toHaveLength(2);
  expect([...clean, ...authors].map(({ protocol }) => protocol)).toEqual([
    ...clean.map(() => "clean"),
    ...authors.map(() => "authors"),
  ]);
});

test("masks in rounds are those of the same source and path in P1, also where a path ends early", async () => {
  const sources = ["greek", "fashion"];
  const rounds = [{ scorer: scores.diagonal(), rounds: 2 }];
  const pruned = await p1({ models: ["tiny"], sources, curves: rounds, grid: [0.5, 0.1], perClass: 2 });
  const rows = await p2({ ...plan, sources, curves: rounds, keeps: [0.5, 0.1], epochs: 0 });
  const values = (from: readonly Row[], wanted: Partial<Row>) =>
    pick(from, { score: "diagonal", ...wanted }).map(({ value }) => value);
  for (const source of sources)
    for (const keep of [0.5, 0.1]) {
      const before = values(rows, { metric: "accuracy", source, keep });
      expect(before).toEqual(values(pruned, { source, keep }));
      expect(values(rows, { metric: "accuracyFineTuned", source, keep }), "no epochs, no change").toEqual(before);
    }
});

describe("keep ratios", () => {
  test("are those of the grid, within 2 %", async () => {
    const rows = await p2({ ...plan, keeps: [0.495], epochs: 0 });
    expect(new Set(rows.map(({ keep }) => keep))).toEqual(new Set([0.5]));
  });

  test.each<[string, object, RegExp]>([
    ["a keep ratio off the grid", { keeps: [0.3] }, /keeps must be 1 or in the grid 0.5000, 0.1000, got 0.3/],
    ["a model that is not there", { models: ["huge"] }, /model must be one of tiny, got 'huge'/],
    ["a source that is not there", { sources: ["klingon"] }, /sources must be among .* got 'klingon'/],
    ["a score twice", { curves: [...curves, ...curves] }, /got twice magnitude, rounds 1/],
  ])("refuses %s before any work", async (_, change, rule) => {
    const progress = () => ({ step: () => expect.fail("no unit expected") });
    await expect(p2({ ...plan, ...change }, { progress })).rejects.toThrow(rule);
    expect(files()).toEqual([]);
  });
});
