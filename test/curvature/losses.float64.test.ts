import { type Batch, backend, curvature, type Model, nets, type Tensor2D, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { FD_RTOL, slope } from "../oracle/differences";
import { gnDiagonal, jacobian } from "../oracle/jacobian";
import "../support/close-tree";
import { geluNet, randomTensor, tinyBatch, tinyModel } from "../support/tiny-nets";

const { tf } = backend;
const exact = { rtol: 1e-12 };

const N = 3;
const C = 4;
const labels = Int32Array.of(2, 0, 3);
const outputs = randomTensor([N, C], 1, "outputs") as Tensor2D;
const v = randomTensor([N, C], 2, "v") as Tensor2D;

const losses = [
  curvature.squaredErrorMeanOverNC(),
  curvature.crossEntropyMeanOverN(),
  curvature.crossEntropyMeanOverN({ temperature: 2.5 }),
];

/** [N, C, C] */
const hessians = (loss: curvature.Loss): number[][][] => {
  const columns = Array.from({ length: C }, (_, c) => {
    const unit = tf.mul(tf.ones([N, 1]), tf.oneHot([c], C, 1, 0, "float32")) as Tensor2D;
    return loss.hessianProduct(outputs, unit).arraySync();
  });
  return Array.from({ length: N }, (_, n) => columns.map((column) => column[n]!));
};

describe.each(losses)("$name", (loss) => {
  test("its gradient is the difference quotient of the total", () => {
    const along = slope((t) => tf.scalar(loss.total(tf.add(outputs, tf.mul(v, t)), labels)));
    const expected = tf.sum(tf.mul(loss.gradient(outputs, labels), v));
    expect({ along }).toBeNearTree({ along: expected }, { rtol: FD_RTOL });
  });

  test("its Hessian is the difference quotient of the gradient", () => {
    const expected = slope((t) => loss.gradient(tf.add(outputs, tf.mul(v, t)), labels));
    expect({ hv: loss.hessianProduct(outputs, v) }).toBeNearTree({ hv: expected }, { rtol: FD_RTOL });
  });

  test("the root's columns make up the Hessian, and stacked coefficients go one by one", () => {
    const units = tf.reshape(tf.mul(tf.reshape(tf.eye(C), [C, 1, C]), tf.ones([1, N, 1])), [C * N, C]) as Tensor2D;
    const columns = tf.reshape(loss.root(outputs, units), [C, N, C]).arraySync() as number[][][];
    const product = Array.from({ length: N }, (_, n) =>
      Array.from({ length: C }, (_, i) =>
        Array.from({ length: C }, (_, j) => loss.rootWeight * columns.reduce((s, r) => s + r[n]![i]! * r[n]![j]!, 0)),
      ),
    );
    expect({ h: product.flat(2) }).toBeNearTree({ h: hessians(loss).flat(2) }, exact);
    const alone = loss.root(outputs, tf.slice(units, [N, 0], [N, C]));
    expect({ r: alone.dataSync() }).toBeNearTree({ r: columns[1]!.flat() }, { rtol: 0 });
  });

  test("lossValue and lossGradient are those of the net's outputs, whatever the budget", () => {
    const model = tinyModel(geluNet());
    const data = tinyBatch(model.net);
    const f = curvature.predict(model, data.x);
    const expected = loss.total(f, data.labels) / loss.divisor(3, 3);
    const direction = tree.mapTree(nets.prunableWeights(model), (w, name) => randomTensor(w.shape, 3, name));
    for (const memoryBytes of [1, 1e9]) {
      const result = curvature.lossGradient(model, data, { loss, memoryBytes });
      expect(result.loss / expected).toBeCloseTo(1, 12);
      expect(curvature.lossValue(model, data, { loss, memoryBytes }) / expected).toBeCloseTo(1, 12);
      const quotient = slope((t) => {
        const params = tree.mapTree(direction, (d, name) => tf.add(model.params[name]!, tf.mul(d, t)));
        return tf.scalar(curvature.lossValue(nets.withParams(model, params), data, { loss }));
      }).dataSync()[0]!;
      expect(tree.dotTree(result.gradient, direction) / quotient).toBeCloseTo(1, 7);
    }
  });
});

test("names carry reduction and temperature", () => {
  expect(losses.map(({ name }) => name)).toEqual([
    "squaredErrorMeanOverNC",
    "crossEntropyMeanOverN(T=1)",
    "crossEntropyMeanOverN(T=2.5)",
  ]);
});

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("a temperature of %d is refused", (temperature) => {
  expect(() => curvature.crossEntropyMeanOverN({ temperature })).toThrow(
    `temperature must be positive and finite, got ${temperature}`,
  );
});

test("cross-entropy by hand: f = (log 3, 0), label 1: p = (3/4, 1/4), loss log 4, gradient (3/4, -3/4), Hessian 3/16", () => {
  const f = tf.tensor2d([Math.log(3), 0], [1, 2]);
  const loss = curvature.crossEntropyMeanOverN();
  expect(loss.total(f, Int32Array.of(1))).toBeCloseTo(Math.log(4), 14);
  expect({ g: loss.gradient(f, Int32Array.of(1)) }).toBeNearTree({ g: [3 / 4, -3 / 4] }, exact);
  expect({ h: loss.hessianProduct(f, tf.tensor2d([1, 0], [1, 2])) }).toBeNearTree({ h: [3 / 16, -3 / 16] }, exact);
  // at temperature 2 the logits (2 log 3, 0) have the same p: the gradient is halved, the Hessian quartered
  const warm = curvature.crossEntropyMeanOverN({ temperature: 2 });
  const g = tf.tensor2d([2 * Math.log(3), 0], [1, 2]);
  expect(warm.total(g, Int32Array.of(1))).toBeCloseTo(Math.log(4), 14);
  expect({ g: warm.gradient(g, Int32Array.of(1)) }).toBeNearTree({ g: [3 / 8, -3 / 8] }, exact);
  expect({ h: warm.hessianProduct(g, tf.tensor2d([1, 0], [1, 2])) }).toBeNearTree({ h: [3 / 64, -3 / 64] }, exact);
});

test("large outputs overflow nowhere", () => {
  const f = tf.tensor2d([1e4, -1e4, 0], [1, 3]);
  expect(curvature.crossEntropyMeanOverN().total(f, Int32Array.of(1))).toBeCloseTo(2e4, 8);
});

describe("cross-entropy of one linear layer: H = 1 / (N T^2) sum_n (diag p - p p^T) x_n x_n^T", () => {
  const [K, T] = [2, 1.5];
  const b = new nets.NetBuilder();
  b.linear("fc", b.flatten("flat", "x"), K, C);
  const net = b.build("softmax-regression", [1, K, 1], C);
  const head = { weight: tf.eye(C), bias: tf.zeros([C]) } as Model["head"] & object;
  const params = { "fc.weight": randomTensor([K, C], 4, "w"), "fc.bias": randomTensor([C], 4, "b") };
  const model: Model = { net, params, head };
  const data: Batch = { x: randomTensor([N, 1, K, 1], 4, "x") as Batch["x"], labels };
  const loss = curvature.crossEntropyMeanOverN({ temperature: T });
  const x = data.x.dataSync();
  const p = (tf.softmax(tf.div(curvature.predict(model, data.x), T)) as Tensor2D).arraySync();
  const entry = (k: number, c: number, l: number, d: number): number =>
    labels.reduce(
      (sum, _, n) =>
        sum + (x[n * K + k]! * x[n * K + l]! * (p[n]![c]! * Number(c === d) - p[n]![c]! * p[n]![d]!)) / (N * T ** 2),
      0,
    );
  const times = (w: ArrayLike<number>) => ({
    "fc.weight": Array.from({ length: K * C }, (_, i) =>
      Array.from(w).reduce((s, value, j) => s + value * entry(Math.floor(i / C), i % C, Math.floor(j / C), j % C), 0),
    ),
  });
  const w = params["fc.weight"].dataSync();
  const u = randomTensor([K, C], 5, "u");

  test("hessianProduct and gnProduct", () => {
    expect(curvature.hessianProduct(model, data, { "fc.weight": u }, { loss })).toBeNearTree(
      times(u.dataSync()),
      exact,
    );
    expect(curvature.gnProduct(model, data, { "fc.weight": u }, { loss })).toBeNearTree(times(u.dataSync()), exact);
  });

  test("diagonal and block product, exactly", () => {
    const diagonal = {
      "fc.weight": Array.from(w, (_, i) => entry(Math.floor(i / C), i % C, Math.floor(i / C), i % C)),
    };
    expect(curvature.gnDiag(model, data, { loss })).toBeNearTree(diagonal, exact);
    expect(curvature.gnDiag(model, data, { loss, memoryBytes: 1 })).toBeNearTree(diagonal, exact);
    expect(curvature.gnBlockProduct(model, data, { loss })).toBeNearTree(times(w), exact);
    expect(curvature.hessianBlockProduct(model, data, { loss })).toBeNearTree(times(w), exact);
    expect(curvature.hessianDiag(model, data, { loss }).diagonal).toBeNearTree(diagonal, exact);
  });

  test("inverse of the blocks of one filter", () => {
    const damping = 0.1;
    const inverse = curvature.gnChunkInverseDiagonal(model, data, { loss, damping, chunk: K });
    const lambda =
      (damping / (K * C)) *
      Array.from(w).reduce((s, _, i) => s + entry(Math.floor(i / C), i % C, Math.floor(i / C), i % C), 0);
    const expected = Array.from(w, (_, i) => {
      const [k, c] = [Math.floor(i / C), i % C];
      const [own, other, cross] = [entry(k, c, k, c) + lambda, entry(1 - k, c, 1 - k, c) + lambda, entry(0, c, 1, c)];
      return other / (own * other - cross ** 2);
    });
    expect(inverse).toBeNearTree({ "fc.weight": expected }, exact);
  });

  test("lossChange: predictions are g . d, 1/2 sum d^2 G_jj and 1/2 d G d", () => {
    const change = curvature.lossChange(model, data, { "fc.weight": u }, { loss });
    const d = u.dataSync();
    const half = (h: readonly number[]): number => h.reduce((s, value, i) => s + (value * d[i]!) / 2, 0);
    const gradient = curvature.lossGradient(model, data, { loss }).gradient;
    expect(change.firstOrder).toBeCloseTo(tree.dotTree(gradient, { "fc.weight": u }), 12);
    expect(change.gaussNewton).toBeCloseTo(half(times(d)["fc.weight"]), 12);
    expect(change.diagonal).toBeCloseTo(
      half(Array.from(d, (value, i) => value * entry(Math.floor(i / C), i % C, Math.floor(i / C), i % C))),
      12,
    );
    const moved = nets.withParams(model, { "fc.weight": tf.add(params["fc.weight"], u) });
    expect(change.measured).toBeCloseTo(curvature.lossValue(moved, data, { loss }) - change.loss, 13);
  });
});

test("gnDiag of a GELU net under cross-entropy is sum_n J_n^T (d2l/df2) J_n from the whole Jacobian", () => {
  const model = tinyModel(geluNet());
  const data = tinyBatch(model.net);
  const loss = curvature.crossEntropyMeanOverN({ temperature: 0.8 });
  const rows = jacobian({ model, x: data.x });
  const p = (tf.softmax(tf.div(curvature.predict(model, data.x), 0.8)) as Tensor2D).arraySync();
  const expected = Object.fromEntries(
    Object.entries(rows).map(([name, block]) => [
      name,
      block[0]!.map((_, j) => {
        let sum = 0;
        for (let n = 0; n < 3; n++) {
          const jn = block.slice(3 * n, 3 * n + 3).map((row) => row[j]!);
          const mean = jn.reduce((s, value, c) => s + p[n]![c]! * value, 0);
          sum += jn.reduce((s, value, c) => s + p[n]![c]! * value ** 2, 0) - mean ** 2;
        }
        return sum / (3 * 0.8 ** 2);
      }),
    ]),
  );
  expect(curvature.gnDiag(model, data, { loss })).toBeNearTree(expected, { rtol: 1e-11 });
  expect(expected).not.toEqual(gnDiagonal(rows));
});
