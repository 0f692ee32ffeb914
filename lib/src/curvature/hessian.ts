/** Products with the Hessian of the loss, exact and without a tape: the tangent of a gradient, forward over reverse. */
import { tf } from "../backend";
import { addAll, type Maybe, type Point, ruleOf } from "../layers";
import type { Batch, Model, NetNode, Tensor, Tree } from "../types";
import { TreeSum } from "./accumulate";
import { forEachChunk, type LossOptions } from "./gauss-newton";
import { taskSize } from "./loss";
import { squaredErrorMeanOverNC } from "./losses";
import { backward, backwardTangent, spread, type Trace } from "./pass";

/**
 * H v, H the Hessian of the loss in all prunable weights together, at any net. Cost: 8 forward passes (a gradient: 3).
 * At the switches of ReLU and max pooling H is that of the piece the point is on.
 * @param model with a head; norms are taken as frozen
 * @param v     tree of prunable weights; those that it leaves out stay (zero)
 * @returns tree shaped like the prunable weights, loss per weight; the caller disposes it
 * @throws Error without a head, with another number of labels than images, or naming an entry of v that fits no prunable weight
 */
export function hessianProduct(model: Model, data: Batch, v: Tree, options: LossOptions = {}): Tree {
  return product(model, data, v, options, true);
}

/**
 * (H - G) v, what the Gauss-Newton matrix G leaves out: sum_n sum_c dL/df_nc (d^2 f_nc / d theta^2) v, the same pass with the
 * outputs' cotangent held fixed. Proportional to dL/df: zero at a perfect fit. Arguments as in `hessianProduct`.
 */
export function hessianResidualProduct(model: Model, data: Batch, v: Tree, options: LossOptions = {}): Tree {
  return product(model, data, v, options, false);
}

function product(
  model: Model,
  data: Batch,
  v: Tree,
  { loss = squaredErrorMeanOverNC(), memoryBytes }: LossOptions,
  gaussNewton: boolean,
): Tree {
  const { n, classes } = taskSize(model, data);
  assertPrunable("hessianProduct", model, v);
  const sum = new TreeSum();
  try {
    // two directions: cotangents and their tangents
    forEachChunk(model, data.x, 2, memoryBytes, (trace, from, size) => {
      const labels = data.labels.subarray(from, from + size);
      const cotangents = allCotangents(trace, loss.gradient(trace.outputs, labels));
      const motion = spread(trace, { params: v });
      const doutputs = gaussNewton ? loss.hessianProduct(trace.outputs, motion.outputs) : null;
      backwardTangent(trace, { cotangents, motion, weights: v }, doutputs, (node, point, dx, dy, ddy) => {
        const key = node.params.weight;
        if (key !== undefined && model.net.prunable.includes(key))
          sum.add(key, weightGradTangent(node, point, dx, dy, ddy));
      });
    });
    return sum.finish(1 / loss.divisor(n, classes), model.net.prunable);
  } finally {
    sum.dispose();
  }
}

/** Cotangent of every node's output, by id. */
function allCotangents(trace: Trace, cotangent: Tensor): Tree {
  const all: Record<string, Tensor> = {};
  backward(trace, cotangent, (node, _, dy) => {
    all[node.id] = dy;
  });
  return all;
}

/** The weight's gradient is bilinear in input and cotangent: grad(x, ddy) + grad(dx, dy). */
function weightGradTangent(node: NetNode, point: Point, dx: readonly Maybe[], dy: Tensor, ddy: Maybe): Tensor {
  const { paramGrad } = ruleOf(node);
  const [moved] = dx;
  return (
    addAll([ddy && paramGrad!(point, ddy).weight, moved && paramGrad!({ ...point, x: [moved] }, dy).weight]) ??
    tf.zerosLike(point.params.weight!)
  );
}

function assertPrunable(where: string, { net, params }: Model, v: Tree): void {
  for (const [key, tensor] of Object.entries(v)) {
    if (!net.prunable.includes(key)) throw new Error(`${where}: ${net.name} has no prunable weight '${key}'`);
    const { shape } = params[key]!;
    if (shape.join() !== tensor.shape.join())
      throw new Error(`${where}: v['${key}'] must be [${shape}], got [${tensor.shape}]`);
  }
}
