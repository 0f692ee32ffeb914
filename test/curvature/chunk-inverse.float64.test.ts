import { backend, curvature, nets, type Tree, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { gnBlock, gnDiagonal, inverse, type Jacobian, jacobian } from "../oracle/jacobian";
import "../support/close-tree";
import { owned } from "../support/owned";
import { everyLayer, tinyBatch, tinyModel, tinyNets } from "../support/tiny-nets";

const { tf, stream } = backend;
// The blocks are singular but for the damping: condition 1 / damping = 100 to 1000 on float64 sums good to 1e-13.
const inverted = { rtol: 1e-9 };

/** Block by block: cut G's block of the layer, add lambda, invert, read the diagonal. Weights are [..., out]: one filter is j % out. */
function inverseDiagonals(rows: Jacobian, weights: Tree, chunk: number, damping: number, alive?: Tree) {
  const diagonal = Object.values(gnDiagonal(rows)).flatMap((values) => [...values]);
  const lambda = (damping * diagonal.reduce((a, b) => a + b, 0)) / diagonal.length;
  return Object.fromEntries(
    Object.entries(weights).map(([name, weight]) => {
      const g = gnBlock(rows, name);
      const flags = alive?.[name]?.dataSync();
      const out = weight.shape[weight.shape.length - 1]!;
      const result = new Float64Array(weight.size);
      for (let filter = 0; filter < out; filter++) {
        const members = Array.from({ length: weight.size / out }, (_, k) => k * out + filter);
        for (let from = 0; from < members.length; from += chunk) {
          const block = members.slice(from, from + chunk).filter((j) => flags === undefined || flags[j] === 1);
          const damped = block.map((a) => Float64Array.from(block, (b) => g[a]![b]! + (a === b ? lambda : 0)));
          inverse(damped).forEach((row, i) => {
            result[block[i]!] = row[i]!;
          });
        }
      }
      return [name, result];
    }),
  );
}

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);
  const weights = nets.prunableWeights(model);
  const rows = jacobian({ model, x: data.x });

  test.each([
    { chunk: 1, damping: 0.01 },
    { chunk: 4, damping: 0.01 },
    { chunk: 7, damping: 0.05 },
    { chunk: 1000, damping: 0.01 },
  ])("equals the brute-force inverse: chunk $chunk, damping $damping", (options) => {
    const expected = inverseDiagonals(rows, weights, options.chunk, options.damping);
    expect(curvature.gnChunkInverseDiagonal(model, data, options)).toBeNearTree(expected, inverted);
  });

  test("the defaults are chunks of 32 and damping 0.01", () => {
    const expected = curvature.gnChunkInverseDiagonal(model, data, { chunk: 32, damping: 0.01 });
    expect(curvature.gnChunkInverseDiagonal(model, data)).toBeNearTree(expected, { rtol: 0 });
  });

  test("chunks of 1 are 1 / (diagonal + lambda)", () => {
    const diagonal = curvature.gnDiag(model, data);
    const lambda =
      (0.01 * Object.values(diagonal).reduce((sum, t) => sum + tf.sum(t).dataSync()[0]!, 0)) / tree.countTree(diagonal);
    const expected = tree.mapTree(diagonal, (t) => tf.div(1, tf.add(t, lambda)));
    expect(curvature.gnChunkInverseDiagonal(model, data, { chunk: 1 })).toBeNearTree(expected, { rtol: 1e-11 });
  });

  test("removed weights are left out of their blocks", () => {
    const alive = tree.mapTree(weights, (w, name) => {
      const numbers = stream(1, "alive", name);
      return tf.tensor(
        Float32Array.from({ length: w.size }, () => Number(numbers.uniform() < 0.6)),
        w.shape,
      );
    });
    const got = tree.zipTree(curvature.gnChunkInverseDiagonal(model, data, { chunk: 5, alive }), alive, (t, a) =>
      tf.mul(t, a),
    );
    expect(got).toBeNearTree(inverseDiagonals(rows, weights, 5, 0.01, alive), inverted);
  });

  test("a small budget changes nothing", () => {
    const expected = curvature.gnChunkInverseDiagonal(model, data, { chunk: 6 });
    expect(curvature.gnChunkInverseDiagonal(model, data, { chunk: 6, memoryBytes: 1 })).toBeNearTree(
      expected,
      inverted,
    );
  });

  // With 6 outputs layers of up to 4 positions go by pairs of positions, with a budget of one byte (one output at a time) none does.
  test.each([{ memoryBytes: 1 }, {}])("six outputs, options %j: the form by pairs is that by Jacobians", (options) => {
    const six = tinyModel(make(), { classes: 6 });
    const expected = inverseDiagonals(jacobian({ model: six, x: data.x }), nets.prunableWeights(six), 8, 0.01);
    expect(curvature.gnChunkInverseDiagonal(six, data, { chunk: 8, ...options })).toBeNearTree(expected, inverted);
  });

  test("leaves nothing behind", () => {
    owned(() => curvature.gnChunkInverseDiagonal(model, data, { chunk: 6 }) as never);
  });
});

describe("errors", () => {
  const model = tinyModel(everyLayer());
  const data = tinyBatch(model.net);
  test.each([
    ["no chunk", { chunk: 0 }, /chunk must be a positive integer, got 0/],
    ["half a chunk", { chunk: 2.5 }, /got 2.5/],
    ["no damping", { damping: 0 }, /damping must be positive, got 0/],
  ])("%s", (_, options, message) => {
    expect(() => curvature.gnChunkInverseDiagonal(model, data, options)).toThrow(message);
  });

  test("a head of zeros has no curvature to invert", () => {
    const { weight, bias } = model.head!;
    const dead = { ...model, head: { weight: tf.zerosLike(weight), bias } };
    const before = tf.memory().numTensors;
    expect(() => curvature.gnChunkInverseDiagonal(dead, data)).toThrow(/diagonal is zero everywhere/);
    expect(tf.memory().numTensors).toBe(before);
  });
});
