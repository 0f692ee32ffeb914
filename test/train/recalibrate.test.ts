import { backend, curvature, nets, type Tensor4D, train } from "secateur";
import { afterAll, expect, test } from "vitest";
import { owned } from "../support/owned";
import { reluResidual, tinyBatch, tinyModel } from "../support/tiny-nets";

const { tf } = backend;
const model = tinyModel(reluResidual());
const { x } = tinyBatch(model.net);
afterAll(() => tf.dispose([model.params, model.head, x] as never));

test("statistics of the first norm: mean and unbiased variance of what reaches it, whatever they were", () => {
  const statistics = owned(() => ({ ...train.recalibratedNorms(model, x) }));
  expect(Object.keys(statistics).sort()).toEqual(
    Object.keys(model.net.params)
      .filter((key) => /running/.test(key))
      .sort(),
  );
  const reached = tf.tidy(() => curvature.forward(model, x).points.conv1!.y.arraySync()) as number[][][][];
  const [mean, variance] = ["mean", "var"].map((of) => statistics[`bn1.running_${of}`]!.dataSync());
  for (let c = 0; c < mean!.length; c++) {
    const values = reached.flat(2).map((channels) => channels[c]!);
    const m = values.reduce((a, b) => a + b) / values.length;
    const v = values.reduce((a, b) => a + (b - m) ** 2, 0) / (values.length - 1);
    expect(mean![c]).toBeCloseTo(m, 5);
    expect(variance![c]! / v).toBeCloseTo(1, 5);
  }
  tf.dispose(statistics);
});

test("the net with these statistics is the net in training mode, up to the n / (n - 1) of the variances", () => {
  // 40 copies of each image: n / (n - 1) is near 1 in the smallest map
  const many = tf.tile(x, [40, 1, 1, 1]) as Tensor4D;
  const statistics = train.recalibratedNorms(model, many);
  const frozen = curvature.predict(nets.withParams(model, statistics), many);
  const training = tf.tidy(() => tf.keep(curvature.forward(model, many, { training: true }).outputs));
  const dense = curvature.predict(model, many);
  const distance = (a: typeof dense, b: typeof dense): number =>
    tf.tidy(() => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]!);
  expect(distance(frozen, training)).toBeLessThan(0.02 * distance(dense, training));
  tf.dispose([many, statistics, frozen, training, dense] as never);
});

test("one image has no variance: refused", () => {
  const one = tf.slice(x, [0, 0, 0, 0], [1, -1, -1, -1]);
  expect(() => train.recalibratedNorms(model, one)).toThrow(/at least 2 images expected, got 1/);
  one.dispose();
});
