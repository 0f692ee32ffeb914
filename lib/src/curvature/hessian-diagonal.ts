/** The Hessian's diagonal: exact where it is that of Gauss-Newton, elsewhere with an estimated residual part. */
import { type Stream, stream, tf } from "../backend";
import { lastAxis, ruleOf } from "../layers";
import { disposeTree, mapTree } from "../tree";
import type { Batch, Model, NetNode, Tensor, Tree } from "../types";
import { type DiagonalEstimate, DrawStatistics } from "./estimate";
import { forEachPart, gnDiag } from "./gauss-newton";
import { allCotangents, hessianEqualsGaussNewton, KEPT, layerCotangentTangent, layersOf } from "./hessian";
import { taskSize } from "./loss";
import { squaredErrorMeanOverNC } from "./losses";
import type { MonteCarloOptions } from "./monte-carlo";
import type { Trace } from "./pass";

export interface HessianDiagOptions extends MonteCarloOptions {
  /** of the residual part, at least 2 (default 8) */
  readonly draws?: number;
}

/**
 * Diagonal of the Hessian of the loss. For layers where `hessianEqualsGaussNewton` it is exact, with standard error 0. For the others it is
 * the exact Gauss-Newton diagonal plus an estimate of the diagonal of R = H - G, which is proportional to dL/df and small at a good fit:
 * every image's output of one layer is moved along random signs, and the motion of its cotangent read (`residualProbe`).
 * Unbiased. The standard error falls as 1 / sqrt(draws x images); it can exceed the entries themselves, so look at it.
 * Cost: `gnDiag`, and for each draw what `hessianBlockProduct` costs.
 * @returns trees shaped like the prunable weights, loss per weight^2; the caller disposes them
 */
export function hessianDiag(model: Model, data: Batch, options: HessianDiagOptions = {}): DiagonalEstimate {
  const { draws = 8, seed = 0, loss, memoryBytes } = options;
  const statistics = new DrawStatistics(draws);
  taskSize(model, data);
  const curved = model.net.prunable.filter((key) => !hessianEqualsGaussNewton(model.net, [key]).equal);
  const gaussNewton = gnDiag(model, data, { loss, memoryBytes });
  try {
    const residual = residualDiagonal(model, data, curved, statistics, { draws, seed, loss, memoryBytes });
    const zeros = (t: Tensor): Tensor => tf.zerosLike(t);
    const diagonal = mapTree(gaussNewton, (g, key) => {
      const part = residual.diagonal[key];
      return part ? tf.add(g, part) : tf.clone(g);
    });
    disposeTree(residual.diagonal);
    return { diagonal, standardError: mapTree(gaussNewton, (g, key) => residual.standardError[key] ?? zeros(g)) };
  } finally {
    disposeTree(gaussNewton);
    statistics.dispose();
  }
}

function residualDiagonal(
  model: Model,
  data: Batch,
  keys: readonly string[],
  statistics: DrawStatistics,
  { draws, seed, loss = squaredErrorMeanOverNC(), memoryBytes }: HessianDiagOptions & { draws: number; seed: number },
): DiagonalEstimate {
  const { n, classes } = taskSize(model, data);
  const layers = layersOf(model.net, keys);
  const streams = Object.fromEntries(
    layers.map(({ id }) => [
      id,
      Array.from({ length: draws }, (_, draw) => ({
        forOutputs: stream(seed, "hessianDiag", id, draw, "outputs"),
        forRows: stream(seed, "hessianDiag", id, draw, "rows"),
      })),
    ]),
  );
  if (layers.length > 0)
    forEachPart(model, data.x, KEPT, memoryBytes, (trace, from, size) => {
      const labels = data.labels.subarray(from, from + size);
      const cotangents = allCotangents(trace, loss.gradient(trace.outputs, labels));
      for (const layer of layers) {
        for (const numbers of streams[layer.id]!)
          tf.tidy(() => {
            statistics.add(layer.params.weight!, residualProbe(trace, cotangents, layer, numbers));
          });
        statistics.close();
      }
    });
  return statistics.finish(1 / loss.divisor(n, classes), keys);
}

/**
 * One draw of the diagonal of one layer's R, summed over images: sum_pq A_pk A_qk T_po,qo, A [P, K] an image's patches, T the derivative of
 * the output's cotangent by the output. With signs w_o for the outputs and a motion r_p w_o of the output, d = T (r w^T):
 *   P < K:  r = s, signs for the positions;  draw_ko = sum_p A_pk d_po w_o (sum_q A_qk s_q)
 *   else:   r = A u, u signs for the inputs (the weight itself moves by u w^T);  draw_ko = sum_p A_pk u_k d_po w_o
 * Either is unbiased; the one with fewer signs has less noise.
 */
function residualProbe(trace: Trace, cotangents: Tree, layer: NetNode, { forOutputs, forRows }: Streams): Tensor {
  const point = trace.points[layer.id]!;
  const weight = point.params.weight!;
  const a = ruleOf(layer).weighted!.patches(point);
  const [n, positions, k] = a.shape;
  const out = lastAxis(weight);
  const w = signs(forOutputs, [n, 1, out]);
  let r: Tensor;
  let left: Tensor;
  if (positions < k) {
    r = signs(forRows, [n, positions, 1]);
    left = tf.mul(a, tf.sum(tf.mul(a, r), 1, true));
  } else {
    left = tf.mul(a, signs(forRows, [n, 1, k]));
    r = tf.sum(left, 2, true);
  }
  const d = layerCotangentTangent(trace, cotangents, layer, tf.reshape(tf.mul(r, w), point.y.shape), () => null);
  if (d == null) return tf.zerosLike(weight);
  const right = tf.mul(tf.reshape(d, [n, positions, out]), w);
  const product = tf.matMul(tf.reshape(left, [n * positions, k]), tf.reshape(right, [n * positions, out]), true);
  return tf.reshape(product, weight.shape);
}

/** Of one layer and draw; each is read image by image, so that cutting the images in chunks changes nothing. */
interface Streams {
  readonly forOutputs: Stream;
  readonly forRows: Stream;
}

/** [n, a, b] of random signs */
const signs = (numbers: Stream, shape: [number, number, number]): Tensor =>
  tf.tensor(
    Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, () => numbers.sign()),
    shape,
  );
