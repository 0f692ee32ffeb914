import { backend, curvature, experiments, masks, nets, type Row, scores, train, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { rowOf } from "../rows/rows-of";
import { tinyZoo } from "../support/tiny-zoo";

const { stream, tf } = backend;
tinyZoo().add("tiny");

const grid = [0.5, 0.2];
const curves = [
  { scorer: scores.magnitude(), rounds: 1 },
  { scorer: scores.diagonal(), rounds: 2 },
];
const plan = { models: ["tiny"], sources: ["hebrew"], tasks: ["georgian", "hebrew", "fashion"], curves, grid, k: 3 };
const bench = (): experiments.Workbench =>
  new experiments.Workbench({ model: "tiny", protocol: "clean", perClass: 1, evaluateOn: "test" });
const numberAt = (rows: readonly Row[], wanted: Partial<Row>): number => {
  const found = rows.filter((row) => Object.entries(wanted).every(([key, value]) => row[key as keyof Row] === value));
  expect(found).toHaveLength(1);
  return found[0]!.value;
};

describe("landscape", () => {
  test("rows: each task's own curvature along the source's masks and along their shuffled controls", async () => {
    const { rows } = await experiments.landscape(plan);
    expect(rows).toHaveLength(3 * (1 + 2 * 2 * 3 * 5));
    const b = bench();
    const path = await b.masks("hebrew", scores.diagonal(), { grid, rounds: 2, draw: 0 });
    const model = b.model("georgian");
    const data = b.scoringData("georgian", 0);
    const pairs = curvature.topEigenpairs((v) => curvature.gnProduct(model, data, v), nets.prunableWeights(model), {
      k: 3,
      tolerance: 0.01,
    });
    const shuffled = masks.shuffleWithinLayers(path[1]!.mask, stream(1, "landscape-shuffle"));
    for (const [variant, mask] of [
      ["", path[1]!.mask],
      ["shuffled", shuffled],
    ] as const) {
      const step = masks.removalStep(model, mask);
      const { measured, gaussNewton } = curvature.lossChange(model, data, step);
      const at = { task: "georgian", taskKind: "unseen", score: "diagonal", rounds: 2, keep: 0.2, variant } as const;
      expect(numberAt(rows, { ...at, metric: "lossChange" })).toBeCloseTo(measured, 6);
      expect(numberAt(rows, { ...at, metric: "quadraticForm" }) / gaussNewton).toBeCloseTo(1, 4);
      expect(numberAt(rows, { ...at, metric: "stepSquared" })).toBe(tree.dotTree(step, step));
      const along = pairs.vectors.map((u) => tree.dotTree(u, step));
      const inTop = along.reduce((sum, c, i) => sum + c * c * pairs.values[i]!, 0) / 2 / gaussNewton;
      expect(numberAt(rows, { ...at, metric: "formInTop" }) / inTop).toBeCloseTo(1, 3);
      const share = along.reduce((sum, c) => sum + c * c, 0) / tree.dotTree(step, step);
      expect(numberAt(rows, { ...at, metric: "shareInTop" }) / share).toBeCloseTo(1, 3);
    }
    const dense = { task: "georgian", score: "dense", keep: 1, metric: "loss" };
    expect(numberAt(rows, dense)).toBeCloseTo(curvature.lossMeanOverNC(model, data), 6);
    data.x.dispose();
    b.dispose();
  });

  test("the control of the same sizes: as many of every 64 that follow each other by size, at other places", async () => {
    const { rows } = await experiments.landscape(plan);
    const along = (variant: string, metric: string): number =>
      numberAt(rows, { task: "hebrew", score: "diagonal", keep: 0.5, variant, metric });
    // sizes are nearly kept (but in layers below 64 weights, where all are equals), so is the length of the step
    const [same, random] = ["sameSize", "shuffled"].map((v) => along(v, "stepSquared") / along("", "stepSquared") - 1);
    expect(random).toBeGreaterThan(0.2);
    expect(Math.abs(same!)).toBeLessThan(0.25 * random!);
    expect(along("sameSize", "quadraticForm")).not.toBe(along("", "quadraticForm"));
  });

  test("spectra and overlaps of all tasks, the source first; read again from the files", async () => {
    const first = await experiments.landscape(plan);
    const { spectra, overlaps } = first;
    expect(spectra.map(({ task }) => task)).toEqual(["hebrew", "georgian", "fashion"]);
    expect(overlaps.map(({ a, b }) => `${a} ${b}`)).toEqual(["hebrew georgian", "hebrew fashion", "georgian fashion"]);
    const b = bench();
    const logs = ["hebrew", "fashion"].map((task) => {
      const data = b.scoringData(task, 0);
      const diagonal = curvature.gnDiag(b.model(task), data);
      const { trace, n } = spectra.find((s) => s.task === task)!;
      const values = Object.values(diagonal).map((t) => Array.from(t.dataSync(), Math.log10));
      const sum = values.flat().reduce((total, x) => total + 10 ** x, 0);
      expect(trace / sum).toBeCloseTo(1, 5);
      expect(n).toBe(data.labels.length);
      tf.dispose([data.x, diagonal] as never);
      return values;
    });
    const both = (values: number[][][], centre: boolean): number => {
      const [x, y]: [number[], number[]] = [[], []];
      values[0]!.forEach((layer, l) => {
        const alive = layer.map((u, j) => [u, values[1]![l]![j]!] as const).filter((p) => p.every(Number.isFinite));
        const mean = (side: 0 | 1): number => alive.reduce((sum, p) => sum + p[side], 0) / alive.length;
        const [mx, my] = centre ? [mean(0), mean(1)] : [0, 0];
        for (const [u, v] of alive) {
          x.push(u - mx);
          y.push(v - my);
        }
      });
      const [mx, my] = [x, y].map((list) => list.reduce((a, c) => a + c, 0) / list.length) as [number, number];
      const sum = (f: (u: number, v: number) => number): number =>
        x.reduce((total, u, i) => total + f(u - mx, y[i]! - my), 0);
      return sum((u, v) => u * v) / Math.sqrt(sum((u) => u * u) * sum((_, v) => v * v));
    };
    const pair = overlaps.find(({ a, b: other }) => a === "hebrew" && other === "fashion")!;
    expect(pair.diagonalCorrelation).toBeCloseTo(both(logs, false), 6);
    expect(pair.withinLayers).toBeCloseTo(both(logs, true), 6);
    expect(pair.chance).toBe(3 / spectra[0]!.weights);
    expect(pair.meanSquaredCosine).toBeGreaterThan(0);
    for (const { values, residuals } of spectra) {
      expect(values).toHaveLength(3);
      expect(Math.max(...residuals)).toBeLessThan(0.02 * values[0]!);
    }
    b.dispose();
    expect(await experiments.landscape(plan)).toEqual(first);
  });

  test("leaves no tensor behind, and refuses a plan that does not fit before work starts", async () => {
    const before = tf.memory().numTensors;
    await experiments.landscape({ ...plan, sources: ["greek"], tasks: ["fashion"], curves: curves.slice(0, 1) });
    expect(tf.memory().numTensors).toBe(before);
    await expect(experiments.landscape({ ...plan, tasks: ["klingon"] })).rejects.toThrow(/got 'klingon'/);
    await expect(experiments.landscape({ ...plan, sources: [] })).rejects.toThrow(/must not be empty/);
  });
});

test("slices: the loss along mask and control, every task under its own head", async () => {
  const settings = { model: "tiny", source: "hebrew", curves, tasks: ["fashion"], grid, keep: 0.2 };
  const slices = await experiments.landscapeSlices({ ...settings, shares: [0, 1] });
  expect(slices).toHaveLength(2 * 2 * 2);
  const b = bench();
  const [, { mask }] = (await b.masks("hebrew", scores.magnitude(), { grid, rounds: 1, draw: 0 })) as [never, never];
  const model = b.model("fashion");
  const data = b.scoringData("fashion", 0);
  const step = masks.removalStep(model, masks.shuffleWithinLayers(mask, stream(1, "landscape-shuffle")));
  const slice = slices.find((s) => s.task === "fashion" && s.score === "magnitude" && s.variant === "shuffled")!;
  expect(slice.taskKind).toBe("far");
  expect(slice.losses).toEqual(curvature.lossAlong(model, data, step, [0, 1]));
  tf.dispose([data.x, step] as never);
  b.dispose();
  await expect(experiments.landscapeSlices({ ...settings, keep: 0.3 })).rejects.toThrow(/in the grid .* got 0.3/);
});

describe("planes", () => {
  const settings = {
    ...{ model: "tiny", source: "hebrew", curve: curves[0]!, tasks: ["fashion"], grid, keep: 0.5, epochs: 1 },
    ...{ sharesOfMask: [0, 1], sharesOfSecond: [0, 1] },
  };

  test("fine-tuning: the corners are dense, pruned, and pruned and fine-tuned", async () => {
    const planes = await experiments.landscapePlane({ ...settings, second: "finetuning" });
    expect(planes.map(({ task, taskKind }) => [task, taskKind])).toEqual([
      ["hebrew", "source"],
      ["fashion", "far"],
    ]);
    const b = bench();
    const [{ mask }] = (await b.masks("hebrew", scores.magnitude(), { grid, rounds: 1, draw: 0 })) as [never];
    const model = b.model("fashion");
    const data = b.scoringData("fashion", 0);
    const pruned = masks.maskedWeights(model, mask);
    const { params } = await train.finetune(b.model("hebrew"), mask, b.finetuningSet("hebrew"), { epochs: 1 });
    const losses = [model, nets.withParams(model, pruned), nets.withParams(model, params)].map((m) =>
      curvature.lossMeanOverNC(m, data),
    );
    const corners = planes[1]!.losses;
    expect(corners[0]![0]).toBeCloseTo(losses[0]!, 5);
    expect(corners[0]![1]).toBeCloseTo(losses[1]!, 5);
    expect(corners[1]![1]).toBeCloseTo(losses[2]!, 5);
    expect(corners[1]![1]).not.toBeCloseTo(losses[1]!, 5);
    tf.dispose([data.x, pruned, params] as never);
    b.dispose();
  });

  test("random: as long as the mask's step; nothing is left behind", async () => {
    const before = tf.memory().numTensors;
    const [own] = await experiments.landscapePlane({ ...settings, second: "random" });
    expect(tf.memory().numTensors).toBe(before);
    expect(own!.losses.flat().every((loss) => loss > 0 && Number.isFinite(loss))).toBe(true);
    expect(own!.losses[1]![0]).not.toBe(own!.losses[0]![0]);
    await expect(experiments.landscapePlane({ ...settings, second: "other" as never })).rejects.toThrow(/got 'other'/);
  });
});

test("verdicts: within runs first, over tasks that are not the source, then judged", () => {
  const row = (
    source: string,
    task: string,
    score: string,
    rounds: number,
    variant: string,
    metric: string,
    value: number,
  ) => ({
    ...rowOf({
      source,
      task,
      taskKind: source === task ? "source" : "transfer",
      score,
      rounds,
      variant,
      metric,
      value,
    }),
    keep: 0.8 ** 4,
  });
  const tasks = ["hebrew", "latin", "fashion"];
  const runs = ["hebrew", "latin"];
  const rows = runs.flatMap((source, r) =>
    tasks.flatMap((task) => {
      // others are 2 and 8 times as steep as the source for the diagonal's mask: geometric mean 4; for magnitude's as steep
      const steep = source === task ? 1 : task === "fashion" ? 8 : 2;
      return [
        row(source, task, "diagonal", 4, "", "quadraticForm", steep),
        row(source, task, "diagonal", 4, "shuffled", "quadraticForm", source === task ? 20 + r : 16 + r),
        row(source, task, "diagonal", 4, "sameSize", "quadraticForm", 2 * steep + 0.001 * r),
        row(source, task, "diagonal", 4, "", "stepSquared", 100),
        row(source, task, "magnitude", 1, "", "quadraticForm", 5),
        row(source, task, "diagonal", 4, "", "shareInTop", 0.01),
        row(source, task, "diagonal", 4, "shuffled", "shareInTop", 0.04),
      ];
    }),
  );
  const { model, seed } = rows[0]!;
  const spectra = tasks.map((task) => ({
    ...{
      model,
      seed,
      task,
      n: 100,
      values: [3, 2],
      residuals: [0, 0],
      trace: task === "latin" ? 20 : 25,
      weights: 1000,
    },
  }));
  const overlaps = [
    { a: "hebrew", b: "latin", meanSquaredCosine: 0.3, withinLayers: 0.8 },
    { a: "hebrew", b: "fashion", meanSquaredCosine: 0.1, withinLayers: 0.6 },
    { a: "latin", b: "fashion", meanSquaredCosine: 0.1, withinLayers: 0.6 },
  ].map((pair) => ({ model, seed, chance: 0.002, diagonalCorrelation: 0.9, ...pair }));
  const claims = experiments.landscapeVerdicts({ rows, spectra, overlaps });
  expect(
    claims.map(({ id, measured, verdict }) => [id, Number(measured.mean.toFixed(3)), measured.n, verdict]),
  ).toEqual([
    ["flat-for-source", 20.5, 2, "supports"],
    ["flat-for-others", 4.125, 2, "open"],
    ["ordinary-for-others", 3.389, 2, "open"], // sqrt(2 x 6.4) and sqrt(1.6 x 6.4)
    ["data-helps-source", 2, 2, "supports"],
    ["size-carries-others", 2, 2, "refutes"],
    ["favours-source", 4, 2, "supports"],
    ["tops-are-related", 100, 2, "refutes"],
    ["tops-differ", 0.2, 2, "refutes"],
    ["diagonals-agree", 0.7, 2, "refutes"],
    ["avoids-top", 0.25, 2, "refutes"],
    ["top-is-little", 0.225, 2, "open"],
  ]);
  expect(() => experiments.landscapeVerdicts({ rows: rows.slice(1), spectra, overlaps })).toThrow(
    /no row 'quadraticForm' of diagonal at keep 0.41 on hebrew, source hebrew/,
  );
});
