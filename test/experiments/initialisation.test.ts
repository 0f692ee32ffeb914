import { backend, checkpoints, experiments, masks, nets, tree } from "secateur";
import { expect, test } from "vitest";
import { owned } from "../support/owned";
import { tinyZoo } from "../support/tiny-zoo";

const { tf } = backend;
const net = nets.netByName("rs4x1");
const own = tinyZoo();
const untrained = own.add("untrained", { seed: 3 });
own.writeCard("stranger", { ...own.add("stranger", { seed: 4 }), settings: { seed: 5 } });

/** A backbone of seed 3 with other weights. */
function add(name: string, change: (weight: ReturnType<typeof tf.tensor>) => ReturnType<typeof tf.tensor>): void {
  const card = own.add(name, { seed: 3 });
  const start = nets.initialise(net, 3);
  const params = tree.mapTree(start, (t, key) => (net.prunable.includes(key) ? change(t) : tf.clone(t)));
  const file = `${own.folder}/${name}.safetensors`;
  checkpoints.saveParams(file, net, params);
  own.writeCard(name, { ...card, sha256: checkpoints.sha256File(file) });
  tf.dispose([start, params] as never);
}
const all = (name: string, keep?: number) =>
  experiments.initialisationKept([name], keep === undefined ? {} : { keep }).find(({ layer }) => layer === "all")!;

test("a net that was not trained is its own start, in every layer", () => {
  const records = experiments.initialisationKept(["untrained"]);
  expect(records.map(({ layer }) => layer)).toEqual([...net.prunable, "all"]);
  for (const record of records) {
    expect(record).toMatchObject({ model: "rs4x1", pretraining: untrained.pretraining, seed: 3 });
    expect(record.cosine).toBeCloseTo(1, 6);
    expect(record.lengthRatio).toBeCloseTo(1, 6);
  }
  expect(all("untrained")).toMatchObject({ maskOverlap: 1, weights: nets.prunableCount(net) });
  expect(all("untrained").maskOverlapByChance).toBeLessThan(0.5);
});

test("signs and lengths: -2 theta0 has cosine -1, twice the length, and the same magnitude mask", () => {
  add("turned", (weight) => tf.mul(weight, -2));
  const record = all("turned");
  expect(record.cosine).toBeCloseTo(-1, 6);
  expect(record.lengthRatio).toBeCloseTo(2, 6);
  expect(record.maskOverlap).toBe(1);
});

test("another start: cosine near 0, overlap near chance", () => {
  const record = all("stranger", 0.5);
  expect(Math.abs(record.cosine)).toBeLessThan(5 / Math.sqrt(record.weights));
  expect(Math.abs(record.maskOverlap - record.maskOverlapByChance)).toBeLessThan(0.05);
});

test("the masks are those of one global threshold, at the keep ratio that is asked for", () => {
  add("halved", (weight) => tf.where(tf.greater(weight, 0), weight, tf.zerosLike(weight)));
  const start = nets.initialise(net, 3);
  const squares = (keepNegative: boolean) =>
    Object.fromEntries(
      net.prunable.map((key) => [
        key,
        start[key]!.dataSync().map((x) => (keepNegative || x > 0 ? x * x : 0)) as Float32Array,
      ]),
    );
  const [now, then] = [squares(false), squares(true)].map((s) =>
    masks.globalThreshold(s, 0.3, { order: net.prunable }),
  );
  tree.disposeTree(start);
  const expected = masks.overlapReport(now!, then!);
  expect(all("halved", 0.3).maskOverlap).toBe(expected.intersectionOverUnion);
  expect(all("halved", 0.3).maskOverlapByChance).toBeCloseTo(expected.byChance, 12);
});

test("keeps no tensors; refuses what does not fit", () => {
  owned(() => {
    experiments.initialisationKept(["untrained", "stranger"]);
    return {};
  });
  expect(() => experiments.initialisationKept(["unknown"])).toThrow(/model must be one of/);
  expect(() => experiments.initialisationKept(["untrained"], { keep: 0 })).toThrow(/keep must be in/);
});
