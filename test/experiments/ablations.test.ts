import { readdirSync } from "node:fs";
import { backend, datasets, experiments, masks, nets, type Row, scores, rows as tidy, train } from "secateur";
import { describe, expect, test } from "vitest";
import { rowOf } from "../rows/rows-of";
import { tinyZoo } from "../support/tiny-zoo";

const { stream, tf } = backend;
const own = tinyZoo();
own.add("tiny");

const grid = [0.5, 0.2];
const curves = [
  { scorer: scores.magnitude(), rounds: 1 },
  { scorer: scores.diagonal(), rounds: 2 },
];
const plan = { models: ["tiny"], sources: ["hebrew", "greek"], curves, grid, keeps: [0.5, 0.2], perClass: 1, seed: 5 };
const bench = () => new experiments.Workbench({ model: "tiny", protocol: "clean", perClass: 1, evaluateOn: "test" });
const pick = (rows: readonly Row[], wanted: Partial<Row>): Row[] =>
  rows.filter((row) => Object.entries(wanted).every(([column, value]) => row[column as keyof Row] === value));
const accuracies = (rows: readonly Row[], wanted: Partial<Row>): Record<string, number> =>
  Object.fromEntries(pick(rows, { ...wanted, metric: "accuracy" }).map(({ task, value }) => [task, value]));

describe("ablations", () => {
  test("rows: dense, and every variant of every mask on every task", async () => {
    const rows = await experiments.ablations(plan);
    const tasks = datasets.tasks().length;
    const series = 2 * 2 * 2; // curves, sources, keep ratios
    // the dense net for each source, frozen and recalibrated
    expect(pick(rows, { metric: "accuracy" })).toHaveLength(tasks * (2 + 2 + series * 6));
    expect(pick(rows, { metric: "maskOverlap" })).toHaveLength(series * 6);
    expect(new Set(rows.map(({ variant }) => variant))).toEqual(new Set(experiments.ABLATIONS));
    expect(rows.find(({ metric }) => metric === "maskOverlap")!.n).toBe(nets.prunableCount(nets.netByName("rs4x1")));
    for (const row of pick(rows, { variant: "", metric: "maskOverlap" })) expect(row.value).toBe(1);
  });

  test("each variant is what its name says", async () => {
    const rows = await experiments.ablations(plan);
    const b = bench();
    const at = { source: "greek", score: "diagonal", rounds: 2, keep: 0.2 } as const;
    const model = b.model("greek");
    const data = b.scoringData("greek", 0);
    const mask = (await b.masks("greek", scores.diagonal(), { grid, rounds: 2, draw: 0 }))[1]!.mask;
    expect(accuracies(rows, { ...at, variant: "" })).toEqual(b.maskedAccuracies(mask));

    const shuffled = masks.shuffleWithinLayers(mask, stream(5, "ablation-shuffle", 1));
    expect(accuracies(rows, { ...at, variant: "shuffled" })).toEqual(b.maskedAccuracies(shuffled));

    const fresh = masks.reinitialisedWeights(model.net, mask, 5);
    expect(accuracies(rows, { ...at, variant: "reinitialised" })).toEqual(b.accuracies(fresh));

    const even = (await b.masks("greek", scores.layerwise(scores.diagonal()), { grid, rounds: 2, draw: 0 }))[1]!.mask;
    expect(accuracies(rows, { ...at, variant: "layerwise" })).toEqual(b.maskedAccuracies(even));
    expect(pick(rows, { ...at, variant: "layerwise", metric: "maskOverlap" })[0]!.value).toBe(
      masks.overlap(mask, even).intersectionOverUnion,
    );

    const weights = masks.maskedWeights(model, mask);
    const norms = train.recalibratedNorms(nets.withParams(model, weights), data.x);
    expect(accuracies(rows, { ...at, variant: "recalibrated" })).toEqual(b.accuracies({ ...weights, ...norms }));

    const folded = nets.foldBatchNorm(model);
    const tree = scores.magnitude().score(folded, data);
    const flat = Object.fromEntries(Object.entries(tree).map(([key, t]) => [key, t.dataSync() as Float32Array]));
    const ofFolded = masks.globalThreshold(flat, 0.2, { order: model.net.prunable });
    for (const source of ["hebrew", "greek"])
      expect(accuracies(rows, { source, score: "magnitude", keep: 0.2, variant: "folded" })).toEqual(
        b.maskedAccuracies(ofFolded),
      );
    const denseNorms = train.recalibratedNorms(model, data.x);
    expect(accuracies(rows, { source: "greek", score: "dense", variant: "recalibrated" })).toEqual(
      b.accuracies(denseNorms),
    );
    tf.dispose([weights, norms, denseNorms, fresh, folded.params, tree, data.x] as never);
    b.dispose();
  });

  test("of the diagonal's masks folding changes nothing but rounding; recalibrating uses each source's images", async () => {
    const rows = await experiments.ablations(plan);
    for (const row of pick(rows, { score: "diagonal", variant: "folded", metric: "maskOverlap" }))
      expect(row.value).toBeGreaterThan(0.99);
    const task = "thai";
    const of = (variant: string) =>
      plan.sources.map((source) => accuracies(rows, { source, score: "magnitude", keep: 0.5, variant })[task]);
    expect(new Set(of("")).size).toBe(1);
    const norms = plan.sources.map((source) =>
      accuracies(rows, { source, score: "magnitude", keep: 0.5, variant: "recalibrated" }),
    );
    expect(norms[0]).not.toEqual(norms[1]);
  });

  test("the second time it is read, not computed; an equal mask is scored once; nothing stays on the device", async () => {
    const first = await experiments.ablations(plan);
    const before = tf.memory().numTensors;
    const refused = curves.map((c) => ({ ...c, scorer: { ...c.scorer, score: () => expect.fail("asked") } }));
    expect(await experiments.ablations({ ...plan, curves: refused })).toEqual(first);
    // masks are kept by themselves: other test images need no new scores
    await experiments.ablations({ ...plan, curves: refused, perClass: 2, ablations: ["", "layerwise"] });
    await experiments.forensicsAcross({ ...plan, curves: refused, keeps: [0.2] });
    expect(tf.memory().numTensors).toBe(before);
    // 2 paths of magnitude (as is, layerwise) and the folded one; 3 of the diagonal for each source
    expect(readdirSync(own.results).filter((file) => file.startsWith("masks-"))).toHaveLength(3 + 3 * 2);
  });

  test("a net without batch norms has nothing to fold or to recalibrate", async () => {
    own.add("attentive", { net: "vh32x1" });
    const rows = await experiments.ablations({
      ...plan,
      models: ["attentive"],
      sources: ["hebrew"],
      curves: curves.slice(0, 1),
      keeps: [0.5],
      grid: [0.5],
    });
    expect([...new Set(rows.map(({ variant }) => variant))]).toEqual(["", "shuffled", "reinitialised", "layerwise"]);
  });

  test.each<[string, object, RegExp]>([
    ["a keep ratio off the grid", { keeps: [0.3] }, /in the grid 0\.5000, 0\.2000, got 0\.3/],
    ["no keep ratio", { keeps: [] }, /keeps must not be empty/],
    ["an unknown ablation", { ablations: ["", "rotated"] }, /ablations must be among '', 'shuffled'.* got 'rotated'/],
    ["no ablation", { ablations: [] }, /ablations must be among .* got none/],
    ["a seed that is no integer", { seed: 0.5 }, /seed must be an integer, got 0\.5/],
    ["an unknown model", { models: ["other"] }, /model must be one of .* got 'other'/],
  ])("refuses %s", async (_, change, rule) => {
    await expect(experiments.ablations({ ...plan, ...change } as never)).rejects.toThrow(rule);
  });
});

describe("ablationVerdicts", () => {
  /** Two transfer tasks and the source for each of two sources. */
  const masked = (score: string, rounds: number, keep: number, variant: string, value: number, seed = 0): Row[] =>
    ["hebrew", "hangul"].flatMap((source, i) => [
      ...["thai", "greek"].map((task, k) =>
        rowOf({ source, task, score, rounds, keep, variant, seed, value: value + i + 2 * k - 1 }),
      ),
      rowOf({ source, task: source, taskKind: "source", score, rounds, keep, variant, seed, value: 99 }),
    ]);
  const overlapping = (value: number): Row[] =>
    ["hebrew", "hangul"].map((source) =>
      rowOf({
        source,
        task: source,
        taskKind: "source",
        score: "diagonal",
        rounds: 9,
        keep: 0.8 ** 8,
        variant: "folded",
        metric: "maskOverlap",
        value,
      }),
    );

  test("pairs variant and mask by run; a mask that is the same for all sources is one run a backbone", () => {
    const claims = experiments.ablationVerdicts([
      ...masked("diagonal", 9, 0.8 ** 4, "", 80),
      ...masked("diagonal", 9, 0.8 ** 4, "shuffled", 10),
      ...masked("diagonal", 9, 0.8 ** 8, "", 60),
      ...masked("diagonal", 9, 0.8 ** 8, "recalibrated", 70),
      ...masked("diagonal", 1, 0.8 ** 8, "recalibrated", 0),
      ...masked("magnitude", 1, 0.8 ** 8, "", 50),
      ...masked("magnitude", 1, 0.8 ** 8, "", 40, 1),
      ...masked("magnitude", 1, 0.8 ** 8, "folded", 10),
      ...masked("magnitude", 1, 0.8 ** 8, "folded", 12, 1),
      ...overlapping(0.999),
    ]);
    const by = Object.fromEntries(claims.map((claim) => [claim.id, claim]));
    expect(Object.keys(by)).toEqual([
      "ablation-shuffled",
      "ablation-folded-magnitude",
      "ablation-folded-diagonal",
      "ablation-recalibrated",
    ]);
    // (10 / 80 and 11 / 81) in percent
    expect(by["ablation-shuffled"]!.measured.mean).toBeCloseTo(50 * (10 / 80 + 11 / 81), 10);
    expect(by["ablation-shuffled"]).toMatchObject({ unit: "% of the mask's", verdict: "supports" });
    // one run for each seed, sources averaged: 10.5 / 50.5 and 12.5 / 40.5
    expect(by["ablation-folded-magnitude"]!.measured).toMatchObject({ n: 2 });
    expect(by["ablation-folded-magnitude"]!.measured.mean).toBeCloseTo(50 * (10.5 / 50.5 + 12.5 / 40.5), 10);
    expect(by["ablation-folded-diagonal"]).toMatchObject({ measured: { mean: 99.9, n: 2 }, verdict: "supports" });
    expect(by["ablation-recalibrated"]).toMatchObject({ measured: { mean: 10, sd: 0, n: 2 }, verdict: "supports" });
  });

  test("a mask that does not need its places refutes the first", () => {
    const claims = experiments.ablationVerdicts([
      ...masked("diagonal", 9, 0.8 ** 4, "", 80),
      ...masked("diagonal", 9, 0.8 ** 4, "shuffled", 79),
    ]);
    expect(claims.map(({ id, verdict }) => [id, verdict])).toEqual([["ablation-shuffled", "refutes"]]);
  });

  test("nothing to say without rows of its variants", () => {
    expect(experiments.ablationVerdicts([])).toEqual([]);
    expect(experiments.ablationVerdicts(masked("diagonal", 9, 0.8 ** 4, "", 80))).toEqual([]);
  });
});

describe("normVerdicts", () => {
  const grid9 = experiments.KEEP_GRID;
  /** A straight line over the grid: `start` at 0.64, `fall` points lower at every keep ratio. */
  const line = (score: string, rounds: number, variant: string, start: number, fall: number): Row[] =>
    ["hebrew", "hangul"].flatMap((source, s) =>
      grid9.map((keep, i) => rowOf({ source, score, rounds, keep, variant, value: start - i * fall + s })),
    );
  const dense = (variant: string, value: number): Row[] =>
    ["hebrew", "hangul"].map((source) => rowOf({ source, score: "dense", keep: 1, variant, value }));
  const claimsOf = (rows: readonly Row[]) =>
    Object.fromEntries(experiments.normVerdicts(rows).map((claim) => [claim.id, claim]));

  test("compares scores after recalibration, and recalibrated with frozen", () => {
    const by = claimsOf([
      ...dense("", 80),
      ...dense("recalibrated", 78),
      ...line("magnitude", 1, "", 78, 10),
      ...line("diagonal", 9, "", 78, 8),
      ...line("magnitude", 1, "recalibrated", 78, 4),
      ...line("diagonal", 9, "recalibrated", 78, 5),
    ]);
    expect(Object.keys(by)).toEqual([
      "norms-dense",
      "norms-transfer-magnitude",
      "norms-transfer-diagonal",
      "norms-magnitude-diagonal-0.2621",
      "norms-lead-0.2621",
      "norms-magnitude-diagonal-0.1678",
      "norms-lead-0.1678",
      "norms-knee-magnitude",
      "norms-knee-diagonal",
    ]);
    expect(by["norms-dense"]).toMatchObject({ measured: { mean: -2, n: 2 }, verdict: "refutes" });
    // keep 0.41 is the second of the grid: 74 and 75 of the frozen dense 80
    expect(by["norms-transfer-magnitude"]!.measured.mean).toBeCloseTo((100 * 74.5) / 80, 10);
    // keep 0.17 is the fourth: 66 - 63 recalibrated, 48 - 54 frozen
    expect(by["norms-magnitude-diagonal-0.1678"]).toMatchObject({ measured: { mean: 3, n: 2 }, verdict: "supports" });
    expect(by["norms-lead-0.1678"]!.measured.mean).toBeCloseTo(9, 10);
    expect(by["norms-knee-magnitude"]!.measured.mean).toBeGreaterThan(0);
  });

  test("a knee below the grid counts as its smallest keep ratio; no rows, no claim", () => {
    const rows = [
      ...dense("", 80),
      ...line("magnitude", 1, "", 78, 10),
      ...line("magnitude", 1, "recalibrated", 79, 0),
    ];
    const frozen = experiments.normVerdicts(rows).find(({ id }) => id === "norms-knee-magnitude")!;
    const own = tidy.knees(rows.filter(({ variant }) => variant === "")).map(({ knee }) => knee! - grid9[8]!);
    expect(frozen.measured.mean).toBeCloseTo((own[0]! + own[1]!) / 2, 10);
    expect(experiments.normVerdicts([])).toEqual([]);
    expect(experiments.normVerdicts(rows.filter(({ variant }) => variant === ""))).toEqual([]);
  });
});
