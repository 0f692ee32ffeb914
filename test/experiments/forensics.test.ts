import { backend, experiments, masks, nets, scores } from "secateur";
import { expect, test } from "vitest";
import { tinyZoo } from "../support/tiny-zoo";

const { tf } = backend;
const own = tinyZoo();
own.add("tiny");

const grid = [0.5, 0.2, 0.1];
const curves = [
  { scorer: scores.magnitude(), rounds: 1 },
  { scorer: scores.diagonal(), rounds: 1 },
  { scorer: scores.diagonal(), rounds: 6 },
];
const plan = { model: "tiny", sources: ["hebrew", "greek"], curves, grid, keep: 0.2, draws: [0, 1] };
const net = nets.netByName("rs4x1");

test("masks are those of `prune` at this keep ratio, with their reports; pairs differ in one thing", async () => {
  const { masks: facts, pairs } = await experiments.forensics(plan);
  // magnitude sees no data: one mask; the diagonal: 2 schedules x 2 sources x 2 draws
  expect(facts.map(({ score, rounds, source, draw }) => [score, rounds, source, draw].join(" "))).toEqual([
    "magnitude 1 hebrew 0",
    ...[1, 6].flatMap((rounds) =>
      ["hebrew", "greek"].flatMap((source) => [0, 1].map((draw) => `diagonal ${rounds} ${source} ${draw}`)),
    ),
  ]);
  const bench = new experiments.Workbench({ model: "tiny", protocol: "clean", perClass: 1, evaluateOn: "test" });
  const path = await bench.masks("greek", scores.diagonal(), { grid, rounds: 6, draw: 1 });
  const other = await bench.masks("greek", scores.diagonal(), { grid, rounds: 1, draw: 1 });
  bench.dispose();
  const [mask, oneShot] = [path[1]!.mask, other[1]!.mask];
  const { layers, deadLayers, keep } = masks.maskReport(net, mask);
  expect(facts.at(-1)).toMatchObject({ layers, deadLayers, keep, twoOfFour: masks.nOfMReport(net, mask).share });

  const { intersectionOverUnion, byChance } = masks.overlapReport(oneShot, mask);
  const pair = pairs.filter(({ a, b }) => a.source === "greek" && a.draw === 1 && a.rounds === 1 && b.rounds === 6);
  expect(pair).toHaveLength(1);
  expect(pair[0]).toMatchObject({ differsIn: "criterion", intersectionOverUnion, byChance });
  expect(pair[0]!.layers.map(({ name }) => name)).toEqual(net.prunable);

  const count = (kind: string) => pairs.filter(({ differsIn }) => differsIn === kind).length;
  // magnitude against both schedules of its source and draw, one shot against rounds 4 times; 2 schedules x 2 draws; x 2 sources
  expect([count("criterion"), count("source"), count("draw")]).toEqual([2 + 4, 4, 4]);
});

test("the second time it is read, not computed; nothing stays on the device", async () => {
  const first = await experiments.forensics(plan);
  const before = tf.memory().numTensors;
  const refused = {
    ...plan,
    curves: curves.map((c) => ({ ...c, scorer: { ...c.scorer, score: () => expect.fail("asked") } })),
  };
  expect(await experiments.forensics(refused)).toEqual(first);
  await experiments.forensics({ ...plan, keep: 0.5, sources: ["hebrew"], draws: [0] });
  expect(tf.memory().numTensors).toBe(before);
});

test.each<[string, object, RegExp]>([
  ["a keep ratio off the grid", { keep: 0.3 }, /keep must be in the grid 0\.5000, 0\.2000, 0\.1000, got 0\.3/],
  ["no draws", { draws: [] }, /draws must not be empty/],
  ["no sources", { sources: [] }, /models and sources must not be empty/],
  ["rounds off the grid", { curves: [{ ...curves[1], rounds: 4 }] }, /multiple of the 3 keep ratios .* got 4/],
])("refuses %s", async (_, change, rule) => {
  await expect(experiments.forensics({ ...plan, ...change } as never)).rejects.toThrow(rule);
});
