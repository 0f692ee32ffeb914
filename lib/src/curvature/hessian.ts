/** Products with the Hessian of the loss, exact and without a tape: the tangent of a gradient, forward over reverse. */
import { tf } from "../backend";
import { addAll, type Maybe, type Point, ruleOf } from "../layers";
import { prunableWeights } from "../nets";
import type { Batch, Model, Net, NetNode, Tensor, Tensor2D, Tree } from "../types";
import { TreeSum } from "./accumulate";
import { forEachPart, gnBlockProduct, type LossOptions } from "./gauss-newton";
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
  assertPrunable(model, v);
  const sum = new TreeSum();
  try {
    forEachPart(model, data.x, KEPT, memoryBytes, (trace, from, size) => {
      const labels = data.labels.subarray(from, from + size);
      const cotangents = allCotangents(trace, loss.gradient(trace.outputs, labels));
      const motion = spread(trace, { params: v });
      const doutputs = gaussNewton ? loss.hessianProduct(trace.outputs, motion.outputs) : null;
      backwardTangent(trace, { cotangents, motion, weights: v }, doutputs, (node, point, dx, dy, ddy) => {
        const key = node.params.weight;
        if (key !== undefined && model.net.prunable.includes(key))
          tf.tidy(() => sum.add(key, weightGradTangent(node, point, dx, dy, ddy)));
      });
    });
    return sum.finish(1 / loss.divisor(n, classes), model.net.prunable);
  } finally {
    sum.dispose();
  }
}

export interface HessianBlockOptions extends LossOptions {
  /** v_B for the layers that are wanted, by key (default: all layers, their own weights theta_B) */
  readonly v?: Tree;
}

/**
 * H_BB v_B for every layer B alone, H_BB its block of the Hessian. Sum_j theta_j (H_BB theta_B)_j over a layer is twice the second-order
 * part of the loss change of removing it.
 * Cost: a gradient and, for each layer, two passes over what lies above it; where `hessianEqualsGaussNewton` and v is not given, that of
 * `gnBlockProduct` for all layers at once.
 * @returns tree shaped like v; the caller disposes it
 */
export function hessianBlockProduct(model: Model, data: Batch, options: HessianBlockOptions = {}): Tree {
  if (options.v === undefined && hessianEqualsGaussNewton(model.net).equal) return gnBlockProduct(model, data, options);
  const { loss = squaredErrorMeanOverNC(), v = prunableWeights(model), memoryBytes } = options;
  const { n, classes } = taskSize(model, data);
  assertPrunable(model, v);
  const sum = new TreeSum();
  try {
    forEachPart(model, data.x, KEPT, memoryBytes, (trace, from, size) => {
      const labels = data.labels.subarray(from, from + size);
      const cotangents = allCotangents(trace, loss.gradient(trace.outputs, labels));
      for (const node of layersOf(model.net, Object.keys(v)))
        tf.tidy(() => {
          const key = node.params.weight!;
          const point = trace.points[node.id]!;
          const rule = ruleOf(node);
          const moved = rule.jvp(point, [null], { weight: v[key]! })!;
          const ddy = layerCotangentTangent(trace, cotangents, node, moved, (outputs) =>
            loss.hessianProduct(trace.outputs, outputs),
          );
          if (ddy) sum.add(key, rule.paramGrad!(point, ddy).weight!);
        });
    });
    return sum.finish(1 / loss.divisor(n, classes), Object.keys(v));
  } finally {
    sum.dispose();
  }
}

/**
 * How the cotangent of one layer's output moves when that output moves by `moved`: only nodes above the layer are visited.
 * @param doutputs from the tangent of the outputs to that of their cotangent; null: it stays (the residual part alone)
 */
export function layerCotangentTangent(
  trace: Trace,
  cotangents: Tree,
  layer: NetNode,
  moved: Tensor,
  doutputs: (outputs: Tensor2D) => Maybe,
): Maybe {
  const motion = spread(trace, { nodes: { [layer.id]: moved } });
  const within = (id: string): boolean => motion.nodes[id] != null;
  let result: Maybe;
  backwardTangent(trace, { cotangents, motion, within }, doutputs(motion.outputs), (node, _point, _dx, _dy, ddy) => {
    if (node === layer) result = ddy && tf.clone(ddy);
  });
  return result;
}

/**
 * Whether each of these layers' blocks H_BB of the Hessian, their diagonals included, EQUALS that of the Gauss-Newton matrix, for any
 * loss and at any outputs: the outputs are then piecewise linear in the layer's weight, which takes that it is used once and that
 * only piecewise linear operations lie between it and the outputs. True of ReLU nets with frozen norms. Blocks that join two layers differ.
 * @param keys prunable weights (default: all)
 */
export function hessianEqualsGaussNewton(
  net: Net,
  keys: readonly string[] = net.prunable,
): { equal: boolean; because: string } {
  for (const key of keys) {
    const because = curvedBetween(net, key);
    if (because !== undefined) return { equal: false, because };
  }
  return { equal: true, because: "every operation between these weights and the outputs is piecewise linear" };
}

/** What makes the outputs curved in this weight; undefined when nothing does. */
function curvedBetween(net: Net, key: string): string | undefined {
  const users = usersOf(net, key);
  if (!net.prunable.includes(key)) throw new Error(`hessian: ${net.name} has no prunable weight '${key}'`);
  if (users.length > 1) return `'${key}' is used by ${users.length} nodes`;
  const above = new Set(users.map(({ id }) => id));
  for (const node of net.nodes) {
    if (!node.inputs.some((id) => above.has(id))) continue;
    above.add(node.id);
    if (ruleOf(node).bend !== "none") return `'${node.id}' (${node.kind}) lies between '${key}' and the outputs`;
  }
  return undefined;
}

/** The layers with these weights. @throws Error naming a weight that several nodes use: it has no block of one layer */
export function layersOf(net: Net, keys: readonly string[]): NetNode[] {
  return keys.map((key) => {
    const [node, ...others] = usersOf(net, key);
    if (node === undefined || others.length > 0 || ruleOf(node).weighted === undefined)
      throw new Error(`hessian: '${key}' must be the weight of one layer`);
    return node;
  });
}

const usersOf = (net: Net, key: string): NetNode[] =>
  net.nodes.filter(({ params }) => Object.values(params).includes(key));

/** What a product with the Hessian keeps of every node: output, its tangent, its cotangent, and room for work. */
export const KEPT = 4;

/** Cotangent of every node's output, by id. */
export function allCotangents(trace: Trace, cotangent: Tensor): Tree {
  const all: Record<string, Tensor> = {};
  backward(trace, cotangent, (node, _, dy) => {
    all[node.id] = tf.clone(dy);
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

function assertPrunable({ net, params }: Model, v: Tree): void {
  for (const [key, tensor] of Object.entries(v)) {
    if (!net.prunable.includes(key)) throw new Error(`hessian: ${net.name} has no prunable weight '${key}'`);
    const { shape } = params[key]!;
    if (shape.join() !== tensor.shape.join())
      throw new Error(`hessian: v['${key}'] must be [${shape}], got [${tensor.shape}]`);
  }
}
