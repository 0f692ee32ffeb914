import { type Batch, backend, curvature, nets, type Tree, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { entrySlope, FD_RTOL } from "../oracle/differences";
import "../support/close-tree";
import { owned } from "../support/owned";
import { randomTensor, reluResidual, tinyBatch, tinyModel, tinyNets } from "../support/tiny-nets";

const { tf } = backend;

test("oneHot refuses labels outside the classes, naming the image", () => {
  expect(curvature.oneHot(Int32Array.of(2, 0), 3).arraySync()).toEqual([
    [0, 0, 1],
    [1, 0, 0],
  ]);
  expect(() => curvature.oneHot(Int32Array.of(0, 3), 3)).toThrow("oneHot: label 1 must be 0 to 2, got 3");
  expect(() => curvature.oneHot(Int32Array.of(-1), 3)).toThrow("oneHot: label 0 must be 0 to 2, got -1");
});

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);
  const weights = nets.prunableWeights(model);

  test("the loss is the mean over images and outputs, whatever the budget", () => {
    const f = curvature.predict(model, data.x).arraySync();
    let sum = 0;
    f.forEach((row, n) => {
      row.forEach((value, c) => {
        sum += (value - Number(data.labels[n] === c)) ** 2;
      });
    });
    for (const memoryBytes of [1, 1e9])
      expect(curvature.lossMeanOverNC(model, data, { memoryBytes }) / (sum / 9)).toBeCloseTo(1, 12);
  });

  test("its gradient is the difference quotient, whatever the budget", () => {
    const expected = Object.fromEntries(
      model.net.prunable.map((name) => [
        name,
        Float64Array.from(
          { length: model.params[name]!.size },
          (_, j) =>
            entrySlope(model.params, name, j, (params) =>
              tf.scalar(curvature.lossMeanOverNC({ ...model, params }, data)),
            )[0]!,
        ),
      ]),
    );
    for (const memoryBytes of [1, 1e9]) {
      const { loss, gradient } = curvature.lossGradient(model, data, { memoryBytes });
      expect(gradient).toBeNearTree(expected, { rtol: FD_RTOL, atol: 1e-9 });
      expect(loss / curvature.lossMeanOverNC(model, data)).toBeCloseTo(1, 12);
    }
  });

  test("a small step: predictions are the terms of the Taylor series", () => {
    const step = tree.mapTree(weights, (w, name) => tf.mul(randomTensor(w.shape, 9, name), 1e-4));
    const change = curvature.lossChange(model, data, step);
    const { gradient } = curvature.lossGradient(model, data);
    const gv = curvature.gnProduct(model, data, step);
    const squares = tree.mapTree(step, (d) => tf.square(d));
    expect(change.firstOrder).toBeCloseTo(tree.dotTree(gradient, step), 12);
    expect(change.gaussNewton / (tree.dotTree(step, gv) / 2)).toBeCloseTo(1, 10);
    expect(change.diagonal / (tree.dotTree(curvature.gnDiag(model, data), squares) / 2)).toBeCloseTo(1, 10);
    const moved = { ...model, params: { ...model.params, ...tree.zipTree(weights, step, (w, d) => tf.add(w, d)) } };
    expect(change.measured).toBeCloseTo(curvature.lossMeanOverNC(moved, data) - change.loss, 14);
    // what first order misses is of second order: half the step, a quarter of it
    const half = curvature.lossChange(
      model,
      data,
      tree.mapTree(step, (d) => tf.div(d, 2)),
    );
    expect((change.measured - change.firstOrder) / (half.measured - half.firstOrder)).toBeCloseTo(4, 1);
  });

  test("several steps at once give what each gives alone, also from a generator that disposes them", () => {
    const steps = [0.1, -0.3].map((t) => tree.mapTree(weights, (w, name) => tf.mul(randomTensor(w.shape, 9, name), t)));
    const alone = steps.map((step) => curvature.lossChange(model, data, step));
    function* lent(): Generator<typeof weights> {
      for (const step of steps) {
        yield step;
        tree.disposeTree(step);
      }
    }
    expect(curvature.lossChanges(model, data, lent())).toEqual(alone);
    const again = tree.mapTree(weights, (w, name) => tf.mul(randomTensor(w.shape, 9, name), 0.1));
    const expansion = curvature.lossExpansion(model, data);
    for (let i = 0; i < 2; i++) expect(curvature.lossChanges(model, data, [again], { expansion })).toEqual([alone[0]]);
    tf.dispose([expansion, again] as never);
  });

  test("along a step: from the loss itself to the measured change, and straight for first order", () => {
    const step = tree.mapTree(weights, (w, name) => randomTensor(w.shape, 9, name));
    const { loss, measured, firstOrder } = curvature.lossChange(model, data, step);
    const [start, near, end] = curvature.lossAlong(model, data, step, [0, 1e-7, 1]);
    expect(start).toBe(loss);
    expect(end! - loss).toBe(measured);
    expect((near! - loss) / 1e-7 / firstOrder).toBeCloseTo(1, 4);
  });

  test("leaves nothing behind", () => {
    const before = tf.memory().numTensors;
    curvature.lossMeanOverNC(model, data);
    curvature.lossChange(model, data, weights);
    curvature.lossAlong(model, data, weights, [0.5]);
    expect(() => curvature.lossAlong(model, data, weights, [1, Number.NaN])).toThrow(/finite numbers, got NaN/);
    expect(tf.memory().numTensors).toBe(before);
    owned(() => curvature.lossGradient(model, data).gradient as never);
  });
});

describe("one layer of a ReLU net", () => {
  const model = tinyModel(reluResidual());
  const data = tinyBatch(model.net);

  test("no term beyond the second order: g . d + d^T G d / 2 is the measured change until a ReLU switches", () => {
    for (const name of model.net.prunable) {
      // a step so small that no unit switches; the terms beyond would show at once, for they are relative to the second
      const step = tree.mapTree(nets.prunableWeights(model), (w, key) =>
        key === name ? tf.mul(randomTensor(w.shape, 9, name), 1e-4) : tf.zerosLike(w),
      );
      const { measured, firstOrder, gaussNewton } = curvature.lossChange(model, data, step);
      // 1e-5: the change itself is a difference of two losses of size 1, good to 1e-16, and the second order is 1e-8 to 1e-10
      expect(Math.abs(measured - firstOrder - gaussNewton) / gaussNewton, name).toBeLessThan(1e-5);
    }
  });

  test("the last linear layer: exact for any step, for instance removing it whole", () => {
    const step = tree.mapTree(nets.prunableWeights(model), (w, key) =>
      key === "fc.weight" ? tf.neg(w) : tf.zerosLike(w),
    );
    const { measured, firstOrder, gaussNewton } = curvature.lossChange(model, data, step);
    expect((firstOrder + gaussNewton) / measured).toBeCloseTo(1, 10);
    const products = curvature.gnBlockProduct(model, data);
    const half = tf.sum(tf.mul(products["fc.weight"]!, model.params["fc.weight"]!)).dataSync()[0]! / 2;
    expect(half / gaussNewton).toBeCloseTo(1, 10);
  });
});

describe("several steps", () => {
  const model = tinyModel(reluResidual());
  const data = tinyBatch(model.net);
  const stepOf = (seed: number): Tree =>
    tree.mapTree(nets.prunableWeights(model), (w, name) =>
      tf.tidy(() => tf.mul(randomTensor(w.shape, seed, name), 0.1)),
    );

  test("lossChanges is lossChange of each, one at a time: a generator may dispose what it gave", () => {
    function* steps() {
      for (const seed of [1, 2, 3]) {
        const step = stepOf(seed);
        yield step;
        tree.disposeTree(step);
      }
    }
    curvature.lossChanges(model, data, steps());
    const before = tf.memory().numTensors;
    const got = curvature.lossChanges(model, data, steps());
    expect(tf.memory().numTensors).toBe(before);
    expect(got).toEqual([1, 2, 3].map((seed) => curvature.lossChange(model, data, stepOf(seed))));
    expect(curvature.lossChanges(model, data, [])).toEqual([]);
  });

  test("lossAlong starts at the loss and ends at the measured change; outside 0 to 1 it goes on", () => {
    const step = stepOf(4);
    const { loss, measured } = curvature.lossChange(model, data, step);
    const [start, end, back] = curvature.lossAlong(model, data, step, [0, 1, -1]);
    const mirrored = tree.mapTree(step, (d) => tf.neg(d));
    expect(start).toBe(curvature.lossMeanOverNC(model, data));
    expect(end! - loss).toBeCloseTo(measured, 14);
    expect(back! - loss).toBeCloseTo(curvature.lossChange(model, data, mirrored).measured, 14);
  });

  test("lossAlong the last linear layer is the parabola L + t g.d + t^2 d G d / 2", () => {
    const step = tree.mapTree(stepOf(5), (d, name) => (name === "fc.weight" ? tf.mul(d, 10) : tf.zerosLike(d)));
    const { loss, firstOrder, gaussNewton } = curvature.lossChange(model, data, step);
    const shares = [-2, -0.5, 0.25, 1, 3];
    expect({ loss: curvature.lossAlong(model, data, step, shares) }).toBeNearTree(
      { loss: shares.map((t) => loss + t * firstOrder + t * t * gaussNewton) },
      { rtol: 1e-12 },
    );
  });

  test("lossAlong refuses shares that are not numbers, and steps for unknown or misshapen weights", () => {
    expect(() => curvature.lossAlong(model, data, stepOf(1), [0, Number.NaN])).toThrow(/finite numbers, got NaN/);
    expect(() => curvature.lossAlong(model, data, { nowhere: tf.zeros([1]) }, [1])).toThrow(/'nowhere'/);
    expect(() => curvature.lossAlong(model, data, { "fc.weight": tf.zeros([1]) }, [1])).toThrow(/'fc.weight' is \[1\]/);
  });
});

test("a batch whose labels do not match its images is refused", () => {
  const model = tinyModel(reluResidual());
  const data: Batch = { ...tinyBatch(model.net), labels: Int32Array.of(0) };
  expect(() => curvature.lossMeanOverNC(model, data)).toThrow(/as many labels as images .*got 1 for 3/);
  expect(() => curvature.lossGradient(model, data)).toThrow(/got 1 for 3/);
});
