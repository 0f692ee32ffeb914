/** Where the Gauss-Newton matrix is the Hessian, and where it is not: the Hessian by differences of the gradient. */
import { type Batch, backend, curvature, type Model, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { entrySlope } from "../oracle/differences";
import { gnBlock, jacobian } from "../oracle/jacobian";
import "../support/close-tree";
import { everyLayer, geluNet, reluResidual, tinyBatch, tinyModel } from "../support/tiny-nets";

const { tf } = backend;

/** Each layer's block of the loss's Hessian, flattened row by row. */
function hessianBlocks(model: Model, data: Batch): Record<string, Float64Array> {
  return Object.fromEntries(
    model.net.prunable.map((name) => {
      const size = model.params[name]!.size;
      const columns = Array.from({ length: size }, (_, j) =>
        entrySlope(model.params, name, j, (params) => {
          const trace = curvature.forward({ ...model, params }, data.x);
          const residual = tf.sub(trace.outputs, curvature.oneHot(data.labels, 3));
          return tf.mul(curvature.vjp(trace, residual, [name])[name]!, 2 / residual.size);
        }),
      );
      return [name, Float64Array.from(columns.flatMap((column) => Array.from(column)))];
    }),
  );
}

const diagonals = (blocks: Record<string, Float64Array>): Record<string, Float64Array> =>
  Object.fromEntries(
    Object.entries(blocks).map(([name, block]) => {
      const size = Math.sqrt(block.length);
      return [name, Float64Array.from({ length: size }, (_, j) => block[j * size + j]!)];
    }),
  );

// Between two switches of a ReLU the gradient is linear in one layer's weights, so that the quotient has no truncation
// error: what is left is cancellation, 1e-16 / 6e-6, on entries of size 1e-2 and more.
const linear = { rtol: 1e-7, atol: 1e-10 };

describe("ReLU net with skips, max pooling and frozen norms", () => {
  const model = tinyModel(reluResidual());
  const data = tinyBatch(model.net);
  const hessian = hessianBlocks(model, data);

  test("the targets are not met: the second term of the Hessian had something to multiply", () => {
    expect(curvature.lossMeanOverNC(model, data)).toBeGreaterThan(0.1);
  });

  test("the Hessian's diagonal is gnDiag", () => {
    expect(curvature.gnDiag(model, data)).toBeNearTree(diagonals(hessian), linear);
  });

  test("the Hessian's block of every layer is that of G", () => {
    const rows = jacobian({ model, x: data.x });
    const blocks = Object.fromEntries(
      model.net.prunable.map((name) => [name, gnBlock(rows, name).flatMap((row) => [...row])]),
    );
    expect(blocks).toBeNearTree(hessian, linear);
  });
});

describe.each([geluNet, everyLayer].map((make) => ({ name: make().name, make })))("GELU net '$name'", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);
  const hessian = diagonals(hessianBlocks(model, data));
  const gn = tree.toHost(curvature.gnDiag(model, data));

  test("G is not the Hessian: their diagonals differ by more than a tenth somewhere", () => {
    const apart = Object.entries(hessian).map(([name, h]) => {
      const largest = Math.max(...h.map(Math.abs));
      return Math.max(...h.map((value, j) => Math.abs(value - gn[name]![j]!))) / largest;
    });
    expect(Math.max(...apart)).toBeGreaterThan(0.1);
  });

  test("the Hessian's diagonal has negative entries, that of G has none", () => {
    const lowest = (t: Readonly<Record<string, ArrayLike<number>>>): number =>
      Math.min(...Object.values(t).flatMap((values) => Array.from(values)));
    expect(lowest(hessian)).toBeLessThan(-1e-3);
    expect(lowest(gn)).toBeGreaterThanOrEqual(0);
  });

  test("at a perfect fit they agree: the difference is proportional to the residual", () => {
    // Targets are one-hot, so the outputs themselves are moved: the head's bias cannot do it for every image, one image can.
    const one: Batch = { x: tf.slice(data.x, [0, 0, 0, 0], [1, ...model.net.input]), labels: data.labels.slice(0, 1) };
    const { weight, bias } = model.head!;
    const miss = tf.sub(curvature.oneHot(one.labels, 3), curvature.predict(model, one.x));
    const fitted = { ...model, head: { weight, bias: tf.add(bias, tf.reshape(miss, [3])) as typeof bias } };
    expect(curvature.lossMeanOverNC(fitted, one)).toBeLessThan(1e-30);
    // GELU is smooth: the quotient of the gradient has a truncation error, step^2 times its third derivative
    const expected = diagonals(hessianBlocks(fitted, one));
    expect(curvature.gnDiag(fitted, one)).toBeNearTree(expected, { rtol: 1e-6, atol: 1e-9 });
  });
});
