/**
 * Operations that tfjs lacks or does slowly: TensorFlow's own kernel when it is there, and a portable twin from plain
 * tfjs operations, exported as `portable` so that the tests compare the two. Images are [n, height, width, channels];
 * padding is the same number of pixels on all four sides, as in torch.
 */
import type { Tensor, Tensor3D, Tensor4D } from "../types";
import { attribute, float32T, kernel, native, run, runMany } from "./raw";
import { tf } from "./start";

type Shape4 = [number, number, number, number];

/** Output length of a window that slides over `length` pixels. */
export const slideLength = (length: number, size: number, stride: number, pad: number): number =>
  Math.floor((length + 2 * pad - size) / stride) + 1;

const padImage = (x: Tensor, pad: number, value = 0): Tensor4D =>
  (pad === 0
    ? x
    : tf.pad(
        x,
        [
          [0, 0],
          [pad, pad],
          [pad, pad],
          [0, 0],
        ],
        value,
      )) as Tensor4D;

const cropImage = (x: Tensor, pad: number, shape: readonly number[]): Tensor4D =>
  (pad === 0 ? x : tf.slice(x, [0, pad, pad, 0], shape as number[])) as Tensor4D;

const convAttributes = (stride: number, pad: number): Parameters<typeof run>[1] => [
  float32T,
  attribute.int("strides", [1, stride, stride, 1]),
  ...(pad === 0
    ? [attribute.string("padding", "VALID")]
    : [attribute.string("padding", "EXPLICIT"), attribute.int("explicit_paddings", [0, 0, pad, pad, pad, pad, 0, 0])]),
  attribute.string("data_format", "NHWC"),
  attribute.int("dilations", [1, 1, 1, 1]),
  attribute.bool("use_cudnn_on_gpu", true),
];

const kernelConvAttributes = (stride: number): Record<string, unknown> => ({
  strides: stride,
  pad: "valid",
  dataFormat: "NHWC",
  dimRoundingMode: undefined,
});

const shapeTensor = (shape: readonly number[]): Tensor => tf.tensor1d(shape as number[], "int32");

/** The twins: plain tfjs, any backend. */
export const portable = {
  conv2d: (x: Tensor, w: Tensor, stride: number, pad: number): Tensor4D =>
    tf.conv2d(padImage(x, pad), w as Tensor4D, stride, "valid"),

  conv2dInputGrad(dy: Tensor, w: Tensor, inputShape: Shape4, stride: number, pad: number): Tensor4D {
    const [n, h, width, c] = inputShape;
    const padded = kernel(
      "Conv2DBackpropInput",
      { dy, filter: w },
      { ...kernelConvAttributes(stride), inputShape: [n, h + 2 * pad, width + 2 * pad, c] },
    );
    return cropImage(padded, pad, inputShape);
  },

  conv2dFilterGrad: (x: Tensor, dy: Tensor, filterShape: Shape4, stride: number, pad: number): Tensor4D =>
    kernel(
      "Conv2DBackpropFilter",
      { x: padImage(x, pad), dy },
      { ...kernelConvAttributes(stride), filterShape },
    ) as Tensor4D,

  patches(x: Tensor, size: readonly [number, number], stride: number, pad: number): Tensor3D {
    const padded = padImage(x, pad);
    const [n, h, w, c] = padded.shape;
    const [rows, columns] = [slideLength(h, size[0], stride, 0), slideLength(w, size[1], stride, 0)];
    const crops: Tensor[] = [];
    for (let i = 0; i < size[0]; i++)
      for (let j = 0; j < size[1]; j++)
        crops.push(
          tf.stridedSlice(
            padded,
            [0, i, j, 0],
            [n, i + (rows - 1) * stride + 1, j + (columns - 1) * stride + 1, c],
            [1, stride, stride, 1],
          ),
        );
    return tf.reshape(tf.concat(crops, 3), [n, rows * columns, size[0] * size[1] * c]);
  },

  reluGrad: (dy: Tensor, y: Tensor): Tensor => tf.mul(dy, tf.cast(tf.greater(y, 0), "float32")),

  maxPoolGrad(dy: Tensor, x: Tensor, y: Tensor, size: number, stride: number, pad: number): Tensor4D {
    const padded = padImage(x, pad, Number.NEGATIVE_INFINITY);
    const grad = kernel(
      "MaxPoolGrad",
      { dy, input: padded, output: y },
      { filterSize: size, strides: stride, pad: "valid" },
    );
    return cropImage(grad, pad, x.shape);
  },

  /** dx at the (first) position of each window's maximum */
  maxPoolTangent(dx: Tensor, x: Tensor, y: Tensor, size: number, stride: number, pad: number): Tensor4D {
    const [n, rows, columns, c] = y.shape as Shape4;
    const windows = (image: Tensor, value: number): Tensor =>
      tf.reshape(portable.patches(padImage(image, pad, value), [size, size], stride, 0), [
        n,
        rows * columns,
        size * size,
        c,
      ]);
    const first = tf.argMax(windows(x, Number.NEGATIVE_INFINITY), 2);
    const chosen = tf.transpose(tf.oneHot(first as never, size * size), [0, 1, 3, 2]);
    return tf.reshape(tf.sum(tf.mul(windows(dx, 0), tf.cast(chosen, "float32")), 2), y.shape as Shape4) as Tensor4D;
  },

  sumSquares: (t: Tensor, axes: number[]): Tensor => tf.sum(tf.square(t), axes),

  batchNormTraining(x: Tensor, scale: Tensor, shift: Tensor, epsilon: number): BatchNormTraining {
    const axes = x.shape.map((_, i) => i).slice(0, -1);
    const mean = tf.mean(x, axes);
    const variance = tf.mean(tf.square(tf.sub(x, mean)), axes);
    const y = tf.add(tf.mul(tf.sub(x, mean), tf.mul(scale, tf.rsqrt(tf.add(variance, epsilon)))), shift);
    const count = x.size / x.shape[x.shape.length - 1]!;
    return { y, mean, unbiasedVariance: tf.mul(variance, count / (count - 1)), saved: [mean, variance] };
  },

  batchNormTrainingGrad(
    dy: Tensor,
    x: Tensor,
    scale: Tensor,
    saved: readonly Tensor[],
    epsilon: number,
  ): BatchNormGrad {
    const axes = x.shape.map((_, i) => i).slice(0, -1);
    const [mean, variance] = saved as [Tensor, Tensor];
    const inverse = tf.rsqrt(tf.add(variance, epsilon));
    const normal = tf.mul(tf.sub(x, mean), inverse);
    const dshift = tf.sum(dy, axes);
    const dscale = tf.sum(tf.mul(dy, normal), axes);
    const count = x.size / x.shape[x.shape.length - 1]!;
    // dx = scale / sd * (dy - mean(dy) - xhat * mean(dy xhat))
    const centred = tf.sub(tf.sub(dy, tf.div(dshift, count)), tf.mul(normal, tf.div(dscale, count)));
    return { dx: tf.mul(centred, tf.mul(scale, inverse)), dscale, dshift };
  },

  inverseDiagonal(blocks: Tensor3D): Tensor {
    const [count, n] = blocks.shape;
    const values = blocks.dataSync();
    const out = new Float32Array(count * n);
    for (let b = 0; b < count; b++) inverseDiagonalOf(values.subarray(b * n * n, (b + 1) * n * n), n, out, b * n);
    return tf.tensor(out, [count, n]);
  },
};

/** Batch normalisation with the batch's own statistics; `saved` is what its gradient needs. */
export interface BatchNormTraining {
  readonly y: Tensor;
  readonly mean: Tensor;
  readonly unbiasedVariance: Tensor;
  readonly saved: readonly Tensor[];
}

export interface BatchNormGrad {
  readonly dx: Tensor;
  readonly dscale: Tensor;
  readonly dshift: Tensor;
}

/** diag(A^-1) of one symmetric positive definite matrix: A = L L^T, then column sums of squares of L^-1. */
function inverseDiagonalOf(a: ArrayLike<number>, n: number, out: { [i: number]: number }, at: number): void {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let s = a[i * n + j]!;
      for (let k = 0; k < j; k++) s -= l[i * n + k]! * l[j * n + k]!;
      if (i !== j) l[i * n + j] = s / l[j * n + j]!;
      else if (s > 0) l[i * n + i] = Math.sqrt(s);
      else throw new Error(`inverseDiagonal: block is not positive definite (pivot ${i} is ${s})`);
    }
  const column = new Float64Array(n);
  for (let c = 0; c < n; c++) {
    let sum = 0;
    for (let i = c; i < n; i++) {
      let s = i === c ? 1 : 0;
      for (let k = c; k < i; k++) s -= l[i * n + k]! * column[k]!;
      column[i] = s / l[i * n + i]!;
      sum += column[i]! ** 2;
    }
    out[at + c] = sum;
  }
}

/** y[n, p, o] = sum over the window of x * w; w [kh, kw, in, out]. */
export function conv2d(x: Tensor, w: Tensor, stride: number, pad: number): Tensor4D {
  return native ? (run("Conv2D", convAttributes(stride, pad), [x, w]) as Tensor4D) : portable.conv2d(x, w, stride, pad);
}

/**
 * Cotangent of a convolution's input. At stride 1 it is itself a convolution, of dy with the filter turned by 180 degrees
 * and its channels exchanged: on small maps 2 to 30 times faster than Conv2DBackpropInput on a CPU.
 */
export function conv2dInputGrad(dy: Tensor, w: Tensor, inputShape: Shape4, stride: number, pad: number): Tensor4D {
  if (!native) return portable.conv2dInputGrad(dy, w, inputShape, stride, pad);
  const size = w.shape[0]!;
  if (stride === 1 && size === w.shape[1] && pad < size) {
    const turned = tf.transpose(size === 1 ? w : tf.reverse(w, [0, 1]), [0, 1, 3, 2]);
    return conv2d(dy, turned, 1, size - 1 - pad);
  }
  const [n, h, width, c] = inputShape;
  const padded = run("Conv2DBackpropInput", convAttributes(stride, 0), [
    shapeTensor([n, h + 2 * pad, width + 2 * pad, c]),
    w,
    dy,
  ]);
  return cropImage(padded, pad, inputShape);
}

/** Gradient of a convolution's filter, summed over images and positions. */
export function conv2dFilterGrad(x: Tensor, dy: Tensor, filterShape: Shape4, stride: number, pad: number): Tensor4D {
  return native
    ? (run("Conv2DBackpropFilter", convAttributes(stride, pad), [x, shapeTensor(filterShape), dy]) as Tensor4D)
    : portable.conv2dFilterGrad(x, dy, filterShape, stride, pad);
}

/** Windows as rows (im2col): [n, positions, kh * kw * channels], the last axis in the order of a flattened filter. */
export function patches(x: Tensor, size: readonly [number, number], stride: number, pad: number): Tensor3D {
  const [n, h, w, c] = x.shape as Shape4;
  if (size[0] === 1 && size[1] === 1 && stride === 1 && pad === 0) return tf.reshape(x, [n, h * w, c]);
  if (!native) return portable.patches(x, size, stride, pad);
  const rows = run(
    "ExtractImagePatches",
    [
      float32T,
      attribute.int("ksizes", [1, size[0], size[1], 1]),
      attribute.int("strides", [1, stride, stride, 1]),
      attribute.int("rates", [1, 1, 1, 1]),
      attribute.string("padding", "VALID"),
    ],
    [padImage(x, pad)],
  );
  return tf.reshape(rows, [n, rows.shape[1]! * rows.shape[2]!, rows.shape[3]!]);
}

/** dy where y > 0, else 0; same shapes. */
export function reluGrad(dy: Tensor, y: Tensor): Tensor {
  return native ? run("ReluGrad", [float32T], [dy, y]) : portable.reluGrad(dy, y);
}

/** Largest value of each window; padding never wins. */
export function maxPool(x: Tensor, size: number, stride: number, pad: number): Tensor4D {
  return tf.maxPool(padImage(x, pad, Number.NEGATIVE_INFINITY), size, stride, "valid");
}

const poolAttributes = (size: number, stride: number): Parameters<typeof run>[1] => [
  float32T,
  attribute.int("ksize", [1, size, size, 1]),
  attribute.int("strides", [1, stride, stride, 1]),
  attribute.string("padding", "VALID"),
  attribute.string("data_format", "NHWC"),
];

/** Cotangent of a max pool's input; dy and y [n, rows, columns, c], x its input. */
export function maxPoolGrad(dy: Tensor, x: Tensor, y: Tensor, size: number, stride: number, pad: number): Tensor4D {
  if (!native) return portable.maxPoolGrad(dy, x, y, size, stride, pad);
  const grad = run("MaxPoolGrad", poolAttributes(size, stride), [padImage(x, pad, Number.NEGATIVE_INFINITY), y, dy]);
  return cropImage(grad, pad, x.shape);
}

/** Tangent of a max pool's output. */
export function maxPoolTangent(dx: Tensor, x: Tensor, y: Tensor, size: number, stride: number, pad: number): Tensor4D {
  return native
    ? (run("MaxPoolGradGrad", poolAttributes(size, stride), [
        padImage(x, pad, Number.NEGATIVE_INFINITY),
        y,
        padImage(dx, pad),
      ]) as Tensor4D)
    : portable.maxPoolTangent(dx, x, y, size, stride, pad);
}

/** Mean of each window, padding counted as zeros (torch's count_include_pad). */
export function avgPool(x: Tensor, size: number, stride: number, pad: number): Tensor4D {
  return tf.avgPool(padImage(x, pad), size, stride, "valid");
}

export function avgPoolGrad(dy: Tensor, inputShape: Shape4, size: number, stride: number, pad: number): Tensor4D {
  const [n, h, w, c] = inputShape;
  const input = tf.zeros([n, h + 2 * pad, w + 2 * pad, c]); // only its shape is read
  return cropImage(
    kernel("AvgPoolGrad", { dy, input }, { filterSize: size, strides: stride, pad: "valid" }),
    pad,
    inputShape,
  );
}

/** Sum of squares over the given axes, without a squared copy. */
export function sumSquares(t: Tensor, axes: number[]): Tensor {
  if (!native) return portable.sumSquares(t, axes);
  const norm = run(
    "EuclideanNorm",
    [float32T, attribute.bool("keep_dims", false), attribute.type("Tidx", "int32")],
    [t, tf.tensor1d(axes, "int32")],
  );
  return tf.square(norm);
}

const normAttributes = (epsilon: number): Parameters<typeof run>[1] => [
  float32T,
  attribute.type("U", "float32"),
  attribute.float("epsilon", epsilon),
  attribute.string("data_format", "NHWC"),
  attribute.bool("is_training", true),
];

/** y = scale (x - mean) / sqrt(variance + epsilon) + shift with the batch's mean and (biased) variance per channel. */
export function batchNormTraining(x: Tensor, scale: Tensor, shift: Tensor, epsilon: number): BatchNormTraining {
  if (!native) return portable.batchNormTraining(x, scale, shift, epsilon);
  const none = tf.zeros([0]);
  const [y, mean, unbiasedVariance, ...saved] = runMany(
    "FusedBatchNormV3",
    normAttributes(epsilon),
    [x, scale, shift, none, none],
    6,
  );
  return { y: y!, mean: mean!, unbiasedVariance: unbiasedVariance!, saved };
}

export function batchNormTrainingGrad(
  dy: Tensor,
  x: Tensor,
  scale: Tensor,
  saved: readonly Tensor[],
  epsilon: number,
): BatchNormGrad {
  if (!native) return portable.batchNormTrainingGrad(dy, x, scale, saved, epsilon);
  const [dx, dscale, dshift] = runMany("FusedBatchNormGradV3", normAttributes(epsilon), [dy, x, scale, ...saved], 5);
  return { dx: dx!, dscale: dscale!, dshift: dshift! };
}

/**
 * diag(A^-1) of symmetric positive definite blocks [count, n, n] -> [count, n].
 * @throws Error when a block is not positive definite (TensorFlow's Cholesky gives NaN without a word)
 */
export function inverseDiagonal(blocks: Tensor3D): Tensor {
  if (!native) return portable.inverseDiagonal(blocks);
  const [count, n] = blocks.shape;
  const factor = run("Cholesky", [float32T], [blocks]);
  const identity = tf.mul(tf.ones([count, 1, 1]), tf.eye(n));
  const inverse = run(
    "MatrixTriangularSolve",
    [float32T, attribute.bool("lower", true), attribute.bool("adjoint", false)],
    [factor, identity],
  );
  const diagonal = sumSquares(inverse, [1]);
  if (tf.tidy(() => tf.any(tf.isNaN(diagonal)).dataSync()[0]))
    throw new Error("inverseDiagonal: a block is not positive definite");
  return diagonal;
}
