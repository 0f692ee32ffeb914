import { type Batch, backend, curvature, nets, type Tensor, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { FD_RTOL } from "../oracle/differences";
import { gnBlockProducts, gnDiagonal, gnProducts, jacobian, jacobianByDifferences } from "../oracle/jacobian";
import "../support/close-tree";
import { owned } from "../support/owned";
import { everyLayer, randomTensor, tinyBatch, tinyModel, tinyNets } from "../support/tiny-nets";

const { tf } = backend;
const exact = { rtol: 1e-11 }; // sums of a few thousand float64 products in another order

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);
  const weights = nets.prunableWeights(model);
  const rows = jacobian({ model, x: data.x });

  test("the Jacobian's rows are difference quotients", () => {
    const numbers = jacobianByDifferences({ model, x: data.x });
    const flat = (j: typeof rows) =>
      Object.fromEntries(Object.entries(j).map(([name, block]) => [name, block.flatMap((row) => Array.from(row))]));
    expect(flat(rows)).toBeNearTree(flat(numbers), { rtol: FD_RTOL, atol: 1e-9 });
  });

  test("gnDiag is the squared Jacobian", () => {
    expect(curvature.gnDiag(model, data)).toBeNearTree(gnDiagonal(rows), exact);
  });

  test("gnBlockProduct is each layer's block of G times its weights", () => {
    expect(curvature.gnBlockProduct(model, data)).toBeNearTree(gnBlockProducts(rows, weights), exact);
  });

  test("gnDiagAndBlockProduct gives both at once", () => {
    const { diagonal, blockProduct } = curvature.gnDiagAndBlockProduct(model, data);
    expect(diagonal).toBeNearTree(gnDiagonal(rows), exact);
    expect(blockProduct).toBeNearTree(gnBlockProducts(rows, weights), exact);
  });

  test("gnProduct is G v for all layers together", () => {
    const v = tree.mapTree(weights, (t, name) => randomTensor(t.shape, 3, name));
    expect(curvature.gnProduct(model, data, v)).toBeNearTree(gnProducts(rows, v), exact);
  });

  test("the sum of weights times block products is |J_B theta_B|^2: twice the second-order cost of removing the layer", () => {
    const products = curvature.gnBlockProduct(model, data);
    const trace = curvature.forward(model, data.x);
    const sums = tree.mapTree(products, (t, name) => tf.sum(tf.mul(t, weights[name]!)));
    const expected = tree.mapTree(weights, (w, name) => {
      const jv = curvature.jvp(trace, { params: { [name]: w } });
      return tf.mul(tf.sum(tf.square(jv)), 2 / jv.size);
    });
    expect(sums).toBeNearTree(expected, exact);
  });

  // The budget of one byte takes one image and one output at a time: layers with few positions then change from the
  // form over pairs of positions to the form over Jacobians.
  test.each([1, 2e4, 1e5])("a budget of %d bytes changes nothing", (memoryBytes) => {
    const { diagonal, blockProduct } = curvature.gnDiagAndBlockProduct(model, data, { memoryBytes });
    expect(diagonal).toBeNearTree(gnDiagonal(rows), exact);
    expect(blockProduct).toBeNearTree(gnBlockProducts(rows, weights), exact);
    expect(curvature.gnProduct(model, data, weights, { memoryBytes })).toBeNearTree(gnProducts(rows, weights), exact);
  });

  test("the order of the images does not matter", () => {
    const reversed: Batch = { x: tf.reverse(data.x, 0), labels: data.labels.slice().reverse() };
    expect(curvature.gnDiag(model, reversed)).toBeNearTree(gnDiagonal(rows), exact);
    expect(curvature.gnBlockProduct(model, reversed)).toBeNearTree(gnBlockProducts(rows, weights), exact);
  });

  test("one batch of 3 is the mean of batches of 2 and 1, weighted by size", () => {
    const part = (from: number, n: number): Batch => ({
      x: tf.slice(data.x, [from, 0, 0, 0], [n, ...model.net.input]),
      labels: data.labels.slice(from, from + n),
    });
    const joined = (f: (data: Batch) => Record<string, Tensor>) =>
      tree.zipTree(f(part(0, 2)), f(part(2, 1)), (two, one) => tf.div(tf.add(tf.mul(two, 2), one), 3));
    expect(joined((d) => curvature.gnDiag(model, d))).toBeNearTree(gnDiagonal(rows), exact);
    expect(joined((d) => curvature.gnBlockProduct(model, d))).toBeNearTree(gnBlockProducts(rows, weights), exact);
  });

  test("an orthogonal turn of the outputs changes nothing", () => {
    const { weight, bias } = model.head!;
    const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
    const turn = tf.tensor2d([c, -s, 0, s, c, 0, 0, 0, 1], [3, 3]);
    const turned = { ...model, head: { weight: tf.matMul(weight, turn) as typeof weight, bias } };
    expect(curvature.gnDiag(turned, data)).toBeNearTree(gnDiagonal(rows), exact);
  });

  test("two runs give the same bytes", () => {
    const [a, b] = [curvature.gnDiag(model, data), curvature.gnDiag(model, data)];
    expect(a).toBeNearTree(b, { rtol: 0 });
  });

  test("leaves nothing behind and touches nothing that it was given", () => {
    const before = tree.toHost(weights);
    owned(() => curvature.gnDiag(model, data) as never);
    owned(() => curvature.gnDiag(model, data, { method: "rademacher", draws: 2, memoryBytes: 1 }) as never);
    owned(() => curvature.gnDiagAndBlockProduct(model, data) as never);
    owned(() => curvature.gnProduct(model, data, weights, { memoryBytes: 1 }) as never);
    expect(weights).toBeNearTree(before, { rtol: 0 });
  });
});

test("a layer with few positions and many inputs is cut by images when pairs of positions outgrow the budget", () => {
  // 2 x 2 positions, 72 inputs: 10 pairs of 288 numbers and more an image, 12 kB, where three cotangents take 1.5 kB
  const b = new nets.NetBuilder();
  b.globalAvgPool("gap", b.conv2d("conv", b.conv2d("stem", "x", 1, 8, 1, 1), 8, 8, 3, 1));
  const model = tinyModel(b.build("few-positions", [2, 2, 1], 8));
  const data = tinyBatch(model.net);
  const expected = gnDiagonal(jacobian({ model, x: data.x }));
  for (const memoryBytes of [12e3, 25e3, 1e9])
    expect(curvature.gnDiag(model, data, { memoryBytes })).toBeNearTree(expected, exact);
});

describe("random signs", () => {
  const model = tinyModel(everyLayer());
  const data = tinyBatch(model.net);
  const one: Batch = { x: tf.slice(data.x, [0, 0, 0, 0], [1, ...model.net.input]), labels: data.labels.slice(0, 1) };

  test("the mean over all 2^C sign patterns is the exact diagonal and block product", () => {
    // With one image the estimate for seed s is that of one pattern; take one seed for each of the patterns up to sign.
    const patterns = new Map<string, number>();
    for (let seed = 0; patterns.size < 8; seed++) {
      const numbers = backend.stream(seed, "probes");
      patterns.set([numbers.sign(), numbers.sign(), numbers.sign()].join(), seed);
      expect(seed).toBeLessThan(1000);
    }
    const mean = (which: "diagonal" | "blockProduct") =>
      tree.mapTree(nets.prunableWeights(model), (_, name) =>
        tf.div(
          [...patterns.values()]
            .map((seed) => curvature.gnDiagAndBlockProduct(model, one, { method: "rademacher", seed })[which][name]!)
            .reduce((a, b) => tf.add(a, b)),
          8,
        ),
      );
    const { diagonal, blockProduct } = curvature.gnDiagAndBlockProduct(model, one);
    expect(mean("diagonal")).toBeNearTree(diagonal, exact);
    expect(mean("blockProduct")).toBeNearTree(blockProduct, exact);
  });

  test("the images have signs of their own: the estimates of single images do not simply add up", () => {
    const twice: Batch = { x: tf.concat([one.x, one.x], 0), labels: Int32Array.of(0, 0) };
    const draws = Array.from({ length: 12 }, (_, seed) => {
      const [pair, alone] = [twice, one].map((d) => curvature.gnDiag(model, d, { method: "rademacher", seed }));
      return Math.abs(tree.dotTree(pair!, pair!) / tree.dotTree(alone!, alone!) - 1) > 1e-6;
    });
    expect(draws).toContain(true);
  });

  test("draws are averaged: 100 draws are within 5 standard errors of the exact diagonal", () => {
    const draws = 100;
    const rows = jacobian({ model, x: data.x });
    const exactly = gnDiagonal(rows);
    const got = tree.toHost(curvature.gnDiag(model, data, { method: "rademacher", draws, seed: 5 }));
    for (const [name, block] of Object.entries(rows))
      for (let j = 0; j < exactly[name]!.length; j++) {
        // Var = (2 / S) sum_n [(sum_c J^2)^2 - sum_c J^4], times (2 / (N C))^2
        let variance = 0;
        for (let n = 0; n < 3; n++) {
          const squares = block.slice(3 * n, 3 * n + 3).map((row) => row[j]! ** 2);
          const sum = squares.reduce((a, b) => a + b);
          variance += sum ** 2 - squares.reduce((a, b) => a + b * b, 0);
        }
        const error = Math.abs(got[name]![j]! - exactly[name]![j]!);
        expect(error, `${name}[${j}]`).toBeLessThanOrEqual(5 * Math.sqrt((2 / draws) * variance) * (2 / 9) + 1e-12);
      }
  });

  test("the budget does not change which signs are drawn", () => {
    const options = { method: "rademacher", draws: 3, seed: 4 } as const;
    const small = curvature.gnDiag(model, data, { ...options, memoryBytes: 1 });
    expect(small).toBeNearTree(curvature.gnDiag(model, data, options), exact);
  });
});

describe("closed form of one linear layer", () => {
  // f = x W + b, N = 3, C = 2: d f_nc / d W_kc' = x_nk [c = c'], so diag_kc = 2 / (N C) sum_n x_nk^2.
  const b = new nets.NetBuilder();
  b.linear("fc", b.flatten("flat", "x"), 2, 2);
  const net = b.build("linear", [1, 2, 1], 2);
  const identity = { weight: tf.tensor2d([1, 0, 0, 1], [2, 2]), bias: tf.tensor1d([0, 0]) };
  const params = { "fc.weight": tf.tensor2d([1, -2, 0.5, 1], [2, 2]), "fc.bias": tf.tensor1d([0.25, 3]) };
  const data: Batch = { x: tf.tensor4d([1, 2, 0, 1, 3, -1], [3, 1, 2, 1]), labels: Int32Array.of(0, 1, 0) };

  test("diagonal: [[10/3, 10/3], [2, 2]]", () => {
    const expected = { "fc.weight": [10 / 3, 10 / 3, 2, 2] };
    expect(curvature.gnDiag({ net, params, head: identity }, data)).toBeNearTree(expected, { rtol: 1e-14 });
  });

  test("block product H W with H = [[10/3, -1/3], [-1/3, 2]] for each column: the bias does not enter", () => {
    const expected = { "fc.weight": [10 / 3 - 1 / 6, -20 / 3 - 1 / 3, -1 / 3 + 1, 2 / 3 + 2] };
    expect(curvature.gnBlockProduct({ net, params, head: identity }, data)).toBeNearTree(expected, { rtol: 1e-14 });
  });

  test("with a head V: diag_ko = 2 / (N C) sum_n x_nk^2 sum_c V_oc^2", () => {
    const head = { weight: tf.tensor2d([1, 2, 3, -1, 0, 2], [2, 3]), bias: tf.tensor1d([1, 1, 1]) };
    // 2 / (3 * 3) * [10, 6] x [1 + 4 + 9, 1 + 0 + 4]
    const expected = { "fc.weight": [140, 50, 84, 30].map((v) => (2 / 9) * v) };
    expect(curvature.gnDiag({ net, params, head }, data)).toBeNearTree(expected, { rtol: 1e-14 });
  });
});

describe("errors", () => {
  const model = tinyModel(everyLayer());
  const data = tinyBatch(model.net);

  test.each([
    ["no head", () => curvature.gnDiag({ net: model.net, params: model.params }, data), /needs a head/],
    [
      "no image",
      () => curvature.gnDiag(model, { x: tf.zeros([0, 9, 8, 2]), labels: new Int32Array() }),
      /at least one image/,
    ],
    ["no budget", () => curvature.gnDiag(model, data, { memoryBytes: 0 }), /memoryBytes must be positive, got 0/],
    [
      "an unknown method",
      () => curvature.gnDiag(model, data, { method: "fast" as never }),
      /'exact' or 'rademacher', got 'fast'/,
    ],
    [
      "no draw",
      () => curvature.gnDiag(model, data, { method: "rademacher", draws: 0 }),
      /draws must be a positive integer, got 0/,
    ],
    ["half a draw", () => curvature.gnDiag(model, data, { method: "rademacher", draws: 1.5 }), /got 1.5/],
  ])("%s", (_, f, message) => {
    const before = tf.memory().numTensors;
    expect(f).toThrow(message);
    expect(tf.memory().numTensors - before, "tensors left behind").toBeLessThanOrEqual(1); // the test's own empty image
  });
});

test("a weight that does not reach the outputs is named", () => {
  const b = new nets.NetBuilder();
  b.conv2d("lost", "x", 1, 2, 1, 1);
  b.linear("fc", b.globalAvgPool("gap", b.conv2d("conv", "x", 1, 2, 3, 1)), 2, 3);
  const model = tinyModel(b.build("dead-branch", [4, 4, 1], 3));
  expect(() => curvature.gnDiag(model, tinyBatch(model.net))).toThrow(/'lost.weight' does not reach the outputs/);
});
