import { backend, curvature, experiments, nets, type Row, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { rowOf } from "../rows/rows-of";
import { tinyZoo } from "../support/tiny-zoo";

const { tf } = backend;
const SOURCES = ["hebrew", "hangul", "latin_cap"];
const KEEPS = [0.4096, 0.2621, 0.1678];

/** Accuracy of a series at the three keep ratios, the same on every source but for a small shift. */
const series = (score: string, rounds: number, accuracy: readonly number[], part: Partial<Row> = {}): Row[] =>
  SOURCES.flatMap((source, i) =>
    KEEPS.map((keep, k) => rowOf({ score, rounds, source, keep, value: accuracy[k]! + 0.1 * i, ...part })),
  );
const backbone = (part: Partial<Row>, list: Record<string, readonly number[]>): Row[] => [
  rowOf({ score: "dense", keep: 1, value: 100, ...part }),
  ...Object.entries(list).flatMap(([name, accuracy]) => {
    const [score, rounds = "1"] = name.split(" ");
    return series(score!, Number(rounds), accuracy, part);
  }),
];
const supervised = backbone(
  { model: "rs64x1" },
  {
    magnitude: [99, 90, 70],
    diagonal: [96, 80, 40],
    "diagonal 9": [97, 85, 60],
    blockObs16: [96, 82, 50],
    "blockObs16 9": [98, 88, 59],
    random: [10, 10, 10],
  },
);
const moco = backbone(
  { model: "rs64x1", pretraining: "moco" },
  {
    magnitude: [70, 50, 20],
    diagonal: [60, 40, 20],
    "diagonal 9": [85, 60, 40],
    blockObs16: [60, 45, 20],
    "blockObs16 9": [80, 65, 50],
  },
);

test("decayVerdicts: the lead of magnitude with weight decay minus the lead without", () => {
  const twin = backbone(
    { model: "rs64x1", pretraining: "supervised-nodecay" },
    { magnitude: [99, 70, 30], "diagonal 9": [97, 75, 32], diagonal: [97, 60, 30] },
  );
  const claims = experiments.decayVerdicts([...supervised, ...moco, ...twin]);
  const said = claims.map(({ id, measured, verdict }) => [id, Number(measured.mean.toFixed(6)), measured.n, verdict]);
  expect(said).toEqual([
    ["rs64x1-supervised-decay-diagonal-one-shot-0.2621", 0, 3, "open"],
    ["rs64x1-supervised-decay-diagonal-one-shot-0.1678", 30, 3, "supports"],
    ["rs64x1-supervised-decay-diagonal-rounds-0.2621", 10, 3, "supports"],
    ["rs64x1-supervised-decay-diagonal-rounds-0.1678", 12, 3, "supports"],
  ]);
  expect(experiments.decayVerdicts(supervised)).toEqual([]);
});

describe("comparisonVerdicts", () => {
  const claims = experiments.comparisonVerdicts([...supervised, ...moco]);
  const by = Object.fromEntries(claims.map((c) => [c.id, c]));
  const said = (id: string): [number, number, string] => {
    const { measured, verdict } = by[id]!;
    return [Number(measured.mean.toFixed(6)), measured.n, verdict];
  };

  test("P1 by the best of three, for each backbone", () => {
    expect(said("rs64x1-supervised-best-transfer")).toEqual([99.1, 3, "supports"]);
    expect(by["rs64x1-supervised-best-transfer"]!.claim).toMatch(/^rs64x1 supervised: .*\(magnitude\), keep 0\.4096$/);
    expect(said("rs64x1-moco-best-transfer")).toEqual([85.1, 3, "refutes"]);
    expect(by["rs64x1-moco-best-transfer"]!.claim).toMatch(/\(diagonal \(rounds\)\)/);
  });

  test("block and magnitude against diagonal, paired by run, at two keep ratios and both schedules", () => {
    expect(said("rs64x1-supervised-block-diagonal-one-shot-0.1678")).toEqual([10, 3, "supports"]);
    expect(said("rs64x1-supervised-block-diagonal-rounds-0.1678")).toEqual([-1, 3, "refutes"]);
    expect(said("rs64x1-supervised-block-diagonal-rounds-0.2621")).toEqual([3, 3, "supports"]);
    expect(said("rs64x1-supervised-magnitude-diagonal-rounds-0.1678")).toEqual([10, 3, "supports"]);
    expect(said("rs64x1-moco-magnitude-diagonal-rounds-0.1678")).toEqual([-20, 3, "refutes"]);
    expect(said("rs64x1-moco-rounds-diagonal-0.1678")).toEqual([20, 3, "supports"]);
    expect(by["rs64x1-moco-rounds-snip-0.1678"]).toBeUndefined();
  });

  test("the order of scores: Kendall's tau within a source, without random", () => {
    // magnitude, block rounds, diagonal rounds, block, diagonal against 3rd, 1st, 2nd, 4th, 5th: 2 of 10 pairs swapped
    expect(said("order-rs64x1-supervised-rs64x1-moco")).toEqual([0.6, 3, "supports"]);
    const vit = backbone({ model: "vh128x4" }, { magnitude: [1, 1, 1], diagonal: [1, 2, 1], "diagonal 9": [1, 3, 1] });
    const ids = experiments.comparisonVerdicts([...vit, ...moco, ...supervised]).map(({ id }) => id);
    expect(ids.filter((id) => id.startsWith("order"))).toEqual([
      "order-vh128x4-supervised-rs64x1-supervised",
      "order-rs64x1-supervised-rs64x1-moco",
    ]);
  });

  test("width: the knee falls from narrow to wide, whatever order the rows have", () => {
    const wide = backbone({ model: "rs128x1" }, { magnitude: [99, 95, 80], "blockObs16 9": [99, 99, 99] });
    const narrow = backbone({ model: "rs32x1" }, { magnitude: [95, 80, 50] });
    const found = experiments.comparisonVerdicts([...wide, ...supervised, ...narrow]);
    const width = found.filter(({ id }) => id.startsWith("width"));
    expect(width.map(({ id, verdict }) => [id, verdict])).toEqual([
      ["width-magnitude-rs32x1-supervised-rs64x1", "supports"],
      ["width-magnitude-rs64x1-supervised-rs128x1", "supports"],
      // the wide net's knee is below the smallest keep ratio and counts as that
      ["width-blockObs-rs64x1-supervised-rs128x1", "supports"],
    ]);
  });

  test("other protocols are left out; no rows, no claims", () => {
    const authors = supervised.map((row) => ({ ...row, protocol: "authors" as const }));
    expect(experiments.comparisonVerdicts([...supervised, ...moco, ...authors])).toEqual(claims);
    expect(experiments.comparisonVerdicts([])).toEqual([]);
  });
});

test("perBackbone: the verdicts of each backbone, named by it", () => {
  const found = experiments.perBackbone(
    [...supervised, ...moco, ...moco.map((row) => ({ ...row, protocol: "authors" as const }))],
    experiments.p1Verdicts,
  );
  const of = (id: string): unknown[] =>
    found.filter((c) => c.id === id).map(({ measured }) => measured.mean.toFixed(4));
  expect(of("rs64x1-supervised-p1-transfer-magnitude")).toEqual(["99.1000"]);
  expect(of("rs64x1-moco-p1-transfer-magnitude")).toEqual(["70.1000"]);
  expect(of("rs64x1-moco-authors-p1-transfer-magnitude")).toEqual(["70.1000"]);
  expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
});

test("minimumVerdicts: size of the first order over the quadratic form, within runs", () => {
  const row = (pretraining: string, source: string, metric: string, value: number): Row =>
    rowOf({ pretraining, source, metric, value, keep: 0.8 ** 4 });
  const rows = SOURCES.flatMap((source, i) =>
    [
      ["supervised", -0.05],
      ["moco", -0.3],
    ].flatMap(([name, first]) => [
      row(name as string, source, "lossPredictedFirstOrder", (first as number) * (i + 1)),
      row(name as string, source, "lossPredictedQuadratic", i + 1),
    ]),
  );
  expect(experiments.minimumVerdicts(rows).map((c) => [c.id, Number(c.measured.mean.toFixed(9)), c.verdict])).toEqual([
    ["tiny-supervised-minimum", 0.05, "supports"],
    ["tiny-moco-minimum", 0.3, "refutes"],
  ]);
});

describe("widthTrend", () => {
  /** A curve straight in ln(keep) that meets 90 % at the knee. */
  const curve = (model: string, seed: number, knee: number, source = "hebrew"): Row[] => [
    rowOf({ model, seed, score: "dense", keep: 1, value: 100 }),
    ...[0.9, 0.01].map((keep) => rowOf({ model, seed, source, keep, value: 90 + 5 * Math.log(keep / knee) })),
  ];
  const size = (name: string): number => nets.prunableCount(nets.netByName(name));

  test("a power law is found and carried on to the named net", () => {
    const knee = (model: string): number => 0.3 * (size(model) / 1e6) ** -0.4;
    const models = ["rs64x1", "rs32x1", "rs128x1"];
    const [trend] = experiments.widthTrend(models.flatMap((model) => curve(model, 0, knee(model))));
    expect(trend!.points.map(({ model }) => model)).toEqual(["rs32x1", "rs64x1", "rs128x1"]);
    expect(trend!.line!.slope).toBeCloseTo(-0.4, 9);
    expect(trend!.predicted).toMatchObject({ net: "resnet50", weights: size("resnet50") });
    expect(trend!.predicted!.knee).toBeCloseTo(knee("resnet50"), 6);
    expect(size("resnet50")).toBe(23_454_912);
  });

  test("a point a backbone, its runs averaged; censored ones are shown and not fitted", () => {
    const rows = [
      ...curve("rs32x1", 0, 0.3),
      ...curve("rs32x1", 0, 0.4, "hangul"),
      ...curve("rs64x1", 0, 0.2),
      ...curve("rs64x1", 1, 0.22),
      ...curve("rs128x1", 0, 0.005),
    ];
    const [trend] = experiments.widthTrend(rows, { net: "resnet18" });
    expect(trend!.points.map((p) => [p.model, p.seed, Number(p.knee.toFixed(9)), p.runs, p.censored])).toEqual([
      ["rs32x1", 0, 0.35, 2, 0],
      ["rs64x1", 0, 0.2, 1, 0],
      ["rs64x1", 1, 0.22, 1, 0],
      ["rs128x1", 0, 0.01, 1, 1],
    ]);
    expect(trend!.line!.n).toBe(3);
    expect(trend!.predicted!.low).toBeLessThan(trend!.predicted!.knee);
    const [alone] = experiments.widthTrend(curve("rs64x1", 0, 0.2));
    expect([alone!.line, alone!.predicted]).toEqual([undefined, undefined]);
  });

  test("refuses to mix pre-trainings", () => {
    const rows = curve("rs64x1", 0, 0.2);
    expect(() => experiments.widthTrend([...rows, { ...rows[0]!, pretraining: "dino" }])).toThrow(
      /rows mix pretraining: supervised, dino/,
    );
  });
});

describe("firstOrder", () => {
  const own = tinyZoo();
  own.add("tiny");

  test("rows are the gradient of the source's loss at the dense weights; cached; nothing left behind", async () => {
    const plan = { models: ["tiny"], sources: ["hebrew"], draws: [1] };
    const before = tf.memory().numTensors;
    const rows = await experiments.firstOrder(plan);
    expect(tf.memory().numTensors).toBe(before);
    expect(await experiments.firstOrder(plan)).toEqual(rows);
    const value = Object.fromEntries(rows.map((row) => [row.metric, row.value]));

    const bench = new experiments.Workbench({ model: "tiny", protocol: "clean", perClass: 1, evaluateOn: "test" });
    const model = bench.model("hebrew");
    const data = bench.scoringData("hebrew", 1);
    const { loss, gradient } = curvature.lossGradient(model, data);
    const weights = nets.prunableWeights(model);
    expect(rows[0]).toMatchObject({ score: "dense", keep: 1, draw: 1, task: "hebrew", taskKind: "source", n: 100 });
    expect(value.loss).toBe(loss);
    const norm = Math.sqrt(tree.dotTree(gradient, gradient));
    expect(value.gradientNorm).toBeCloseTo(norm, 9);
    // growing all weights alike by e: central difference, float32
    const [minus, plus] = curvature.lossAlong(model, data, weights, [-0.01, 0.01]);
    expect(value.gradientAlongWeights! / ((plus! - minus!) / 0.02)).toBeCloseTo(1, 1);
    expect(value.gradientCosine).toBeCloseTo(
      Math.abs(value.gradientAlongWeights!) / (norm * Math.sqrt(tree.dotTree(weights, weights))),
      9,
    );
    // along -g the second-order model L - t g.g + t^2/2 gGg is least at t = g.g / gGg, where it has lost t g.g / 2
    const product = curvature.gnProduct(model, data, gradient);
    const t = norm ** 2 / tree.dotTree(gradient, product);
    expect(value.gradientGainPredicted! / ((t * norm ** 2) / 2)).toBeCloseTo(1, 6);
    expect(value.gradientGain).toBeCloseTo(loss - curvature.lossAlong(model, data, gradient, [-t])[0]!, 6);
    bench.dispose();
  });

  test("refuses a plan that does not fit before work starts", async () => {
    await expect(experiments.firstOrder({ models: ["tiny"], sources: ["klingon"] })).rejects.toThrow(/got 'klingon'/);
    await expect(experiments.firstOrder({ models: [], sources: ["hebrew"] })).rejects.toThrow(/must not be empty/);
  });
});
