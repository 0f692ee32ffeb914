/** The zoo as it is shipped, and both predictions on it at the smallest scale. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  backend,
  checkpoints,
  datasets,
  experiments,
  nets,
  type Row,
  scores,
  type TaskKind,
  rows as tidy,
  tree,
} from "secateur";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../support/temporary-folder";

const { tf } = backend;

const before = process.env.SECATEUR_RESULTS;
beforeAll(() => {
  process.env.SECATEUR_RESULTS = temporaryFolder();
});
afterAll(() => {
  if (before === undefined) delete process.env.SECATEUR_RESULTS;
  else process.env.SECATEUR_RESULTS = before;
});

const SEED0 = "rs64x1-supervised-seed0";
const TASKS = datasets.tasks();

describe.each(experiments.zoo())("%s", (name) => {
  const card = experiments.modelCard(name);

  test("is the file of its card: finite, in float16, with the card's number of parameters", () => {
    const { model } = experiments.loadBackbone(name);
    expect(nets.parameterCount(model.net)).toBe(card.parameters);
    const file = join(datasets.dataFolder(), "zoo", card.file);
    const { tensors, metadata } = checkpoints.readSafetensorsHeader(file);
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["F16"]));
    expect(metadata.get("net")).toBe(card.net);
    expect(metadata.get("seed")).toBe(String(card.settings.seed));
    expect(statSync(file).size).toBeLessThan(2.6e6);
    for (const [key, variance] of Object.entries(model.params).filter(([k]) => k.endsWith("running_var")))
      expect(Math.min(...variance.dataSync()), key).toBeGreaterThan(0);
    tree.disposeTree(model.params);
  });

  test("says how it was made", () => {
    // self-supervised: clean glyphs, which are corrupted anew in every step
    expect(card.trainedOn).toMatchObject(
      card.pretraining.startsWith("supervised") ? { classes: 100 } : { name: "glyphs", instances: expect.any(Number) },
    );
    expect(card.commit).toMatch(/^[0-9a-f]{12}/);
    expect(card.seconds).toBeGreaterThan(0);
    expect(card.command).toMatch(/^npm run pretrain -- /);
    expect(readFileSync(join(datasets.dataFolder(), "zoo", `${name}.json`), "utf8")).not.toMatch(/\/(home|root|tmp)\//);
  });
});

test("the images that the card names are those that pre-training sees now", () => {
  const { name, hash, shape, classes } = datasets.pretrainingSet();
  expect(experiments.modelCard(SEED0).trainedOn).toEqual({ name, hash, images: shape[0], classes });
});

test("dense accuracy of seed 0 on test fonts is the card's, within a point", () => {
  const bench = new experiments.Workbench({ model: SEED0, protocol: "clean", perClass: 100, evaluateOn: "test" });
  const accuracies = bench.accuracies();
  bench.dispose();
  const { test: stated } = experiments.modelCard(SEED0).accuracyOfHeads as { test: Record<string, number> };
  const mean = (kind: string): number => {
    const values = TASKS.filter((task) => task.kind === kind).map(({ name }) => accuracies[name]!);
    return values.reduce((a, b) => a + b, 0) / values.length;
  };
  expect(Object.keys(stated).sort()).toEqual(["far", "pretraining", "unseen"]);
  for (const [kind, value] of Object.entries(stated)) expect(Math.abs(mean(kind) - value), kind).toBeLessThan(1);
  expect(mean("pretraining")).toBeGreaterThan(88);
  expect(mean("unseen")).toBeGreaterThan(80);
});

describe("the predictions, smallest", () => {
  const plan = {
    models: [SEED0],
    sources: ["hebrew"],
    grid: [0.64, 0.04],
    perClass: 2,
    curves: [
      { scorer: scores.magnitude(), rounds: 1 },
      { scorer: scores.diagonal(), rounds: 1 },
    ],
  };
  const mean = (rows: readonly Row[], score: string, keep: number, kinds: readonly TaskKind[]): number => {
    const values = rows
      .filter((r) => r.score === score && r.keep === keep && kinds.includes(r.taskKind) && r.metric !== "diverged")
      .map(({ value }) => value);
    return values.reduce((a, b) => a + b, 0) / values.length;
  };
  const all = ["source", "transfer", "unseen"] as const;

  test("P1: rows of the shipped backbone; a third less costs little, a twenty-fifth of the weights much", async () => {
    const rows = await experiments.p1(plan);
    expect(rows).toHaveLength(TASKS.length * (1 + 2 * 2));
    expect(tidy.fromCsv(tidy.toCsv(rows))).toEqual(rows);
    expect(new Set(rows.map(({ model, pretraining, seed }) => `${model} ${pretraining} ${seed}`))).toEqual(
      new Set(["rs64x1 supervised 0"]),
    );
    const dense = mean(rows, "dense", 1, all);
    expect(dense).toBeGreaterThan(80);
    for (const score of ["magnitude", "diagonal"]) {
      expect(mean(rows, score, 0.64, all)).toBeGreaterThan(dense - 10);
      expect(mean(rows, score, 0.04, all)).toBeLessThan(dense - 30);
    }
    expect(await experiments.p1(plan), "read from files").toEqual(rows);
  });

  test("P2: an epoch on the source revives what pruning left", async () => {
    const tuning = { ...plan, curves: plan.curves.slice(0, 1), keeps: [0.04], epochs: 1 };
    const rows = await experiments.p2(tuning);
    expect(rows).toHaveLength(2 * TASKS.length + 1);
    const value = (metric: string) => rows.find((r) => r.metric === metric && r.task === "hebrew")!.value;
    expect(value("accuracyFineTuned")).toBeGreaterThan(value("accuracy") + 10);
    expect(value("diverged")).toBe(0);
    expect(await experiments.p2(tuning), "read from files").toEqual(rows);
  });

  test("nothing is left on the device", () => {
    const { model } = experiments.loadBackbone(SEED0);
    const count = tf.memory().numTensors;
    tree.disposeTree(model.params);
    expect(count).toBe(Object.keys(model.params).length);
    expect(tf.memory().numTensors).toBe(0);
  });
});
