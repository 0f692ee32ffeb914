import { type Batch, backend, curvature, type Model, nets, type Tree } from "secateur";
import { describe, expect, test } from "vitest";
import { inverse } from "../oracle/jacobian";
import "../support/close-tree";
import { owned } from "../support/owned";
import { reluResidual, tinyBatch, tinyModel, tinyNets } from "../support/tiny-nets";

const { stream, tf } = backend;
const losses = [curvature.squaredErrorMeanOverNC(), curvature.crossEntropyMeanOverN()];

/** The gradient of each image's own loss: a batch of one. */
function imageGradients(model: Model, data: Batch, loss: curvature.Loss): Record<string, number[]>[] {
  return Array.from(data.labels, (_, i) => {
    const one = { x: tf.slice(data.x, [i, 0, 0, 0], [1, ...model.net.input]), labels: data.labels.slice(i, i + 1) };
    const { gradient } = curvature.lossGradient(model, one as Batch, { loss });
    return Object.fromEntries(Object.entries(gradient).map(([key, g]) => [key, Array.from(g.dataSync())]));
  });
}

const diagonalOf = (gradients: readonly Record<string, number[]>[]): Record<string, number[]> =>
  Object.fromEntries(
    Object.keys(gradients[0]!).map((key) => [
      key,
      gradients[0]![key]!.map((_, j) => gradients.reduce((sum, g) => sum + g[key]![j]! ** 2, 0) / gradients.length),
    ]),
  );

/** Block by block: cut lambda I + 1/N sum g g^T out, invert it, read the diagonal. */
function inverseDiagonals(
  gradients: readonly Record<string, number[]>[],
  weights: Tree,
  { chunk, damping, alive }: { chunk: number; damping: number; alive?: Tree },
): Record<string, Float64Array> {
  const all = Object.values(diagonalOf(gradients)).flat();
  const lambda = (damping * all.reduce((a, b) => a + b)) / all.length;
  return Object.fromEntries(
    Object.entries(weights).map(([name, weight]) => {
      const out = weight.shape.at(-1)!;
      const flags = alive?.[name]?.dataSync();
      const result = new Float64Array(weight.size);
      for (let filter = 0; filter < out; filter++)
        for (let from = 0; from < weight.size / out; from += chunk) {
          const length = Math.min(chunk, weight.size / out - from);
          const members = Array.from({ length }, (_, k) => (from + k) * out + filter);
          const entry = (a: number, b: number): number =>
            (flags && (flags[a] === 0 || flags[b] === 0)
              ? 0
              : gradients.reduce((sum, g) => sum + g[name]![a]! * g[name]![b]!, 0) / gradients.length) +
            (a === b ? lambda : 0);
          inverse(members.map((a) => Float64Array.from(members, (b) => entry(a, b)))).forEach((row, i) => {
            result[members[i]!] = row[i]!;
          });
        }
      return [name, result];
    }),
  );
}

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);

  test.each(losses)("$name: the diagonal is the mean square of the single images' gradients", (loss) => {
    const expected = diagonalOf(imageGradients(model, data, loss));
    expect(owned(() => curvature.empiricalFisherDiag(model, data, { loss }))).toBeNearTree(expected, { rtol: 1e-12 });
    const small = curvature.empiricalFisherDiag(model, data, { loss, memoryBytes: 1 });
    expect(small).toBeNearTree(expected, { rtol: 1e-12 });
  });
});

describe("blocks of the inverse: 3 images, so that blocks up to 3 are inverted densely, longer ones by Woodbury", () => {
  const model = tinyModel(reluResidual());
  const data = tinyBatch(model.net);
  const weights = nets.prunableWeights(model);
  const gradients = imageGradients(model, data, losses[0]!);
  const flags = stream(4, "alive");
  const alive: Tree = Object.fromEntries(
    Object.entries(weights).map(([key, w]) => [
      key,
      tf.tensor(
        Float32Array.from({ length: w.size }, () => Number(flags.uniform() < 0.6)),
        w.shape,
      ),
    ]),
  );

  test.each([
    { chunk: 1, damping: 0.01 },
    { chunk: 3, damping: 0.1 },
    { chunk: 4, damping: 0.01 },
    { chunk: 7, damping: 0.1 },
    { chunk: 1000, damping: 0.01 },
    { chunk: 2, damping: 0.1, alive },
    { chunk: 10, damping: 0.1, alive },
  ])("equal the dense inverse: chunk $chunk, damping $damping", (options) => {
    const expected = inverseDiagonals(gradients, weights, options);
    const got = owned(() => curvature.empiricalFisherChunkInverseDiagonal(model, data, options));
    expect(got).toBeNearTree(expected, { rtol: 1e-9 });
    // one image at a time is the same sum
    const small = curvature.empiricalFisherChunkInverseDiagonal(model, data, { ...options, memoryBytes: 1 });
    expect(small).toBeNearTree(expected, { rtol: 1e-9 });
  });

  test("cross-entropy takes its own gradients", () => {
    const loss = losses[1]!;
    const expected = inverseDiagonals(imageGradients(model, data, loss), weights, { chunk: 9, damping: 0.1 });
    const got = curvature.empiricalFisherChunkInverseDiagonal(model, data, { loss, chunk: 9, damping: 0.1 });
    expect(got).toBeNearTree(expected, { rtol: 1e-9 });
  });

  test.each([
    ["a chunk", { chunk: 0 }, /chunk must be a positive integer, got 0/],
    ["a damping", { damping: 0 }, /damping must be positive, got 0/],
  ])("refuses %s", (_, options, message) => {
    expect(() => curvature.empiricalFisherChunkInverseDiagonal(model, data, options)).toThrow(message);
  });

  test("a perfect fit has no empirical Fisher", () => {
    const b = new nets.NetBuilder();
    b.linear("fc", b.flatten("flat", "x"), 2, 2, false);
    const params = { "fc.weight": tf.tensor2d([1, 0, 0, 1], [2, 2]) };
    const head = { weight: tf.tensor2d([1, 0, 0, 1], [2, 2]), bias: tf.tensor1d([0, 0]) };
    const fit: Batch = { x: tf.tensor4d([1, 0, 0, 1], [2, 1, 2, 1]), labels: Int32Array.of(0, 1) };
    expect(() =>
      curvature.empiricalFisherChunkInverseDiagonal({ net: b.build("fit", [1, 2, 1], 2), params, head }, fit),
    ).toThrow(/gradient of every image is zero/);
  });
});

test("worked linear layer: [[13/12, 12], [3/2, 4/3]], not the Gauss-Newton diagonal [[10/3, 10/3], [2, 2]]", () => {
  // f = X W, l_n = 1/2 sum_c (f_nc - y_nc)^2, Y = [[1, 0], [0, 1], [2, -5]]; two more pixels bring the targets in
  const b = new nets.NetBuilder();
  b.linear("fc", b.flatten("flat", "x"), 4, 2, false);
  const params = { "fc.weight": tf.tensor2d([1, -2, 0.5, 1, -1, 0, 0, -1], [4, 2]) };
  const head = { weight: tf.tensor2d([1, 0, 0, 1], [2, 2]), bias: tf.tensor1d([0, 0]) };
  const x = tf.tensor4d([1, 2, 0, 0, 0, 1, 0, 0, 3, -1, 1, -5], [3, 2, 2, 1]);
  const data: Batch = { x, labels: Int32Array.of(0, 1, 0) };
  const model = { net: b.build("mini", [2, 2, 1], 2), params, head };
  const first = (t: Tree): { four: number[] } => ({ four: Array.from(t["fc.weight"]!.dataSync()).slice(0, 4) });
  expect(first(curvature.empiricalFisherDiag(model, data))).toBeNearTree(
    { four: [13 / 12, 12, 3 / 2, 4 / 3] },
    { rtol: 1e-13 },
  );
  expect(first(curvature.gnDiag(model, data))).toBeNearTree({ four: [10 / 3, 10 / 3, 2, 2] }, { rtol: 1e-13 });
});
