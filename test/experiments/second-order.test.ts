import { backend, curvature, experiments, masks, nets, type Row, scores, train } from "secateur";
import { expect, test } from "vitest";
import { rowOf } from "../rows/rows-of";
import { tinyZoo } from "../support/tiny-zoo";

const { tf } = backend;
const own = tinyZoo();
own.add("tiny");

const grid = [0.5, 0.2];
const curves = [
  { scorer: scores.magnitude(), rounds: 1 },
  { scorer: scores.diagonal(), rounds: 2 },
];
const plan = { models: ["tiny"], sources: ["hebrew", "fashion"], curves, grid };
const numberAt = (rows: readonly Row[], wanted: Partial<Row>): number => {
  const found = rows.filter((row) => Object.entries(wanted).every(([key, value]) => row[key as keyof Row] === value));
  expect(found).toHaveLength(1);
  return found[0]!.value;
};

test("rows are the loss changes of the masks of the same settings, on the scoring images", async () => {
  const rows = await experiments.secondOrder(plan);
  expect(rows).toHaveLength(2 * (1 + 2 * 2 * 5));
  const bench = new experiments.Workbench({ model: "tiny", protocol: "clean", perClass: 1, evaluateOn: "test" });
  const model = bench.model("fashion");
  const data = bench.scoringData("fashion", 0);
  const path = await bench.masks("fashion", scores.diagonal(), { grid, rounds: 2, draw: 0 });
  const step = masks.removalStep(model, path[1]!.mask);
  const { loss, measured, firstOrder, diagonal, gaussNewton } = curvature.lossChange(model, data, step);
  const at = { source: "fashion", score: "diagonal", rounds: 2, keep: 0.2, n: 100 };
  expect(numberAt(rows, { source: "fashion", score: "dense", keep: 1, metric: "loss" })).toBe(loss);
  expect(numberAt(rows, { ...at, metric: "lossChange" })).toBe(measured);
  expect(numberAt(rows, { ...at, metric: "lossPredictedFirstOrder" })).toBe(firstOrder);
  expect(numberAt(rows, { ...at, metric: "lossPredictedDiagonal" })).toBe(diagonal);
  expect(numberAt(rows, { ...at, metric: "lossPredictedQuadratic" })).toBe(gaussNewton);

  const pruned = nets.withParams(model, masks.maskedWeights(model, path[1]!.mask));
  const fresh = nets.withParams(pruned, train.recalibratedNorms(pruned, data.x));
  expect(numberAt(rows, { ...at, metric: "lossChangeRecalibrated" })).toBeCloseTo(
    curvature.lossMeanOverNC(fresh, data) - loss,
    6,
  );
  expect(await experiments.secondOrder(plan)).toEqual(rows);
  bench.dispose();
});

test("leaves no tensor behind, and refuses a plan that does not fit before work starts", async () => {
  const before = tf.memory().numTensors;
  await experiments.secondOrder({ ...plan, sources: ["greek"] });
  expect(tf.memory().numTensors).toBe(before);
  await expect(experiments.secondOrder({ ...plan, sources: ["klingon"] })).rejects.toThrow(/got 'klingon'/);
  await expect(experiments.secondOrder({ ...plan, grid: [0.2, 0.5] })).rejects.toThrow(/fall/);
});

test("verdicts: ratios within runs, judged against the predictions", () => {
  const row = (seed: number, score: string, rounds: number, keep: number, metric: string, value: number): Row => ({
    ...rowOf({ seed, score, rounds, keep, metric, value, source: "hebrew", task: "hebrew", taskKind: "source" }),
  });
  const rows = [0, 1, 2].flatMap((seed) => {
    const scale = 1 + seed; // cancels in every ratio
    return [
      row(seed, "magnitude", 1, 0.8 ** 4, "lossPredictedFirstOrder", -0.1 * scale),
      row(seed, "magnitude", 1, 0.8 ** 4, "lossPredictedQuadratic", 1 * scale),
      row(seed, "magnitude", 1, 0.8 ** 4, "lossChange", (1.8 + 0.009 * seed) * scale),
      row(seed, "diagonal", 1, 0.8 ** 8, "lossPredictedDiagonal", 1 * scale),
      row(seed, "diagonal", 1, 0.8 ** 8, "lossChange", (2 + 0.01 * seed) * scale),
      row(seed, "diagonal", 5, 0.8 ** 8, "lossChange", 1 * scale),
      row(seed, "diagonal", 1, 0.8 ** 8, "lossChangeRecalibrated", (0.8 + 0.4 * seed) * scale),
    ];
  });
  const claims = experiments.secondOrderVerdicts(rows);
  const means = claims.map(({ id, measured, verdict }) => [id, Number(measured.mean.toFixed(2)), measured.n, verdict]);
  expect(means).toEqual([
    ["minimum", 0.1, 3, "supports"],
    ["foreseen", 2.01, 3, "open"],
    ["diagonal-underestimates", 2.01, 3, "refutes"],
    ["rounds-cost-less", 0.5, 3, "supports"],
    ["drift", 0.6, 3, "open"],
  ]);
  expect(() => experiments.secondOrderVerdicts(rows.slice(1))).toThrow(
    /no row 'lossPredictedFirstOrder' for magnitude, one shot, keep 0.4096 in run tiny supervised seed 0/,
  );
});
