import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backend, experiments, masks, nets, scores } from "secateur";
import { expect, test } from "vitest";
import { tinyZoo } from "../support/tiny-zoo";

const { tf } = backend;
const own = tinyZoo();
own.add("tiny");
own.writeCard("twin", { ...own.add("twin", { seed: 3 }), pretraining: "other" });
own.add("sibling", { seed: 4 });
own.add("wide", { net: "rs8x1" });

const grid = [0.5, 0.2, 0.1];
const curves = [
  { scorer: scores.magnitude(), rounds: 1 },
  { scorer: scores.diagonal(), rounds: 6 },
];
const plan = { models: ["tiny", "twin", "sibling"], sources: ["hebrew", "greek"], curves, grid, keeps: [0.5, 0.2] };
const net = nets.netByName("rs4x1");

test("masks of every backbone; pairs differ in one thing, be it the pre-training or its seed", async () => {
  const { masks: facts, pairs } = await experiments.forensicsAcross(plan);
  expect(facts).toHaveLength(3 * 3 * 2);
  const inPair = (kind: string) => pairs.filter(({ differsIn, keep }) => differsIn === kind && keep === 0.2);
  // magnitude against the diagonal of the same (first) source; the diagonal's two sources; three masks of the twin and of the sibling
  const counts = ["draw", "criterion", "source", "pretraining", "seed"].map((kind) => inPair(kind).length);
  expect(counts).toEqual([0, 3, 3, 3, 3]);
  // the twin has the same weights: the same masks
  for (const pair of inPair("pretraining")) {
    expect(pair).toMatchObject({ intersectionOverUnion: 1, a: { pretraining: "none" }, b: { pretraining: "other" } });
    expect(pair.keepCorrelation).toBeCloseTo(1, 12);
  }
  for (const { a, b } of inPair("seed")) expect([a.seed, b.seed, a.score]).toEqual([3, 4, b.score]);

  const maskOf = async (model: string) => {
    const bench = new experiments.Workbench({ model, protocol: "clean", perClass: 1, evaluateOn: "test" });
    const path = await bench.masks("greek", scores.diagonal(), { grid, rounds: 6, draw: 0 });
    bench.dispose();
    return path[1]!.mask;
  };
  const [a, b] = [await maskOf("tiny"), await maskOf("sibling")];
  const report = masks.overlapReport(a, b);
  const pair = inPair("seed").find((p) => p.a.source === "greek" && p.a.score === "diagonal")!;
  expect(pair).toMatchObject({ intersectionOverUnion: report.intersectionOverUnion, byChance: report.byChance });
  expect(pair.layers.map(({ name }) => name)).toEqual(net.prunable);
  const { keptInA, keptInB, total, intersectionOverUnion } = report.layers[2]!;
  const expected = (keptInA * keptInB) / total;
  expect(pair.layers[2]!.intersectionOverUnion).toBe(intersectionOverUnion);
  expect(pair.layers[2]!.byChance).toBeCloseTo(expected / (keptInA + keptInB - expected), 12);
  const shares = report.layers.map((layer) => [layer.keptInA / layer.total, layer.keptInB / layer.total] as const);
  expect(pair.keepCorrelation).toBeCloseTo(pearson(shares), 10);
  expect(facts.find((f) => f.seed === 4 && f.source === "greek" && f.keep < 0.3)!.layers).toEqual(
    masks.maskReport(net, b).layers,
  );
});

/** r = (n Sxy - Sx Sy) / sqrt((n Sxx - Sx^2) (n Syy - Sy^2)) */
function pearson(points: readonly (readonly [number, number])[]): number {
  const sum = (f: (x: number, y: number) => number) => points.reduce((s, [x, y]) => s + f(x, y), 0);
  const [n, x, y] = [points.length, sum((u) => u), sum((_, v) => v)];
  const top = n * sum((u, v) => u * v) - x * y;
  return top / Math.sqrt((n * sum((u) => u * u) - x * x) * (n * sum((_, v) => v * v) - y * y));
}

test("a mask that keeps the same everywhere has no profile to correlate", async () => {
  const even = [{ scorer: scores.layerwise(scores.magnitude()), rounds: 1 }];
  const { pairs } = await experiments.forensicsAcross({ ...plan, curves: even, grid: [0.5], keeps: [0.5] });
  expect(pairs.length).toBeGreaterThan(0);
  for (const { keepCorrelation } of pairs) expect(keepCorrelation).toBeNaN();
});

test("masks are read the second time; a changed file is refused; nothing stays on the device", async () => {
  const one = { ...plan, models: ["tiny"], sources: ["hebrew"], keeps: [0.2] };
  const first = await experiments.forensicsAcross(one);
  const before = tf.memory().numTensors;
  const refused = curves.map((c) => ({ ...c, scorer: { ...c.scorer, score: () => expect.fail("asked") } }));
  expect(await experiments.forensicsAcross({ ...one, curves: refused })).toEqual(first);
  expect(tf.memory().numTensors).toBe(before);
  for (const name of readdirSync(own.results).filter((file) => file.startsWith("masks-"))) {
    const file = join(own.results, name);
    const stored = JSON.parse(readFileSync(file, "utf8"));
    stored.value[0] = stored.value[0].slice(4);
    writeFileSync(file, JSON.stringify(stored));
  }
  await expect(experiments.forensicsAcross(one)).rejects.toThrow(/masks-\w+\.json: SHA-256 of the result must be/);
});

test.each<[string, object, RegExp]>([
  ["a keep ratio off the grid", { keeps: [0.3] }, /in the grid 0\.5000, 0\.2000, 0\.1000, got 0\.3/],
  ["no keep ratio", { keeps: [] }, /keeps and draws must not be empty/],
  ["no draw", { draws: [] }, /keeps and draws must not be empty/],
  ["models of two nets", { models: ["tiny", "wide"] }, /models must be of one net, got rs4x1, rs8x1/],
  ["a model twice", { models: ["tiny", "tiny"] }, /models must not repeat, got tiny, tiny/],
  ["no model", { models: [] }, /models and sources must not be empty/],
])("refuses %s", async (_, change, rule) => {
  await expect(experiments.forensicsAcross({ ...plan, ...change } as never)).rejects.toThrow(rule);
});

type Pair = experiments.PairAcross;

function pair(
  differsIn: Pair["differsIn"],
  overlap: number,
  b: Partial<Pair["b"]> = {},
  a: Partial<Pair["a"]> = {},
): Pair {
  const origin = { pretraining: "supervised", seed: 0, score: "diagonal", rounds: 9, source: "hebrew", draw: 0, ...a };
  return {
    differsIn,
    keep: 0.8 ** 8,
    a: origin,
    b: { ...origin, ...b },
    intersectionOverUnion: overlap,
    byChance: 0.2,
    keepCorrelation: differsIn === "seed" ? Number.NaN : 0.8,
    layers: [],
  };
}

test("verdicts: draws against sources of the same backbone, the rest against chance", () => {
  const claims = experiments.forensicsVerdicts({
    pairs: [
      pair("draw", 0.7, { draw: 1 }),
      pair("draw", 0.6, { draw: 1 }, { source: "hangul" }),
      pair("draw", 0.1, { draw: 1 }, { pretraining: "moco" }),
      pair("source", 0.5, { source: "hangul" }),
      pair("source", 0.3, { source: "latin_cap" }),
      pair("source", 0.9, { source: "hangul" }, { draw: 1 }),
      pair("pretraining", 0.3, { pretraining: "moco" }),
      pair("pretraining", 0.301, { pretraining: "moco" }, { source: "hangul" }),
      pair("pretraining", 0.9, { pretraining: "moco" }, { rounds: 1 }),
      { ...pair("pretraining", 0.9, { pretraining: "moco" }), keep: 0.4096 },
      pair("seed", 0.201, { seed: 1 }),
      pair("seed", 0.202, { seed: 1 }, { source: "hangul" }),
    ],
  });
  const by = Object.fromEntries(claims.map((claim) => [claim.id, claim]));
  // a correlation that is not a number says nothing
  expect(Object.keys(by)).toEqual(["mask-source", "mask-pretraining", "mask-seed", "profile-pretraining"]);
  // hebrew: 0.7 - (0.5 + 0.3) / 2; hangul: 0.6 - 0.5; moco has no other source
  expect(by["mask-source"]!.measured.mean).toBeCloseTo((0.3 + 0.1) / 2, 12);
  expect(by["mask-source"]!.measured.n).toBe(2);
  expect(by["mask-pretraining"]!.measured.mean).toBeCloseTo(0.1005, 12);
  expect(by["mask-pretraining"]).toMatchObject({ predicted: "above 0.02", verdict: "supports" });
  expect(by["mask-seed"]).toMatchObject({ predicted: "-0.02 to 0.02", verdict: "supports" });
  expect(by["profile-pretraining"]!.measured).toMatchObject({ mean: 0.8, n: 2 });
  expect(experiments.forensicsVerdicts({ pairs: [] })).toEqual([]);
});
