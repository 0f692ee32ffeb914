import { backend, curvature, datasets, heads, type ImageSet, type Model, type Net } from "secateur";
import { afterAll, describe, expect, test } from "vitest";
import { owned } from "../support/owned";
import { everyLayer, tinyModel } from "../support/tiny-nets";

const { tf } = backend;
const { accuracy, accuracyOf, featuresOf, fitHead, fitRidge, headOf } = heads;

const net: Net = everyLayer();
const full = tinyModel(net, { classes: 3 });
const model: Model = { net, params: full.params };
const set = images(23, 3);
afterAll(() => tf.dispose([full.params, full.head] as never));

function images(n: number, classes: number, name = "noise"): ImageSet {
  const numbers = backend.stream(5, name, n);
  const shape = [n, ...net.input] as const;
  const pixels = Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => numbers.integer(16));
  const normalise = { levels: 15, mean: [0.5, 0.4], std: [0.3, 0.2] };
  return datasets.imageSet({
    name,
    pixels,
    shape,
    labels: Array.from({ length: n }, (_, i) => i % classes),
    classes,
    normalise,
  });
}

describe("accuracy", () => {
  const outputs = Float32Array.of(1, 0, 0, /* */ 0, 2, 1, /* */ 3, 3, 0, /* */ -3, -2, -1);

  test("percent of rows whose highest output is at the label; of equals the first", () => {
    expect(accuracy(outputs, [0, 1, 0, 2])).toBe(100);
    expect(accuracy(outputs, [0, 2, 1, 2])).toBe(50);
    expect(accuracy(Float64Array.from(outputs), [2, 2, 2, 0])).toBe(0);
  });

  test("takes a tensor and leaves it alone", () => {
    const tensor = tf.tensor2d(outputs, [4, 3]);
    expect(accuracy(tensor, [0, 1, 0, 0])).toBe(75);
    expect(tensor.isDisposed).toBe(false);
    tensor.dispose();
  });

  test("refuses outputs that are not finite, or too few", () => {
    expect(() => accuracy(Float32Array.of(1, 2, 0, Number.NaN), [0, 1])).toThrow(/got NaN at image 1, class 1/);
    expect(() => accuracy(outputs, [0, 1, 0, 2, 1])).toThrow(/\[n, classes\] for 5 labels, got 12 values/);
    expect(() => accuracy(outputs, [])).toThrow(/0 labels/);
  });
});

describe("featuresOf", () => {
  test("the features of the whole set at once, whatever the batch size and without the head", () => {
    const { x } = datasets.toBatch(set);
    const whole = tf.tidy(() => curvature.forward(model, x).features.dataSync());
    for (const batchSize of [1, 7, 23, 100]) {
      const features = featuresOf(full, set, { batchSize });
      expect(features.length).toBe(23 * net.features);
      features.forEach((value, i) => {
        expect(Math.abs(value - whole[i]!)).toBeLessThan(1e-5 * Math.max(1, Math.abs(whole[i]!)));
      });
    }
    x.dispose();
  });

  test("leaves nothing on the device", () => {
    owned(() => {
      featuresOf(model, set, { batchSize: 10 });
      return [];
    });
  });
});

describe("fitHead", () => {
  test("is the ridge fit of the features, as float32 tensors", () => {
    const expected = fitRidge(featuresOf(model, set), set.labels, { classes: 3, alpha: 2 });
    const head = owned(() => ({ ...fitHead(model, set, { alpha: 2 }) }));
    expect(head.weight.shape).toEqual([net.features, 3]);
    expect([...head.weight.dataSync()]).toEqual([...new Float32Array(expected.weight)]);
    expect([...head.bias.dataSync()]).toEqual([...new Float32Array(expected.bias)]);
    tf.dispose(head);
  });

  test("cached by backbone, set and alpha: fitted once each, tensors of one's own every time", () => {
    const cache: heads.HeadCache = new Map();
    let reads = 0;
    const watched: ImageSet = {
      ...set,
      get pixels() {
        reads++;
        return set.pixels;
      },
    };
    const headFor = (m: Model, s: ImageSet, alpha = 1) => fitHead(m, s, { alpha, cache });
    const first = headFor(model, watched);
    expect(reads).toBeGreaterThan(0);
    reads = 0;
    const second = headFor({ ...model }, watched);
    expect(reads, "the images are not looked at again").toBe(0);
    expect([...second.weight.dataSync()]).toEqual([...first.weight.dataSync()]);
    first.weight.dispose();
    expect(second.weight.isDisposed).toBe(false);

    const others = [headFor(model, set, 2), headFor(model, images(20, 3, "other"))];
    const [name] = net.prunable as [string, ...string[]];
    const changed = tf.mul(model.params[name]!, 1.5);
    others.push(headFor({ net, params: { ...model.params, [name]: changed } }, set));
    expect(cache.size).toBe(4);
    tf.dispose([first, second, ...others, changed] as never);
  });
});

describe("accuracyOf", () => {
  test("is the accuracy of all outputs, streamed", () => {
    const { x } = datasets.toBatch(set);
    const outputs = curvature.predict(full, x);
    for (const batchSize of [4, 23]) expect(accuracyOf(full, set, { batchSize })).toBe(accuracy(outputs, set.labels));
    tf.dispose([x, outputs]);
  });

  test("equals the float64 head on the same features", () => {
    const fit = fitRidge(featuresOf(model, set), set.labels, { classes: 3 });
    const head = headOf(fit);
    expect(accuracyOf({ ...model, head }, set)).toBe(
      accuracy(heads.applyRidge(fit, featuresOf(model, set)), set.labels),
    );
    tf.dispose(head as never);
  });

  test("leaves nothing on the device, also when it fails", () => {
    owned(() => {
      accuracyOf(full, set, { batchSize: 10 });
      return [];
    });
    const head = { ...full.head!, bias: tf.tensor1d([0, Number.NaN, 0]) };
    const before = tf.memory().numTensors;
    expect(() => accuracyOf({ ...full, head }, set)).toThrow(/finite, got NaN at image 0, class 1/);
    expect(tf.memory().numTensors).toBe(before);
    head.bias.dispose();
  });

  test("names the image of the whole set, not of the batch", () => {
    const size = net.input.reduce((a, b) => a * b, 1);
    const huge = {
      ...set,
      pixels: set.pixels.map((_, i) => (i < 11 * size ? 0 : 15)),
      normalise: { levels: 15, mean: [0, 0], std: [1e-38, 1e-38] },
    };
    expect(() => accuracyOf(full, huge, { batchSize: 5 })).toThrow(/at image 11, class 0/);
  });

  test("refuses a model without a head, or with one for other classes", () => {
    expect(() => accuracyOf(model, set)).toThrow(/noise has 3 classes, the model's head has none/);
    expect(() => accuracyOf(full, images(8, 4))).toThrow(/noise has 4 classes, the model's head has 3/);
    expect(() => accuracyOf(full, set, { batchSize: 0 })).toThrow(/size must be an integer >= 1, got 0/);
  });
});
