import { backend, checkpoints, curvature, datasets, type Model, type Net, nets, train, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { ownedAsync } from "../support/owned-async";
import { reluResidual } from "../support/tiny-nets";
import { barsAndDots, PRETRAIN, STEPS_AN_EPOCH, trainingNet } from "../support/tiny-training";

const { tf } = backend;
const { pretrainSupervised } = train;

const net = trainingNet();
const set = barsAndDots();
const hash = (params: Model["params"]): string => checkpoints.paramsHash(net, params);

test("the loss falls, the classes are learnt, and the frozen backbone tells them apart", async () => {
  const { params, history } = await pretrainSupervised(net, set, { ...PRETRAIN, epochs: 15 });
  expect(history.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
  expect(history[0]!.loss).toBeGreaterThan(Math.log(3) / 2);
  expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss / 4);
  expect(history.at(-1)!.trainAccuracy).toBeGreaterThan(90);
  expect(history.every(({ seconds }) => seconds > 0)).toBe(true);
  expect(Object.keys(params)).toEqual(Object.keys(net.params));

  // running statistics are those of the images, roughly: what is frozen works on images that were not seen
  const { x, labels } = datasets.toBatch(barsAndDots(24, 2));
  const features = curvature.predict({ net, params }, x).arraySync();
  const centre = (label: number): number[] =>
    features[0]!.map((_, f) => {
      const own = features.filter((_, i) => labels[i] === label).map((row) => row[f]!);
      return own.reduce((a, b) => a + b, 0) / own.length;
    });
  const centres = [0, 1, 2].map(centre);
  const nearest = features.map((row) => {
    const distances = centres.map((c) => c.reduce((sum, v, f) => sum + (v - row[f]!) ** 2, 0));
    return distances.indexOf(Math.min(...distances));
  });
  expect(nearest.filter((guess, i) => guess === labels[i]).length).toBeGreaterThan(20);
  tf.dispose([params, x] as never);
});

test("running statistics move by a tenth of the way to the first batch's mean and unbiased variance", async () => {
  const still = {
    ...PRETRAIN,
    epochs: 1,
    batchSize: 24,
    warmup: 0,
    rate: 1e-12,
    views: { rotation: 0, scale: 0, aspect: 0, shift: 0 },
  };
  const { params } = await pretrainSupervised(net, set, still);
  const start = nets.initialise(net, still.seed);
  const { x } = datasets.toBatch(set);
  const [mean, variance] = tf.tidy(() => {
    const y = tf.conv2d(x, start["conv1.weight"] as never, 1, "same");
    const { mean, variance } = tf.moments(y, [0, 1, 2]);
    const count = y.size / 4;
    return [[...mean.dataSync()], [...variance.dataSync()].map((v) => (v * count) / (count - 1))];
  }) as never as [number[], number[]];
  [...params["bn1.running_mean"]!.dataSync()].forEach((value, c) => {
    expect(value).toBeCloseTo(0.1 * mean[c]!, 6);
  });
  [...params["bn1.running_var"]!.dataSync()].forEach((value, c) => {
    expect(value).toBeCloseTo(0.9 + 0.1 * variance[c]!, 6);
  });
  tf.dispose([params, start, x] as never);
});

test("the same settings give the same bytes, another seed others", async () => {
  const results = [];
  for (const seed of [5, 5, 6]) results.push(await pretrainSupervised(net, set, { ...PRETRAIN, epochs: 1, seed }));
  const [a, b, c] = results.map(({ params }) => hash(params));
  expect(b).toBe(a);
  expect(c).not.toBe(a);
  tf.dispose(results.map(({ params }) => params) as never);
});

test("evaluate sees the backbone after every epoch, and its numbers are kept", async () => {
  const seen: string[] = [];
  const { params, history } = await pretrainSupervised(
    net,
    set,
    { ...PRETRAIN, epochs: 3 },
    {
      evaluate(model, epoch) {
        expect(Object.keys(model.params)).toEqual(Object.keys(net.params));
        expect(model.head).toBeUndefined();
        seen.push(hash(model.params));
        return { square: epoch ** 2 };
      },
    },
  );
  expect(new Set(seen).size).toBe(3);
  expect(seen.at(-1)).toBe(hash(params));
  expect(history.map(({ evaluation }) => evaluation.square)).toEqual([1, 4, 9]);
  tree.disposeTree(params);
});

describe("memory is flat", () => {
  test("a run", async () => {
    const run = async () => (await pretrainSupervised(net, set, { ...PRETRAIN, epochs: 2 })).params;
    tree.disposeTree(await ownedAsync(run));
  });

  test("a run that is interrupted, by progress or by evaluate", async () => {
    const stop = () => {
      throw new Error("interrupted");
    };
    const step = (done: number): void => {
      if (done === STEPS_AN_EPOCH + 1) stop();
    };
    await ownedAsync(async () => {
      await expect(pretrainSupervised(net, set, PRETRAIN, { progress: { step } })).rejects.toThrow("interrupted");
      await expect(pretrainSupervised(net, set, PRETRAIN, { evaluate: stop })).rejects.toThrow("interrupted");
      return [];
    });
  });

  test("a run whose loss is not finite any more: an error that says where", async () => {
    await ownedAsync(async () => {
      await expect(pretrainSupervised(net, set, { ...PRETRAIN, rate: 1e30, warmup: 0 })).rejects.toThrow(
        /the loss is (NaN|Infinity) in epoch \d+, step \d+: lower the rate/,
      );
      return [];
    });
  });
});

test.each<[string, Net, Partial<train.PretrainSettings>, RegExp]>([
  ["no epochs", net, { epochs: 0 }, /epochs must be a positive integer, got 0/],
  ["a batch of one", net, { batchSize: 1 }, /batchSize must be 2 to 24, got 1/],
  ["a batch that is too large", net, { batchSize: 25 }, /batchSize must be 2 to 24, got 25/],
  ["a negative rate", net, { rate: -1 }, /rate must be a positive number, got -1/],
  ["a warm-up of everything", net, { warmup: 1 }, /warmup must be in \[0, 1\), got 1/],
  ["a momentum of 2", net, { momentum: 2 }, /momentum must be in \[0, 1\), got 2/],
  ["a weight decay that is no number", net, { weightDecay: Number.NaN }, /weightDecay must be a number >= 0, got NaN/],
  ["a seed of 0.5", net, { seed: 0.5 }, /seed must be an integer, got 0.5/],
  ["a negative shift", net, { views: { ...train.LIGHT_VIEWS, shift: -1 } }, /views: shift must be .* got -1/],
  ["a net for other images", reluResidual(), {}, /bars\/1: views .* of the net's size \[8,7,2\], got \[24,8,8,1\]/],
])("refuses %s before it starts", async (_, other, settings, message) => {
  const before = tf.memory().numTensors;
  const step = () => expect.fail("no step expected");
  await expect(pretrainSupervised(other, set, { ...PRETRAIN, ...settings }, { progress: { step } })).rejects.toThrow(
    message,
  );
  expect(tf.memory().numTensors).toBe(before);
});
