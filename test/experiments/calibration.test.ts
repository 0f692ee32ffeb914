import { backend, curvature, experiments, masks, type Row, scores } from "secateur";
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
const plan = { models: ["tiny"], sources: ["hebrew", "fashion"], curves, grid, tasks: ["greek"] };
const numberAt = (rows: readonly Row[], wanted: Partial<Row>): number => {
  const found = rows.filter((row) => Object.entries(wanted).every(([key, value]) => row[key as keyof Row] === value));
  expect(found).toHaveLength(1);
  return found[0]!.value;
};

test("rows are the parts of the masks' changes under each task's head, on its scoring images", async () => {
  const rows = await experiments.calibration(plan);
  // magnitude is filed under both sources with both sources and greek, diagonal with its source and greek
  expect(rows).toHaveLength(2 * 3 * (1 + 2 * 9) + 2 * 2 * 2 * 9);
  const bench = new experiments.Workbench({ model: "tiny", protocol: "clean", perClass: 1, evaluateOn: "test" });
  const path = await bench.masks("fashion", scores.diagonal(), { grid, rounds: 2, draw: 0 });
  const model = bench.model("greek");
  const data = bench.scoringData("greek", 0);
  const [parts] = curvature.lossParts(model, data, [masks.removalStep(model, path[1]!.mask)]);
  const at = { source: "fashion", task: "greek", taskKind: "transfer" as const, score: "diagonal", keep: 0.2, n: 100 };
  const { measured, firstOrder, ownLayer, crossLayer, residualCurvature, remainder } = parts!;
  expect(numberAt(rows, { ...at, metric: "lossChange" })).toBe(measured);
  expect(numberAt(rows, { ...at, metric: "lossPartFirstOrder" })).toBe(firstOrder);
  expect(numberAt(rows, { ...at, metric: "lossPartOwnLayer" })).toBe(ownLayer);
  expect(numberAt(rows, { ...at, metric: "lossPartCrossLayer" })).toBe(crossLayer);
  expect(numberAt(rows, { ...at, metric: "lossPartResidualCurvature" })).toBe(residualCurvature);
  expect(numberAt(rows, { ...at, metric: "lossPartRemainder" })).toBe(remainder);
  expect(numberAt(rows, { ...at, metric: "lossPredictedByLayers" })).toBe(firstOrder + ownLayer);
  expect(numberAt(rows, { ...at, metric: "lossPredictedGaussNewton" })).toBe(firstOrder + ownLayer + crossLayer);
  expect(numberAt(rows, { ...at, metric: "lossPredictedHessian" })).toBeCloseTo(measured - remainder, 6);
  const dense = { source: "hebrew", score: "dense", keep: 1, metric: "loss" };
  expect(numberAt(rows, { ...dense, task: "greek" })).toBe(parts!.loss);
  expect(numberAt(rows, { ...dense, task: "fashion", taskKind: "far" })).toBeGreaterThan(0);
  expect(await experiments.calibration(plan)).toEqual(rows);
  bench.dispose();
});

test("leaves no tensor behind, and refuses a plan that does not fit before work starts", async () => {
  const before = tf.memory().numTensors;
  await experiments.calibration({ ...plan, sources: ["greek"], keeps: [0.2] });
  expect(tf.memory().numTensors).toBe(before);
  await expect(experiments.calibration({ ...plan, tasks: ["klingon"] })).rejects.toThrow(/tasks .* got 'klingon'/);
  await expect(experiments.calibration({ ...plan, tasks: [] })).rejects.toThrow(/tasks must not be empty/);
  await expect(experiments.calibration({ ...plan, keeps: [0.3] })).rejects.toThrow(/got 0.3/);
});

test("verdicts: sums over a kind's tasks, ratios within runs", () => {
  const parts = (
    seed: number,
    task: string,
    taskKind: Row["taskKind"],
    series: Pick<Row, "score" | "rounds" | "keep">,
    [measured, own, cross, residual]: readonly [number, number, number, number],
  ): Row[] =>
    Object.entries({
      lossChange: measured,
      lossPredictedGaussNewton: own + cross,
      lossPartOwnLayer: own,
      lossPartCrossLayer: cross,
      lossPartResidualCurvature: residual,
    }).map(([metric, value]) => rowOf({ seed, source: "hebrew", task, taskKind, ...series, metric, value }));
  const magnitude = { score: "magnitude", rounds: 1 };
  const diagonal = { score: "diagonal", rounds: 1 };
  const rows = [0, 1, 2].flatMap((seed) => {
    const wobble = 1 + 0.01 * seed;
    return [
      ...parts(seed, "hebrew", "source", { ...magnitude, keep: 0.64 }, [1.1 * wobble, 0.6, 0.4, 0]),
      ...parts(seed, "hebrew", "source", { ...magnitude, keep: 0.41 }, [2 * wobble, 0.5, 0.5, -0.1]),
      // the two tasks together: measured 3, predicted 1; each by itself would be judged otherwise
      ...parts(seed, "greek", "transfer", { ...magnitude, keep: 0.41 }, [1 * wobble, 0.5, 0.4, 0]),
      ...parts(seed, "han", "transfer", { ...magnitude, keep: 0.41 }, [2 * wobble, 0.1, 0, 0]),
      ...parts(seed, "hebrew", "source", { ...magnitude, keep: 0.168 }, [3, 1, 0.5, 0]),
      ...parts(seed, "hebrew", "source", { ...diagonal, keep: 0.168 }, [20 * wobble, 1, 0, 0]),
      ...parts(seed, "hebrew", "source", { ...diagonal, rounds: 9, keep: 0.168 }, [4 * wobble, 1, 1, 0]),
    ];
  });
  const verdicts = Object.fromEntries(experiments.calibrationVerdicts(rows).map((claim) => [claim.id, claim]));
  const means = Object.fromEntries(Object.entries(verdicts).map(([id, { measured }]) => [id, measured.mean]));
  expect(means["calibration-small"]).toBeCloseTo(1.111, 6);
  expect(means["calibration-transfer"]).toBeCloseTo(1.5, 6);
  expect(means["calibration-layers"]).toBeCloseTo(1, 6);
  expect(means["calibration-residual"]).toBeCloseTo(0.1, 6);
  expect(means["calibration-chosen"]).toBeCloseTo(10.1, 6);
  expect(means["calibration-rounds"]).toBeCloseTo(0.1, 6);
  expect(verdicts["calibration-rounds"]!.verdict).toBe("supports");
  expect(() => experiments.calibrationVerdicts(rows.filter((row) => row.rounds === 1))).toThrow(
    /no row 'lossChange' for diagonal, rounds, keep 0.1678, source in run .* seed 0/,
  );
});
