import { type Batch, backend, curvature, layers, type Model, nets, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { dot } from "../oracle/dense";
import { gnBlock, jacobian } from "../oracle/jacobian";
import "../support/close-tree";
import { owned } from "../support/owned";
import { everyLayer, randomTensor, reluResidual, tinyBatch, tinyModel, tinyNets } from "../support/tiny-nets";

const { tf } = backend;
const settings = ["expand", "reduce"] as const;
const exact = { rtol: 1e-12 };

function withHead(make: (b: nets.NetBuilder) => void, input: [number, number, number], features: number): Model {
  const b = new nets.NetBuilder();
  make(b);
  return tinyModel(b.build("one-layer", input, features));
}
const linear = withHead((b) => b.linear("fc", b.flatten("flat", "x"), 6, 4), [2, 3, 1], 4);
const rectified = withHead((b) => b.relu("act", b.linear("fc", b.flatten("flat", "x"), 6, 4)), [2, 3, 1], 4);
const pooled = withHead((b) => b.globalAvgPool("gap", b.conv2d("conv", "x", 2, 4, 3, 1)), [4, 5, 2], 4);
const squared = curvature.squaredErrorMeanOverNC();

function expectBlock(model: Model, data: Batch, setting: "expand" | "reduce", loss = squared): void {
  const weights = nets.prunableWeights(model);
  const v = tree.mapTree(weights, (t, key) => randomTensor(t.shape, 3, key));
  const factors = curvature.kfacFactors(model, data, { setting, loss });
  expect(curvature.kfacProduct(factors, v)).toBeNearTree(curvature.gnProduct(model, data, v, { loss }), exact);
  expect(curvature.kfacDiag(factors, weights)).toBeNearTree(curvature.gnDiag(model, data, { loss }), exact);
}

describe("where the factors are the block itself", () => {
  test.each(settings)("one linear layer under a linear head, any number of images: %s", (setting) => {
    expectBlock(linear, tinyBatch(linear.net, { n: 5 }), setting);
  });

  test.each(settings)("one image through a layer without weight sharing, whatever follows: %s", (setting) => {
    expectBlock(rectified, tinyBatch(rectified.net, { n: 1 }), setting);
    expectBlock(rectified, tinyBatch(rectified.net, { n: 1 }), setting, curvature.crossEntropyMeanOverN());
  });

  test("reduce: a convolution whose positions are averaged at once", () => {
    const data = tinyBatch(pooled.net, { n: 4 });
    expectBlock(pooled, data, "reduce");
    const v = nets.prunableWeights(pooled);
    const expanded = curvature.kfacProduct(curvature.kfacFactors(pooled, data), v);
    expect(expanded).not.toBeNearTree(curvature.gnProduct(pooled, data, v), { rtol: 0.05 });
  });

  test("several images behind a ReLU: no longer", () => {
    const data = tinyBatch(rectified.net, { n: 5 });
    const v = nets.prunableWeights(rectified);
    const got = curvature.kfacProduct(curvature.kfacFactors(rectified, data), v);
    expect(got).not.toBeNearTree(curvature.gnProduct(rectified, data, v), { rtol: 0.01 });
  });
});

/** The definition, one image, output and position at a time. */
function factorsByLoops(model: Model, data: Batch, setting: "expand" | "reduce") {
  const n = data.labels.length;
  const classes = model.head!.weight.shape[1];
  const add = (sum: Record<string, number[]>, key: string, row: readonly number[], weight: number): void => {
    sum[key] ??= Array(row.length ** 2).fill(0);
    row.forEach((x, i) => {
      row.forEach((y, j) => {
        sum[key]![i * row.length + j]! += weight * x * y;
      });
    });
  };
  const summed = (rows: readonly number[][]): number[] => rows[0]!.map((_, k) => rows.reduce((s, r) => s + r[k]!, 0));
  const inputs: Record<string, number[]> = {};
  const outputs: Record<string, number[]> = {};
  for (let i = 0; i < n; i++) {
    const trace = curvature.forward(model, tf.slice(data.x, [i, 0, 0, 0], [1, ...model.net.input]));
    for (let c = 0; c < classes; c++)
      curvature.backward(trace, tf.oneHot([c], classes, 1, 0, "float32"), (node, point, dy) => {
        const key = node.params.weight;
        if (key === undefined || !model.net.prunable.includes(key)) return;
        const a = layers.ruleOf(node).weighted!.patches(point).arraySync()[0]! as number[][];
        const b = tf.reshape(dy, [a.length, -1]).arraySync() as number[][];
        const mean = summed(a).map((x) => x / a.length);
        if (c === 0) {
          if (setting === "expand") for (const row of a) add(inputs, key, row, 1 / (n * a.length));
          else add(inputs, key, mean, 1 / n);
        }
        if (setting === "expand") for (const row of b) add(outputs, key, row, 2 / (n * classes));
        else add(outputs, key, summed(b), 2 / (n * classes));
      });
  }
  return { inputs, outputs };
}

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);

  test.each(settings)("factors as defined: %s", (setting) => {
    const expected = factorsByLoops(model, data, setting);
    const { inputs, outputs } = curvature.kfacFactors(model, data, { setting });
    expect(inputs).toBeNearTree(expected.inputs, exact);
    expect(outputs).toBeNearTree(expected.outputs, exact);
    const small = curvature.kfacFactors(model, data, { setting, memoryBytes: 1 });
    expect(small.inputs).toBeNearTree(expected.inputs, exact);
    expect(small.outputs).toBeNearTree(expected.outputs, exact);
  });
});

test("product and diagonal are those of the Kronecker product, which is nearer to the dense block than a multiple of the identity", () => {
  const model = tinyModel(reluResidual());
  const data = tinyBatch(model.net);
  const weights = nets.prunableWeights(model);
  const factors = curvature.kfacFactors(model, data);
  const product = curvature.kfacProduct(factors, weights);
  const diagonal = curvature.kfacDiag(factors, weights);
  const rows = jacobian({ model, x: data.x });
  for (const [key, weight] of Object.entries(weights)) {
    const out = weight.shape.at(-1)!;
    const [a, b] = [factors.inputs[key]!.arraySync(), factors.outputs[key]!.arraySync()] as [number[][], number[][]];
    const entry = (i: number, j: number): number =>
      a[Math.floor(i / out)]![Math.floor(j / out)]! * b[i % out]![j % out]!;
    const dense = Array.from({ length: weight.size }, (_, i) =>
      Float64Array.from({ length: weight.size }, (__, j) => entry(i, j)),
    );
    const theta = weight.dataSync();
    expect({ x: product[key]! }).toBeNearTree({ x: dense.map((row) => dot(row, theta)) }, exact);
    expect({ x: diagonal[key]! }).toBeNearTree({ x: dense.map((row, i) => row[i]!) }, exact);
    const [approximate, block] = [dense, gnBlock(rows, key)].map((m) => m.flatMap((row) => [...row]));
    const cosine = dot(approximate!, block!) / Math.sqrt(dot(approximate!, approximate!) * dot(block!, block!));
    const trace = gnBlock(rows, key).reduce((sum, row, i) => sum + row[i]!, 0);
    const identity = trace / Math.sqrt(weight.size * dot(block!, block!));
    expect(cosine, key).toBeGreaterThan(1.2 * identity);
    if (key === "fc.weight") expect(cosine, "the last layer is exact").toBeCloseTo(1, 12);
    else expect(cosine, key).toBeLessThan(0.999);
  }
});

test("leaves nothing behind; refuses what has no factors", () => {
  const model = tinyModel(everyLayer());
  const data = tinyBatch(model.net);
  const factors = owned(() => curvature.kfacFactors(model, data) as never) as curvature.KfacFactors;
  const weights = nets.prunableWeights(model);
  owned(() => [curvature.kfacProduct(factors, weights), curvature.kfacDiag(factors, weights)]);
  expect(() => curvature.kfacProduct(factors, { "fc9.weight": tf.zeros([1, 1]) })).toThrow(
    /no factors of 'fc9.weight'/,
  );
  expect(() => curvature.kfacDiag(factors, { "conv1.weight": tf.zeros([2, 3]) })).toThrow(/must have 18 inputs/);
  expect(() => curvature.kfacFactors(model, data, { setting: "sum" as never })).toThrow(/'expand' or 'reduce'/);
});
