import { experiments, type Row } from "secateur";
import { expect, test } from "vitest";
import { rowOf } from "../rows/rows-of";

const KEEPS = [0.2621, 0.1678];
/** Two tasks of two sources each; the accuracy of a score is the same on both tasks. */
const rowsOf = (score: string, rounds: number, accuracy: Record<string, number>, draw = 0): Row[] =>
  Object.entries(accuracy).flatMap(([source, value]) =>
    KEEPS.flatMap((keep) =>
      ["greek", "thai"].map((task) => rowOf({ source, task, taskKind: "transfer", score, rounds, keep, draw, value })),
    ),
  );

test("differences are paired by run; a prediction holds, breaks or stays open", () => {
  const claims = experiments.transformerVerdicts([
    ...rowsOf("magnitude", 1, { hebrew: 40, hangul: 60 }),
    ...rowsOf("diagonal", 9, { hebrew: 50, hangul: 70 }),
    ...rowsOf("diagonal", 1, { hebrew: 60, hangul: 80 }),
    ...rowsOf("hessianDiagonal4-absolute", 1, { hebrew: 61, hangul: 80.9 }),
    ...rowsOf("hessianDiagonal4-signed", 1, { hebrew: 51, hangul: 95 }),
    ...rowsOf("snip", 1, { hebrew: 61, hangul: 81 }),
    ...rowsOf("random", 1, { hebrew: 10, hangul: 10 }),
  ]);
  const by = Object.fromEntries(
    claims.map(({ id, measured, verdict }) => [id, { mean: measured.mean, n: measured.n, verdict }]),
  );
  expect(by["vit-order"]).toEqual({ mean: 10, n: 2, verdict: "supports" });
  expect(by["vit-first-order"]).toEqual({ mean: 1, n: 2, verdict: "refutes" });
  expect(by["vit-hessian"]!.mean).toBeCloseTo(0.95, 12);
  expect(by["vit-hessian"]!.verdict).toBe("supports");
  expect(by["vit-signs"]).toMatchObject({ n: 2, verdict: "open" });
  expect(Object.keys(by)).toEqual(["vit-order", "vit-hessian", "vit-signs", "vit-first-order"]);
  const hessian = claims.find(({ id }) => id === "vit-hessian")!;
  expect(hessian.claim).toMatch(/hessianDiagonal-absolute \(one shot\) minus diagonal \(one shot\), keep 0\.2621$/);
  expect(hessian.predicted).toBe("-3 to 3 points");
});

test("runs that only one of the two has do not count", () => {
  const rows = [...rowsOf("magnitude", 1, { hebrew: 60 }), ...rowsOf("diagonal", 9, { hebrew: 70, hangul: 0 })];
  expect(experiments.transformerVerdicts(rows).map(({ id, measured }) => [id, measured.mean, measured.n])).toEqual([
    ["vit-order", 10, 1],
  ]);
});
