import { join } from "node:path";
import {
  backend,
  checkpoints,
  curvature,
  datasets,
  heads,
  type Mask,
  type Model,
  masks,
  nets,
  train,
  tree,
} from "secateur";
import { afterAll, describe, expect, test } from "vitest";
import { ownedAsync } from "../support/owned-async";
import { temporaryFolder } from "../support/temporary-folder";
import { reluResidual, tinyModel } from "../support/tiny-nets";
import { barsAndDots, FINETUNE, halfMask, STEPS_AN_EPOCH, trainingModel, trainingNet } from "../support/tiny-training";

const { tf } = backend;
const { finetune } = train;

const folder = temporaryFolder();
const net = trainingNet();
const model: Model = trainingModel();
const mask = halfMask(net);
const set = barsAndDots();
const free = (m: { params: Model["params"]; head?: Model["head"] }): void =>
  tf.dispose([m.params, m.head ?? {}] as never);
afterAll(() => free(model));

/** Removed weights are 0 here, and may be -0 in `maskedWeights`. */
const start = (): string => {
  const weights = masks.maskedWeights(model, mask);
  const host = Object.fromEntries(Object.entries(tree.toHost(weights)).map(([key, w]) => [key, w.map((v) => v + 0)]));
  tree.disposeTree(weights);
  return checkpoints.paramsHash(net, { ...tree.toHost(model.params), ...host });
};
const bytes = (values: Model["params"]) => checkpoints.paramsHash(net, { ...model.params, ...values });
const removedAreZero = (values: Record<string, ArrayLike<number>>): void => {
  for (const key of net.prunable) {
    const left = Array.from(values[key]!).filter((_, j) => mask[key]![j] === 0);
    expect(left.length).toBeGreaterThan(10);
    expect(
      left.every((w) => Object.is(w, 0)),
      key,
    ).toBe(true);
  }
};

describe("finetune", () => {
  test("the loss falls, below what a random mask cost", async () => {
    const head = heads.fitHead(model, set);
    const fitted = { ...model, head };
    const pruned = masks.maskedWeights(model, mask);
    const { x, labels } = datasets.toBatch(set);
    const [dense, before] = [fitted, nets.withParams(fitted, pruned)].map((m) =>
      curvature.lossMeanOverNC(m, { x, labels }),
    ) as [number, number];
    const { params, history, diverged } = await finetune(fitted, mask, set, { ...FINETUNE, epochs: 15, rate: 0.5 });
    const after = curvature.lossMeanOverNC(nets.withParams(fitted, params), { x, labels });
    expect(history.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
    expect(before).toBeGreaterThan(1.5 * dense);
    expect(after).toBeLessThan(dense);
    expect(history.at(-1)!.loss).toBeCloseTo(after, 3);
    expect(diverged).toBe(false);
    tf.dispose([params, head, pruned, x] as never);
  });

  test("removed weights are exactly zero after every step, kept ones move", async () => {
    // one step an epoch: the state file shows the parameters of every step
    const stateFile = join(folder, "every-step.safetensors");
    const seen: Record<string, Float32Array>[] = [];
    const look = (): void => {
      const { tensors } = checkpoints.readSafetensors(stateFile);
      const state = Object.fromEntries([...tensors].map(([name, { data }]) => [name, data as Float32Array]));
      seen.push(Object.fromEntries(net.prunable.map((key) => [key, state[`params/${key}`]!])));
    };
    const options = { ...FINETUNE, epochs: 6, batchSize: set.shape[0], stateFile };
    const { params } = await finetune(model, mask, set, {
      ...options,
      progress: { step: (done) => (done > 1 ? look() : undefined) },
    });
    seen.push(tree.toHost(params) as Record<string, Float32Array>);
    expect(seen).toHaveLength(6);
    seen.forEach((values, k) => {
      removedAreZero(values);
      const before = k === 0 ? tree.toHost(model.params) : seen[k - 1]!;
      for (const key of net.prunable)
        expect(values[key]!.some((w, j) => mask[key]![j] === 1 && w !== before[key]![j])).toBe(true);
    });
    masks.assertKept(nets.withParams(model, params), mask);
    tree.disposeTree(params);
  });

  test("norm statistics, head and the given model are untouched, to the bit", async () => {
    const before = [bytes({}), ...[model.head!.weight, model.head!.bias].map((t) => [...t.dataSync()])];
    const { params } = await finetune(model, mask, set, FINETUNE);
    expect([bytes({}), ...[model.head!.weight, model.head!.bias].map((t) => [...t.dataSync()])]).toEqual(before);
    expect(Object.keys(params).sort()).toEqual(train.learnable(net).sort());
    expect(Object.keys(params).some((key) => key.includes("running_"))).toBe(false);
    for (const key of ["conv1.weight", "conv1.bias", "bn2.weight", "bn2.bias"])
      expect([...params[key]!.dataSync()], `${key} learns`).not.toEqual([...model.params[key]!.dataSync()]);
    tree.disposeTree(params);
  });

  test("no epochs: the masked start", async () => {
    const { params, history } = await finetune(model, mask, set, { ...FINETUNE, epochs: 0 });
    expect(history).toEqual([]);
    expect(bytes(params)).toBe(start());
    tree.disposeTree(params);
  });

  test("the same seed gives the same bytes, another one others", async () => {
    const results = [];
    for (const seed of [1, 1, 2]) results.push(await finetune(model, mask, set, { ...FINETUNE, seed }));
    const [a, b, c] = results.map(({ params }) => bytes(params));
    expect(b).toBe(a);
    expect(c).not.toBe(a);
    tf.dispose(results.map(({ params }) => params) as never);
  });

  test("progress hears of every step; what is left over by whole batches is dropped", async () => {
    const steps: [number, string | undefined][] = [];
    const options = { ...FINETUNE, epochs: 2, batchSize: 10 };
    const { params, history } = await finetune(model, mask, set, {
      ...options,
      progress: { step: (done, note) => void steps.push([done, note]) },
    });
    expect(steps.map(([done]) => done)).toEqual([1, 2, 3, 4]);
    const losses = steps.map(([, note]) => Number(/^loss (\d\.\d{4})$/.exec(note!)![1]));
    history.forEach(({ loss }, e) => {
      expect(loss).toBeCloseTo((losses[2 * e]! + losses[2 * e + 1]!) / 2, 3);
    });
    tree.disposeTree(params);
  });
});

describe("a rate that is too high", () => {
  test.each([1e3, 1e7, 1e15, 1e30, 3e38])("%s: diverged, with finite parameters and finite losses", async (rate) => {
    const { params, history, diverged } = await finetune(model, mask, set, { ...FINETUNE, rate });
    expect(diverged).toBe(true);
    expect(history.length).toBeLessThan(FINETUNE.epochs);
    expect(history.every(({ loss }) => Number.isFinite(loss))).toBe(true);
    const values = tree.toHost(params);
    for (const [key, list] of Object.entries(values)) expect(list.every(Number.isFinite), key).toBe(true);
    removedAreZero(values);
    tree.disposeTree(params);
  });

  test("in the very last step too", async () => {
    const far = { ...model, head: { weight: tf.mul(model.head!.weight, 100), bias: model.head!.bias } };
    const options = { ...FINETUNE, epochs: 1, batchSize: set.shape[0], rate: 3e38 };
    const { params, history, diverged } = await finetune(far as Model, mask, set, options);
    expect({ diverged, history }).toEqual({ diverged: true, history: [] });
    expect(bytes(params), "the parameters before the step").toBe(start());
    tf.dispose([params, far.head.weight] as never);
  });
});

describe("memory is flat", () => {
  const run = async (options: train.FinetuneOptions): Promise<Model["params"]> =>
    (await finetune(model, mask, set, { ...FINETUNE, epochs: 2, ...options })).params;

  test.each([
    ["a run", {}],
    ["a run with a state file", { stateFile: join(folder, "flat.safetensors") }],
    ["a run that diverges", { rate: 1e7 }],
  ])("%s", async (_, options) => {
    tree.disposeTree(await ownedAsync(() => run(options)));
  });

  test("an interrupted run, and the one that goes on", async () => {
    const stateFile = join(folder, "interrupted.safetensors");
    const stop = {
      step(done: number): void {
        if (done === STEPS_AN_EPOCH + 1) throw new Error("interrupted");
      },
    };
    const params = await ownedAsync(async () => {
      await expect(run({ stateFile, progress: stop })).rejects.toThrow("interrupted");
      return run({ stateFile });
    });
    tree.disposeTree(params);
  });

  test("a run that is refused", async () => {
    await ownedAsync(async () => {
      await expect(run({ rate: -1 })).rejects.toThrow(/rate/);
      return [];
    });
  });
});

describe("refuses before it starts", () => {
  const { head, ...headless } = model;
  const other = tinyModel(net, { classes: 4 });
  afterAll(() => free(other));
  const noMask = Object.fromEntries(net.prunable.slice(1).map((key) => [key, mask[key]!]));
  const short: Mask = { ...mask, "conv1.weight": mask["conv1.weight"]!.subarray(1) };

  test.each<[string, Model, Mask, train.FinetuneOptions, RegExp]>([
    ["a model without a head", headless, mask, {}, /bars\/1 has 3 classes, the model's head has none/],
    ["a head for other classes", { ...headless, head: other.head! }, mask, {}, /bars\/1 has 3 classes, .* has 4/],
    ["a mask without a layer", model, noMask, {}, /only in .*conv1\.weight/],
    ["a mask of another size", model, short, {}, /mask "conv1.weight" must have 36 entries/],
    ["half an epoch", model, mask, { epochs: 1.5 }, /epochs must be an integer >= 0, got 1.5/],
    ["negative epochs", model, mask, { epochs: -1 }, /epochs must be an integer >= 0, got -1/],
    ["a batch that is too large", model, mask, { batchSize: 25 }, /batchSize must be 1 to 24 .*bars\/1.*, got 25/],
    ["an empty batch", model, mask, { batchSize: 0 }, /batchSize must be 1 to 24 .*, got 0/],
    ["a rate of 0", model, mask, { rate: 0 }, /rate must be a positive number, got 0/],
    ["a momentum of 1", model, mask, { momentum: 1 }, /momentum must be in \[0, 1\), got 1/],
    ["a negative weight decay", model, mask, { weightDecay: -1 }, /weightDecay must be a number >= 0, got -1/],
    ["milestones in epochs", model, mask, { milestones: [3, 6] }, /milestones must be shares .* got 3/],
    ["a seed of 0.5", model, mask, { seed: 0.5 }, /seed must be an integer, got 0.5/],
  ])("%s", async (_, m, k, options, message) => {
    const steps: number[] = [];
    const before = tf.memory().numTensors;
    const progress = { step: (done: number) => void steps.push(done) };
    await expect(finetune(m, k, set, { ...FINETUNE, ...options, progress })).rejects.toThrow(message);
    expect(steps).toEqual([]);
    expect(tf.memory().numTensors).toBe(before);
  });

  test("images of another size", async () => {
    const larger = tinyModel(reluResidual());
    await expect(finetune(larger, halfMask(larger.net), set, FINETUNE)).rejects.toThrow(
      /relu-residual: images must be \[n, 8, 7, 2\], got \[8, 8, 8, 1\]/,
    );
    free(larger);
  });
});
