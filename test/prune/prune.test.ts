import { type Batch, backend, type Mask, type Model, masks, nets, prune, type Scorer, scores, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { reluResidual, tinyBatch, tinyModel } from "../support/tiny-nets";

const { tf } = backend;
const model = tinyModel(reluResidual());
const data = tinyBatch(model.net, { n: 4 });
const p = nets.prunableCount(model.net);
const grid = [0.8, 0.5, 0.21, 0.04];

const kept = (mask: Mask): number =>
  Object.values(mask).reduce((sum, flags) => sum + flags.reduce((a, b) => a + b, 0), 0);
const flat = (values: Readonly<Record<string, ArrayLike<number>>>): number[] =>
  model.net.prunable.flatMap((key) => Array.from(values[key]!));

/** The scorer, and what it was asked: the weights of every call, flattened. */
function watched(scorer: Scorer): { scorer: Scorer; calls: { model: Model; data: Batch; weights: number[] }[] } {
  const calls: { model: Model; data: Batch; weights: number[] }[] = [];
  return {
    calls,
    scorer: {
      ...scorer,
      score(asked, batch) {
        calls.push({ model: asked, data: batch, weights: flat(tree.toHost(nets.prunableWeights(asked))) });
        return scorer.score(asked, batch);
      },
    },
  };
}

describe.each([
  scores.magnitude(),
  scores.diagonal(),
  scores.blockQuadratic({ ranking: "signed" }),
  scores.blockObs({ chunk: 8 }),
  scores.pathExclusion(),
  scores.random(),
])("$name", (scorer) => {
  describe.each([{ rounds: 1 }, { rounds: 4 }, { rounds: 12 }])("rounds: $rounds", ({ rounds }) => {
    test("keeps exactly round(keep p) at every point of the grid, each mask inside the one before", async () => {
      const path = await prune.prune(model, scorer, data, { grid, rounds });
      expect(path.map(({ keep }) => keep)).toEqual(grid);
      expect(path.map(({ mask }) => kept(mask))).toEqual(grid.map((keep) => Math.round(keep * p)));
      path.forEach(({ mask }, i) => {
        masks.checkMask(model.net, mask);
        if (i === 0) return;
        const before = flat(path[i - 1]!.mask);
        expect(flat(mask).every((flag, j) => flag <= before[j]!)).toBe(true);
      });
    });
  });

  test("one shot: no removed weight scores higher than a kept one", async () => {
    const values = scorer.score(model, data);
    const score = flat(tree.toHost(values));
    tree.disposeTree(values);
    for (const { mask } of await prune.prune(model, scorer, data, { grid, rounds: 1 })) {
      const flags = flat(mask);
      const of = (flag: number): number[] => score.filter((_, j) => flags[j] === flag);
      expect(Math.max(...of(0))).toBeLessThanOrEqual(Math.min(...of(1)));
    }
  });

  test("two runs give the same masks", async () => {
    const [a, b] = [1, 2].map(() => prune.prune(model, scorer, data, { grid, rounds: 8 }));
    expect(await a).toEqual(await b);
  });
});

test("one shot scores once, the dense model", async () => {
  const { scorer, calls } = watched(scores.diagonal());
  await prune.prune(model, scorer, data, { grid, rounds: 1 });
  expect(calls.length).toBe(1);
  expect(calls[0]!.model).toBe(model);
});

test("rounds score the masked model anew: each sees exactly the weights that the round before kept", async () => {
  const { scorer, calls } = watched(scores.diagonal());
  const path = await prune.prune(model, scorer, data, { grid, rounds: 12 });
  expect(calls.length).toBe(12);
  const dense = flat(tree.toHost(nets.prunableWeights(model)));
  const schedule = masks.gridSchedule(grid, 3);
  calls.forEach(({ weights, data: seen, model: asked }, round) => {
    expect(seen).toBe(data);
    expect(asked.head).toBe(model.head);
    const alive = weights.filter((w) => w !== 0).length;
    expect(alive).toBe(round === 0 ? p : Math.round(schedule[round - 1]! * p));
    if (round > 0 && round % 3 === 0) {
      const flags = flat(path[round / 3 - 1]!.mask);
      expect(weights.findIndex((w, j) => w !== (flags[j] === 1 ? dense[j] : 0))).toBe(-1);
    }
  });
});

test("a round by hand: threshold of the masked model's scores, what is removed stays removed", async () => {
  const scorer = scores.diagonal();
  const [first, second] = await prune.prune(model, scorer, data, { grid: [0.5, 0.2], rounds: 2 });
  const dense = scorer.score(model, data);
  const order = model.net.prunable;
  expect(first!.mask).toEqual(masks.globalThreshold(tree.toHost(dense), 0.5, { order }));
  const weights = masks.maskedWeights(model, first!.mask);
  const again = scorer.score(nets.withParams(model, weights), data);
  expect(second!.mask).toEqual(masks.globalThreshold(tree.toHost(again), 0.2, { order, previous: first!.mask }));
  tf.dispose([dense, weights, again] as never);
});

test("scoring again matters for the diagonal, not for a criterion that looks at each weight alone", async () => {
  const of = (scorer: Scorer, rounds: number) => prune.prune(model, scorer, data, { grid, rounds });
  for (const scorer of [scores.magnitude(), scores.random()]) expect(await of(scorer, 12)).toEqual(await of(scorer, 1));
  expect(await of(scores.diagonal(), 12)).not.toEqual(await of(scores.diagonal(), 1));
});

test("keeping everything is a mask of ones", async () => {
  const [all] = await prune.prune(model, scores.magnitude(), data, { grid: [1], rounds: 1 });
  expect(all!.mask).toEqual(masks.fullMask(model.net));
});

test("the model's weights stay as they were, and nothing is left behind", async () => {
  const before = flat(tree.toHost(nets.prunableWeights(model)));
  const run = () => prune.prune(model, scores.blockObs(), data, { grid, rounds: 8 });
  await run();
  const [tensors, handles] = [tf.memory().numTensors, backend.nativeHandles()];
  await run();
  expect([tf.memory().numTensors, backend.nativeHandles()]).toEqual([tensors, handles]);
  expect(flat(tree.toHost(nets.prunableWeights(model)))).toEqual(before);
});

describe("progress", () => {
  test("is told of every round, and may stop the loop without leaving anything behind", async () => {
    const seen: number[] = [];
    const progress = { step: (done: number) => void seen.push(done) };
    await prune.prune(model, scores.magnitude(), data, { grid, rounds: 8, progress });
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const tensors = tf.memory().numTensors;
    const stop = {
      step(done: number): void {
        if (done === 3) throw new Error("stopped");
      },
    };
    const stopped = prune.prune(model, scores.diagonal(), data, { grid, rounds: 8, progress: stop });
    await expect(stopped).rejects.toThrow("stopped");
    expect(tf.memory().numTensors).toBe(tensors);
  });

  test("is awaited", async () => {
    const order: string[] = [];
    const { scorer, calls } = watched(scores.magnitude());
    const progress = {
      async step(done: number): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, 5));
        order.push(`${done}:${calls.length}`);
      },
    };
    await prune.prune(model, scorer, data, { grid: [0.5], rounds: 3, progress });
    expect(order).toEqual(["1:1", "2:2", "3:3"]);
  });
});

describe("errors come before any scoring", () => {
  const { scorer, calls } = watched(scores.magnitude());
  test.each([
    [{ grid, rounds: 0 }, /rounds must be 1 or a multiple of the 4 keep ratios of the grid, got 0/],
    [{ grid, rounds: -4 }, /got -4/],
    [{ grid, rounds: 6 }, /got 6/],
    [{ grid, rounds: 1.5 }, /got 1.5/],
    [{ grid, rounds: Number.NaN }, /got NaN/],
    [{ grid, rounds: "many" as never }, /got many/],
    [{ grid: [], rounds: 1 }, /grid must have at least one keep ratio/],
    [{ grid: [0.2, 0.5], rounds: 2 }, /grid must fall strictly/],
    [{ grid: [0], rounds: 1 }, /keep must be in \(0, 1\], got 0/],
    [{ grid: [1.1], rounds: 1 }, /got 1.1/],
  ])("%j", async (options, message) => {
    await expect(prune.prune(model, scorer, data, options)).rejects.toThrow(message);
    expect(calls.length).toBe(0);
  });
});

test("a score that is not a number is an error that names the weight, not a mask", async () => {
  const scorer: Scorer = {
    ...scores.magnitude(),
    score(asked) {
      const [first, ...rest] = Object.entries(tree.mapTree(nets.prunableWeights(asked), (w) => tf.square(w)));
      first![1].dispose();
      return Object.fromEntries([[first![0], tf.fill(model.params[first![0]]!.shape, Number.NaN)], ...rest]);
    },
  };
  const tensors = tf.memory().numTensors;
  const pruned = prune.prune(model, scorer, data, { grid: [0.5], rounds: 1 });
  await expect(pruned).rejects.toThrow(/score must be finite, got NaN at "conv1.weight"\[0\]/);
  expect(tf.memory().numTensors).toBe(tensors);
});
