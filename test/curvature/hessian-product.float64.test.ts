import { type Batch, backend, curvature, type Model, nets, type Tree, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { hessianProductByDifferences } from "../oracle/hessian";
import "../support/close-tree";
import { owned } from "../support/owned";
import { everyLayer, geluNet, randomTensor, reluResidual, tinyBatch, tinyModel, tinyNets } from "../support/tiny-nets";

const { tf } = backend;
const exact = { rtol: 1e-11 }; // sums of a few thousand float64 products in another order

const losses = [curvature.squaredErrorMeanOverNC(), curvature.crossEntropyMeanOverN({ temperature: 0.7 })];

const randomDirection = (model: Model, seed: number): Tree =>
  tree.mapTree(nets.prunableWeights(model), (w, name) => randomTensor(w.shape, seed, name));

const subtract = (a: Tree, b: Tree): Tree => tree.zipTree(a, b, (x, y) => tf.sub(x, y));

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);
  const v = randomDirection(model, 11);

  describe.each(losses)("$name", (loss) => {
    const hv = curvature.hessianProduct(model, data, v, { loss });

    test("H v is the gradient's difference quotient along v", () => {
      // the quotient: truncation and cancellation of about 1e-11 each, on entries of size 1; see the oracle
      expect(hv).toBeNearTree(hessianProductByDifferences(model, data, v, { loss }), { rtol: 1e-9 });
    });

    test("it is symmetric: u . H v = v . H u", () => {
      const u = randomDirection(model, 12);
      const hu = curvature.hessianProduct(model, data, u, { loss });
      expect(tree.dotTree(u, hv) / tree.dotTree(v, hu)).toBeCloseTo(1, 10);
    });

    test("it is G v plus the residual part", () => {
      const residual = curvature.hessianResidualProduct(model, data, v, { loss });
      expect(subtract(hv, residual)).toBeNearTree(curvature.gnProduct(model, data, v, { loss }), exact);
    });

    test("a budget of one byte changes nothing", () => {
      expect(curvature.hessianProduct(model, data, v, { loss, memoryBytes: 1 })).toBeNearTree(hv, exact);
    });
  });

  test("a direction that leaves weights out is one with zeros there", () => {
    const [name] = model.net.prunable.slice(1);
    const partial = { [name!]: v[name!]! };
    const zeros = tree.mapTree(v, (t, key) => (key === name ? t : tf.zerosLike(t)));
    expect(curvature.hessianProduct(model, data, partial)).toBeNearTree(
      curvature.hessianProduct(model, data, zeros),
      exact,
    );
  });

  test("leaves nothing behind", () => {
    owned(() => curvature.hessianProduct(model, data, v) as never);
    owned(() => curvature.hessianResidualProduct(model, data, v, { memoryBytes: 1 }) as never);
  });
});

describe("the residual part", () => {
  test("vanishes at a perfect fit", () => {
    const model = tinyModel(geluNet());
    const data = tinyBatch(model.net);
    // one image: the head's bias moves its outputs onto the target
    const one: Batch = { x: tf.slice(data.x, [0, 0, 0, 0], [1, ...model.net.input]), labels: data.labels.slice(0, 1) };
    const { weight, bias } = model.head!;
    const miss = tf.sub(curvature.oneHot(one.labels, 3), curvature.predict(model, one.x));
    const fitted = { ...model, head: { weight, bias: tf.add(bias, tf.reshape(miss, [3])) as typeof bias } };
    const v = randomDirection(model, 13);
    const residual = curvature.hessianResidualProduct(fitted, one, v);
    expect(residual).toBeNearTree(
      tree.mapTree(v, (t) => tf.zerosLike(t)),
      { rtol: 0, atol: 1e-13 },
    );
  });

  test("of a ReLU net has nothing within a layer, and something between layers", () => {
    const model = tinyModel(reluResidual());
    const data = tinyBatch(model.net);
    const v = randomDirection(model, 14);
    const [first, ...others] = model.net.prunable;
    const moved = curvature.hessianResidualProduct(model, data, { [first!]: v[first!]! });
    expect(moved[first!]!.dataSync().every((value) => value === 0)).toBe(true);
    expect(Math.max(...others.flatMap((name) => Array.from(moved[name]!.dataSync(), Math.abs)))).toBeGreaterThan(1e-2);
  });
});

describe("errors", () => {
  const model = tinyModel(everyLayer());
  const data = tinyBatch(model.net);

  test.each([
    [
      "a misshapen entry",
      { "conv1.weight": tf.zeros([1]) },
      data,
      /v\['conv1.weight'\] must be \[3,3,2,3\], got \[1\]/,
    ],
    ["a bias", { "conv1.bias": tf.zeros([3]) }, data, /every-layer has no prunable weight 'conv1.bias'/],
    ["labels that do not fit", {}, { ...data, labels: Int32Array.of(0) }, /got 1 for 3/],
  ])("%s is named", (_, v, on, message) => {
    const before = tf.memory().numTensors;
    expect(() => curvature.hessianProduct(model, on, v)).toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
  });
});
