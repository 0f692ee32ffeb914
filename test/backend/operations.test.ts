/** TensorFlow's own operations against their portable twins, and what they leave behind. */
import { backend, type Tensor } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";
import { owned } from "../support/owned";
import { randomTensor } from "../support/tiny-nets";

const { tf, operations } = backend;
const { portable } = operations;

// float32 kernels that add the same few dozen products in another order
const float32 = { rtol: 1e-5 };

test("the process has TensorFlow: otherwise both sides would be the same code", () => {
  expect(backend.kind).toBe("tensorflow");
  expect(backend.engineVersion()).toMatch(/^TensorFlow 2\.\d+/);
  expect(["CPU", "GPU"]).toContain(backend.device());
});

/** Runs the operation and its twin; both must own exactly what they return. */
function agree<T extends Record<string, Tensor>>(name: string, native: () => T, twin: () => T): void {
  const [got, expected] = [owned(() => tf.tidy(native)), tf.tidy(twin)];
  expect(got, name).toBeNearTree(expected, float32);
  tf.dispose([got, expected] as never);
}

interface Convolution {
  readonly image: readonly [number, number, number, number];
  readonly filter: readonly [number, number, number, number];
  readonly stride: number;
  readonly pad: number;
}

const convolutions: Convolution[] = [
  { image: [2, 7, 6, 3], filter: [3, 3, 3, 4], stride: 1, pad: 1 },
  { image: [2, 7, 6, 3], filter: [3, 3, 3, 4], stride: 2, pad: 1 },
  { image: [2, 8, 8, 3], filter: [3, 3, 3, 4], stride: 2, pad: 1 },
  { image: [2, 4, 4, 3], filter: [3, 3, 3, 4], stride: 1, pad: 0 },
  { image: [2, 6, 5, 3], filter: [1, 1, 3, 4], stride: 1, pad: 0 },
  { image: [2, 6, 5, 3], filter: [1, 1, 3, 4], stride: 2, pad: 0 },
  { image: [1, 12, 11, 1], filter: [7, 7, 1, 2], stride: 2, pad: 3 },
  { image: [2, 5, 5, 2], filter: [5, 5, 2, 3], stride: 1, pad: 2 },
  { image: [2, 5, 5, 2], filter: [3, 2, 2, 3], stride: 1, pad: 0 },
  { image: [3, 1, 1, 4], filter: [1, 1, 4, 5], stride: 1, pad: 0 },
];

describe.each(convolutions)(
  "image $image, filter $filter, stride $stride, pad $pad",
  ({ image, filter, stride, pad }) => {
    const x = randomTensor(image, 1, "x");
    const w = randomTensor(filter, 2, "w");
    const rows = operations.slideLength(image[1], filter[0], stride, pad);
    const columns = operations.slideLength(image[2], filter[1], stride, pad);
    const dy = randomTensor([image[0], rows, columns, filter[3]], 3, "dy");
    const [inputShape, filterShape] = [[...image] as [number, number, number, number], [...filter] as never];

    test("conv2d", () => {
      agree(
        "y",
        () => ({ y: operations.conv2d(x, w, stride, pad) }),
        () => ({ y: portable.conv2d(x, w, stride, pad) }),
      );
      expect(operations.conv2d(x, w, stride, pad).shape).toEqual(dy.shape);
    });

    test("conv2dInputGrad, also with stacked directions", () => {
      agree(
        "dx",
        () => ({ dx: operations.conv2dInputGrad(dy, w, inputShape, stride, pad) }),
        () => ({ dx: portable.conv2dInputGrad(dy, w, inputShape, stride, pad) }),
      );
      const stacked = tf.concat([dy, tf.neg(dy), dy], 0);
      const shape = [3 * image[0], ...image.slice(1)] as [number, number, number, number];
      agree(
        "stacked",
        () => ({ dx: operations.conv2dInputGrad(stacked, w, shape, stride, pad) }),
        () => ({ dx: portable.conv2dInputGrad(stacked, w, shape, stride, pad) }),
      );
    });

    test("conv2dFilterGrad", () => {
      agree(
        "dw",
        () => ({ dw: operations.conv2dFilterGrad(x, dy, filterShape, stride, pad) }),
        () => ({ dw: portable.conv2dFilterGrad(x, dy, filterShape, stride, pad) }),
      );
    });

    test("patches", () => {
      const size = [filter[0], filter[1]] as const;
      agree(
        "a",
        () => ({ a: operations.patches(x, size, stride, pad) }),
        () => ({ a: portable.patches(x, size, stride, pad) }),
      );
    });
  },
);

test("patches of 1x1 at stride 1 are the image itself", () => {
  const x = randomTensor([2, 3, 4, 5], 1, "x");
  expect({ a: operations.patches(x, [1, 1], 1, 0) }).toBeNearTree({ a: tf.reshape(x, [2, 12, 5]) }, { rtol: 0 });
});

test("patches times filter is the convolution", () => {
  const [x, w] = [randomTensor([2, 7, 6, 3], 1, "x"), randomTensor([3, 3, 3, 4], 2, "w")];
  const product = tf.matMul(tf.reshape(operations.patches(x, [3, 3], 2, 1), [-1, 27]), tf.reshape(w, [27, 4]));
  const y = operations.conv2d(x, w, 2, 1);
  expect({ y: tf.reshape(product, y.shape) }).toBeNearTree({ y }, float32);
});

describe.each([
  { image: [2, 7, 6, 3], size: 3, stride: 2, pad: 1 },
  { image: [2, 6, 6, 3], size: 2, stride: 2, pad: 0 },
  { image: [2, 5, 5, 3], size: 3, stride: 1, pad: 1 },
])("pooling of $image, size $size, stride $stride, pad $pad", ({ image, size, stride, pad }) => {
  // below zero everywhere: padding with zeros would win
  const x = tf.sub(randomTensor(image, 1, "x"), 10);
  const y = operations.maxPool(x, size, stride, pad);
  const dy = randomTensor(y.shape, 2, "dy");
  const dx = randomTensor(image, 3, "dx");

  test("maxPoolGrad", () => {
    agree(
      "dx",
      () => ({ dx: operations.maxPoolGrad(dy, x, y, size, stride, pad) }),
      () => ({ dx: portable.maxPoolGrad(dy, x, y, size, stride, pad) }),
    );
  });

  test("maxPoolTangent", () => {
    agree(
      "dy",
      () => ({ dy: operations.maxPoolTangent(dx, x, y, size, stride, pad) }),
      () => ({ dy: portable.maxPoolTangent(dx, x, y, size, stride, pad) }),
    );
  });

  test("equal values: gradient and tangent both follow the first maximum of a window", () => {
    const flat = tf.zerosLike(x);
    const top = operations.maxPool(flat, size, stride, pad);
    agree(
      "dx",
      () => ({ dx: operations.maxPoolGrad(dy, flat, top, size, stride, pad) }),
      () => ({ dx: portable.maxPoolGrad(dy, flat, top, size, stride, pad) }),
    );
    const transposed = tf.sum(tf.mul(operations.maxPoolGrad(dy, flat, top, size, stride, pad), dx)).dataSync();
    const forward = tf.sum(tf.mul(operations.maxPoolTangent(dx, flat, top, size, stride, pad), dy)).dataSync();
    expect({ dot: forward }).toBeNearTree({ dot: transposed }, float32);
  });

  test("maxPool and avgPool own what they return; avgPoolGrad is the transpose of avgPool", () => {
    owned(() => tf.tidy(() => operations.maxPool(x, size, stride, pad))).dispose();
    const mean = owned(() => tf.tidy(() => operations.avgPool(dx, size, stride, pad)));
    const back = owned(() => tf.tidy(() => operations.avgPoolGrad(dy, image as never, size, stride, pad)));
    const [a, b] = [tf.sum(tf.mul(mean, dy)).dataSync(), tf.sum(tf.mul(back, dx)).dataSync()];
    expect({ dot: a }).toBeNearTree({ dot: b }, { rtol: 0, atol: 1e-4 }); // both near 0, sums of terms of size 1
  });
});

test("reluGrad lets through where the output is above 0, and not at 0", () => {
  const y = tf.tensor1d([0, 1e-30, 2, 0]);
  const dy = tf.tensor1d([1, 2, 3, -4]);
  agree(
    "dx",
    () => ({ dx: operations.reluGrad(dy, y) }),
    () => ({ dx: portable.reluGrad(dy, y) }),
  );
  expect({ dx: operations.reluGrad(dy, y) }).toBeNearTree({ dx: [0, 2, 3, 0] }, { rtol: 0 });
});

test.each([[[0]], [[0, 1]], [[1, 3]], [[0, 1, 2, 3]]])("sumSquares over axes %j", (axes) => {
  const t = randomTensor([3, 4, 2, 5], 1, "squares");
  agree(
    "s",
    () => ({ s: operations.sumSquares(t, axes) }),
    () => ({ s: portable.sumSquares(t, axes) }),
  );
});

test("sumSquares of a fine Jacobian does not drown in one large value", () => {
  const values = Float32Array.from({ length: 1001 }, (_, i) => (i === 0 ? 1e3 : 1));
  const sum = operations.sumSquares(tf.tensor2d(values, [1001, 1]), [0]).dataSync();
  expect({ sum }).toBeNearTree({ sum: [1e6 + 1000] }, { rtol: 1e-6 });
});

describe("batch normalisation in training mode", () => {
  const x = tf.add(tf.mul(randomTensor([4, 5, 3, 6], 1, "x"), 3), 2);
  const [scale, shift] = [randomTensor([6], 2, "scale"), randomTensor([6], 3, "shift")];
  const dy = randomTensor(x.shape, 4, "dy");
  const epsilon = 1e-3;

  test("output, mean and unbiased variance", () => {
    const parts = ({ y, mean, unbiasedVariance }: ReturnType<typeof operations.batchNormTraining>) => ({
      y,
      mean,
      unbiasedVariance,
    });
    agree(
      "forward",
      () => parts(operations.batchNormTraining(x, scale, shift, epsilon)),
      () => parts(portable.batchNormTraining(x, scale, shift, epsilon)),
    );
  });

  test("gradients", () => {
    agree(
      "grad",
      () => ({
        ...operations.batchNormTrainingGrad(
          dy,
          x,
          scale,
          operations.batchNormTraining(x, scale, shift, epsilon).saved,
          epsilon,
        ),
      }),
      () => ({
        ...portable.batchNormTrainingGrad(
          dy,
          x,
          scale,
          portable.batchNormTraining(x, scale, shift, epsilon).saved,
          epsilon,
        ),
      }),
    );
  });
});

describe("inverseDiagonal", () => {
  /** A A^T + I: condition below 100 */
  const blocks = tf.tidy(() => {
    const a = randomTensor([5, 8, 8], 1, "blocks");
    return tf.add(tf.div(tf.matMul(a, a, false, true), 8), tf.eye(8));
  }) as ReturnType<typeof tf.tensor3d>;

  test("equals its twin", () => {
    agree(
      "d",
      () => ({ d: operations.inverseDiagonal(blocks) }),
      () => ({ d: portable.inverseDiagonal(blocks) }),
    );
  });

  test("[[4, 2], [2, 3]] has the inverse [[3, -2], [-2, 4]] / 8", () => {
    const d = operations.inverseDiagonal(tf.tensor3d([4, 2, 2, 3], [1, 2, 2])).dataSync();
    expect({ d }).toBeNearTree({ d: [3 / 8, 4 / 8] }, float32);
  });

  test("a block that is not positive definite is an error, not a NaN", () => {
    const bad = tf.tensor3d([1, 2, 2, 1], [1, 2, 2]);
    expect(() => portable.inverseDiagonal(bad)).toThrow(/not positive definite \(pivot 1 is -3\)/);
    expect(() => operations.inverseDiagonal(bad)).toThrow(/not positive definite/);
  });
});
