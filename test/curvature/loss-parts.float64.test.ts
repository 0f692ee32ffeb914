import { type Batch, backend, curvature, type Model, nets, type Tree, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { dot } from "../oracle/dense";
import { jacobian, scale } from "../oracle/jacobian";
import { owned } from "../support/owned";
import { geluNet, randomTensor, reluResidual, tinyBatch, tinyModel, tinyNets } from "../support/tiny-nets";

const { tf } = backend;

const stepOf = (model: Model, size: number, seed = 7, keys = model.net.prunable): Tree =>
  Object.fromEntries(
    keys.map((key) => [key, tf.mul(randomTensor(model.net.params[key]!.shape, seed, "step", key), size)]),
  );
const near = (got: number, expected: number, rtol = 1e-10, atol = 0): void =>
  expect(Math.abs(got - expected), `${got}, expected ${expected}`).toBeLessThanOrEqual(
    rtol * Math.abs(expected) + atol,
  );
const losses = [curvature.squaredErrorMeanOverNC(), curvature.crossEntropyMeanOverN({ temperature: 1.5 })];

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);
  const steps = [stepOf(model, 0.05), stepOf(model, 0.02, 8)];
  const first = steps[0]!;

  test.each(losses)(
    "$name: the parts add up to the change, their second orders to those of lossChange and H",
    (loss) => {
      const parts = curvature.lossParts(model, data, steps, { loss });
      parts.forEach((part, i) => {
        const change = curvature.lossChange(model, data, steps[i]!, { loss });
        near(part.loss, change.loss);
        near(part.measured, change.measured);
        near(part.firstOrder, change.firstOrder);
        near(part.ownLayer + part.crossLayer, change.gaussNewton);
        const hessian = tree.dotTree(steps[i]!, curvature.hessianProduct(model, data, steps[i]!, { loss })) / 2;
        near(part.ownLayer + part.crossLayer + part.residualCurvature, hessian);
        const sum = part.firstOrder + part.ownLayer + part.crossLayer + part.residualCurvature + part.remainder;
        near(sum, part.measured, 1e-12, 1e-15);
      });
    },
  );

  test("layer by layer and between layers: the squared error's blocks by brute force", () => {
    const [part] = curvature.lossParts(model, data, [first]);
    const rows = jacobian({ model, x: data.x });
    const { gradient } = curvature.lossGradient(model, data);
    const slopes = model.net.prunable.map((key) => rows[key]!.map((row) => dot(row, first[key]!.dataSync())));
    expect(Object.keys(part!.layers)).toEqual(model.net.prunable);
    slopes.forEach((u, a) => {
      const key = model.net.prunable[a]!;
      near(part!.layers[key]!.ownLayer, (scale(rows) / 2) * dot(u, u));
      near(part!.layers[key]!.firstOrder, dot(gradient[key]!.dataSync(), first[key]!.dataSync()), 1e-9);
      slopes.forEach((v, b) => {
        near(part!.coupling[a]![b]!, (scale(rows) / 2) * dot(u, v), 1e-9, 1e-15);
      });
    });
  });

  test("the memory budget and the company of other steps change nothing", () => {
    const alone = curvature.lossParts(model, data, [first], { memoryBytes: 1 })[0]!;
    const together = curvature.lossParts(model, data, steps)[0]!;
    for (const key of ["firstOrder", "ownLayer", "crossLayer", "residualCurvature", "measured"] as const)
      near(alone[key], together[key], 1e-10);
  });
});

describe("ReLU net", () => {
  const model = tinyModel(reluResidual());
  const data = tinyBatch(model.net);

  const pattern = (params: Tree): string => {
    const { points } = curvature.forward({ ...model, params: { ...model.params, ...params } }, data.x);
    const signs = model.net.nodes.filter(({ kind }) => kind === "relu").map(({ id }) => tf.greater(points[id]!.y, 0));
    return signs.map((t) => t.dataSync().join("")).join("|");
  };
  const moved = (step: Tree): Tree => tree.mapTree(step, (d, key) => tf.add(model.params[key]!, d));

  test.each(model.net.prunable)(
    "a small step inside %s: nothing beyond first order and the layer's own form",
    (key) => {
      const step = stepOf(model, 1e-3, 5, [key]);
      expect(pattern(moved(step)), "the step switches no ReLU").toBe(pattern({}));
      const [part] = curvature.lossParts(model, data, [step]);
      expect(part!.crossLayer).toBe(0);
      expect(Math.abs(part!.residualCurvature)).toBeLessThan(1e-14);
      expect(Math.abs(part!.ownLayer)).toBeGreaterThan(1e-8);
      expect(Math.abs(part!.remainder)).toBeLessThan(1e-10 * Math.abs(part!.measured));
    },
  );

  test("a large step inside one layer switches ReLUs, and that is the remainder", () => {
    const step = stepOf(model, 1, 5, ["conv1.weight"]);
    expect(pattern(moved(step))).not.toBe(pattern({}));
    const [part] = curvature.lossParts(model, data, [step]);
    expect(part!.residualCurvature).toBeCloseTo(0, 14);
    expect(Math.abs(part!.remainder)).toBeGreaterThan(0.01 * Math.abs(part!.ownLayer));
  });

  test("layers together: without a switch the remainder is of third order", () => {
    const parts = [1e-3, 0.5e-3].map((size) => {
      const step = stepOf(model, size);
      expect(pattern(moved(step))).toBe(pattern({}));
      return curvature.lossParts(model, data, [step])[0]!;
    });
    expect(Math.abs(parts[0]!.residualCurvature)).toBeGreaterThan(1e-9);
    near(parts[0]!.remainder / parts[1]!.remainder, 8, 0.02);
  });
});

test("GELU net: even inside one layer the outputs curve, and the remainder is of third order", () => {
  const model = tinyModel(geluNet());
  const data = tinyBatch(model.net);
  const parts = [4e-4, 2e-4].map((size) => {
    const step = stepOf(model, size, 5, [model.net.prunable[0]!]);
    return curvature.lossParts(model, data, [step])[0]!;
  });
  expect(Math.abs(parts[0]!.residualCurvature)).toBeGreaterThan(0.01 * parts[0]!.ownLayer);
  near(parts[0]!.remainder / parts[1]!.remainder, 8, 0.02);
});

test("worked linear layer: removing all four weights, 17/4 = -35/6 + 121/12", () => {
  // f = X W, Y = [[1, 0], [0, 1], [2, -5]]; the targets enter by two more pixels that rows 3 and 4 of W take off
  const b = new nets.NetBuilder();
  b.linear("fc", b.flatten("flat", "x"), 4, 2, false);
  const params = { "fc.weight": tf.tensor2d([1, -2, 0.5, 1, -1, 0, 0, -1], [4, 2]) };
  const head = { weight: tf.tensor2d([1, 0, 0, 1], [2, 2]), bias: tf.tensor1d([0, 0]) };
  const x = tf.tensor4d([1, 2, 0, 0, 0, 1, 0, 0, 3, -1, 1, -5], [3, 2, 2, 1]);
  const data: Batch = { x, labels: Int32Array.of(0, 1, 0) };
  const step = { "fc.weight": tf.tensor2d([-1, 2, -0.5, -1, 0, 0, 0, 0], [4, 2]) };
  const [part] = curvature.lossParts({ net: b.build("mini", [2, 2, 1], 2), params, head }, data, [step]);
  near(part!.firstOrder, -35 / 6);
  near(part!.ownLayer, 121 / 12);
  near(part!.measured, 17 / 4);
  expect(Math.abs(part!.remainder)).toBeLessThan(1e-12);
});

describe("lossParts", () => {
  const model = tinyModel(reluResidual());
  const data = tinyBatch(model.net);

  test("leaves nothing behind", () => {
    const steps = [stepOf(model, 0.1)];
    owned(() => [tf.scalar(curvature.lossParts(model, data, steps)[0]!.measured)]);
  });

  test.each([
    ["a stranger", { "fc9.weight": tf.zeros([1]) }, /has no prunable weight 'fc9.weight'/],
    ["another shape", { "conv1.weight": tf.zeros([3]) }, /step 'conv1.weight' must be \[3,3,2,3\], got \[3\]/],
  ])("refuses %s", (_, step, message) => {
    expect(() => curvature.lossParts(model, data, [step])).toThrow(message);
  });
});

test("lossPlane: the loss at theta + s a + t b, whatever parameters the directions name", () => {
  const model = tinyModel(reluResidual());
  const data = tinyBatch(model.net);
  const a = stepOf(model, 0.1);
  const b: Tree = { "bn1.bias": tf.tensor1d([0.1, -0.2, 0.3]), "conv1.weight": stepOf(model, 0.2, 9)["conv1.weight"]! };
  const shares = { sharesOfA: [0, 0.5, -1], sharesOfB: [0, 2] };
  let losses: number[][] = [];
  owned(() => {
    losses = curvature.lossPlane(model, data, { a, b }, shares);
    return [];
  });
  shares.sharesOfB.forEach((t, i) => {
    shares.sharesOfA.forEach((s, j) => {
      const params = tree.mapTree(model.params, (w, key) =>
        tf.add(w, tf.add(tf.mul(a[key] ?? 0, s), tf.mul(b[key] ?? 0, t))),
      );
      near(losses[i]![j]!, curvature.lossMeanOverNC({ ...model, params }, data), 1e-13);
    });
  });
  expect(() => curvature.lossPlane(model, data, { a, b }, { sharesOfA: [0], sharesOfB: [Number.NaN] })).toThrow(
    /got NaN/,
  );
  expect(() => curvature.lossPlane(model, data, { a, b: { nothing: tf.zeros([1]) } }, shares)).toThrow(
    /no parameter 'nothing'/,
  );
});
