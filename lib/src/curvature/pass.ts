/** Whole-net forward pass, Jacobian-vector and vector-Jacobian products, without a tape. */
import { tf } from "../backend";
import { addAll, batchNormTraining, type Maybe, type Params, type Point, ruleOf } from "../layers";
import type { Model, NetNode, Tensor, Tensor2D, Tree } from "../types";

/** One forward pass, everything kept that derivatives need. Use it inside tf.tidy. */
export interface Trace {
  readonly model: Model;
  readonly points: Readonly<Record<string, Point>>;
  /** [n, features] */
  readonly features: Tensor2D;
  /** [n, classes] with a head, else the features */
  readonly outputs: Tensor2D;
  /** training mode: the running statistics after this batch */
  readonly running: Tree;
  readonly training: boolean;
}

const paramsOf = (model: Model, node: NetNode): Params =>
  Object.fromEntries(Object.entries(node.params).map(([role, key]) => [role, model.params[key]!]));

const applyHead = ({ head }: Model, features: Tensor): Tensor2D =>
  (head === undefined ? features : tf.add(tf.matMul(features as Tensor2D, head.weight), head.bias)) as Tensor2D;

/**
 * f(x) with norms frozen, or, with `training`, with the batch's own statistics.
 * @param x [n, height, width, channels]
 */
export function forward(model: Model, x: Tensor, { training = false }: { training?: boolean } = {}): Trace {
  assertInput(model, x);
  const points: Record<string, Point> = {};
  const running: Record<string, Tensor> = {};
  let last: Tensor = x;
  for (const node of model.net.nodes) {
    const inputs = node.inputs.map((id) => (id === "x" ? x : points[id]!.y));
    const params = paramsOf(model, node);
    if (training && node.kind === "batchNorm") {
      const { point, running: moved } = batchNormTraining.forward(inputs[0]!, params, node.attributes);
      points[node.id] = point as unknown as Point;
      for (const [role, value] of Object.entries(moved)) running[node.params[role]!] = value;
    } else {
      const rule = ruleOf(node);
      const made = tf.tidy(
        () =>
          (rule.forwardSaving?.(inputs, params, node.attributes) ?? {
            y: rule.forward(inputs, params, node.attributes),
          }) as never,
      ) as Pick<Point, "y" | "saved">;
      points[node.id] = { x: inputs, ...made, params, attributes: node.attributes } as Point;
    }
    last = points[node.id]!.y;
  }
  return { model, points, features: last as Tensor2D, outputs: applyHead(model, last), running, training };
}

/** f(x) alone, norms frozen; every intermediate result is freed after its last use. */
export function predict(model: Model, x: Tensor): Tensor2D {
  assertInput(model, x);
  return tf.tidy(() => {
    const lastUse: Record<string, number> = {};
    model.net.nodes.forEach((node, i) => {
      for (const id of node.inputs) lastUse[id] = i;
    });
    const values: Record<string, Tensor> = { x };
    let last: Tensor = x;
    model.net.nodes.forEach((node, i) => {
      const inputs = node.inputs.map((id) => values[id]!);
      last = values[node.id] = tf.tidy(() => ruleOf(node).forward(inputs, paramsOf(model, node), node.attributes));
      for (const id of node.inputs) if (id !== "x" && lastUse[id] === i) values[id]!.dispose();
    });
    return applyHead(model, last);
  });
}

/** Tangents: by parameter key, and of the image under "x". Missing means zero. */
export interface Tangents {
  readonly params?: Tree;
  readonly x?: Tensor;
  /** by node id: added to the tangent of that node's output */
  readonly nodes?: Tree;
}

/** J v: the directional derivative of the outputs, [n, classes] (or features without a head). */
export function jvp(trace: Trace, along: Tangents): Tensor2D {
  return spread(trace, along).outputs;
}

/** What moves when parameters do: the tangent of every node's output by id (missing means zero), and of the outputs. */
export interface Motion {
  readonly nodes: Readonly<Record<string, Maybe>>;
  readonly outputs: Tensor2D;
}

export function spread(
  { model, points, features, training }: Trace,
  { params: dparams = {}, x: dx, nodes: dnodes = {} }: Tangents,
): Motion {
  if (training) throw new Error("jvp: norms must be frozen (the trace was made in training mode)");
  for (const key of Object.keys(dparams))
    if (!(key in model.net.params)) throw new Error(`jvp: ${model.net.name} has no parameter '${key}'`);
  const tangents: Record<string, Maybe> = { x: dx };
  let last: Maybe;
  for (const node of model.net.nodes) {
    const dp: Record<string, Tensor> = {};
    for (const [role, key] of Object.entries(node.params)) if (dparams[key]) dp[role] = dparams[key]!;
    const dinputs = node.inputs.map((id) => tangents[id]);
    const still = dinputs.every((t) => t == null) && Object.keys(dp).length === 0;
    const own = still ? null : inTidy(() => ruleOf(node).jvp(points[node.id]!, dinputs, dp));
    last = addAll([own, dnodes[node.id]]);
    tangents[node.id] = last;
  }
  const dfeatures = last ?? tf.zerosLike(features);
  const outputs = (model.head ? tf.matMul(dfeatures as Tensor2D, model.head.weight) : dfeatures) as Tensor2D;
  return { nodes: tangents, outputs };
}

/** What a backward pass tells of each node: its cotangent dy, which may carry stacked directions and lives for this visit only. */
export type Visit = (node: NetNode, point: Point, dy: Tensor, paramGrad?: Params) => void;

/**
 * Sends a cotangent of the outputs back through the net; `visit` sees every node's output cotangent.
 * @param cotangent [M n, classes], direction-major when M > 1
 */
export function backward(trace: Trace, cotangent: Tensor, visit: Visit): void {
  const { model, points, training } = trace;
  const nodes = model.net.nodes;
  const pending: Pending = {};
  startPending(pending, model, cotangent);
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    const dy = pending[node.id];
    delete pending[node.id];
    if (dy === undefined) continue;
    const point = points[node.id]!;
    const trained = training && node.kind === "batchNorm" ? batchNormTraining.grad(point as never, dy) : undefined;
    visit(node, point, dy, trained?.params);
    const dinputs = trained
      ? [trained.dx]
      : node.inputs.some((id) => id !== "x")
        ? tf.tidy(() => ruleOf(node).vjp(point, dy))
        : [];
    addPending(pending, node, dinputs);
    tf.dispose([dy, ...dinputs]);
  }
}

/** Cotangents on their way, by node; they belong to the pass. */
type Pending = Record<string, Tensor>;

function startPending(pending: Pending, { net, head }: Model, cotangent: Tensor): void {
  const last = net.nodes[net.nodes.length - 1]!.id;
  pending[last] = head ? tf.matMul(cotangent as Tensor2D, head.weight, false, true) : tf.clone(cotangent);
}

/** Adds cotangents of a node's inputs, which stay the caller's (a rule may give one tensor twice, or the one that it got). */
function addPending(pending: Pending, node: NetNode, dinputs: readonly Maybe[]): void {
  node.inputs.forEach((id, k) => {
    const more = dinputs[k];
    if (id === "x" || more == null) return;
    const old = pending[id];
    pending[id] = old ? tf.add(old, more) : tf.clone(more);
    old?.dispose();
  });
}

/** tf.tidy for a result that may be missing. */
const inTidy = <T extends Maybe | Maybe[]>(f: () => T): T => tf.tidy(f as () => Tensor) as T;

/** What the tangent of a backward pass tells of each node: tangents dx of its inputs, its cotangent dy, and that one's tangent ddy, for this visit only. */
export type VisitTangent = (node: NetNode, point: Point, dx: readonly Maybe[], dy: Tensor, ddy: Maybe) => void;

/** A backward pass at a point that moves, and how it moves. */
export interface MovingPass {
  /** of every node, as `backward` told them */
  readonly cotangents: Tree;
  readonly motion: Motion;
  /** tangents of prunable weights, by key; missing means zero */
  readonly weights?: Tree;
  /** only cotangents of nodes with these ids move (default: all) */
  readonly within?: (id: string) => boolean;
}

/**
 * Derivative of `backward` while the point moves and the outputs' cotangent moves by `doutputs` (missing: it stays):
 *   ddx = vjp(x, W; ddy) + vjp(x, dW; dy) + bend(x, W; dx, dy).
 */
export function backwardTangent(
  { model, points }: Trace,
  { cotangents, motion, weights = {}, within = () => true }: MovingPass,
  doutputs: Maybe,
  visit: VisitTangent,
): void {
  const nodes = model.net.nodes;
  const pending: Pending = {};
  if (doutputs) startPending(pending, model, doutputs);
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    const dy = cotangents[node.id];
    if (dy === undefined || !within(node.id)) continue;
    const point = points[node.id]!;
    const ddy = pending[node.id];
    delete pending[node.id];
    const dx = node.inputs.map((id) => motion.nodes[id]);
    visit(node, point, dx, dy, ddy);
    if (node.inputs.some((id) => id !== "x" && within(id))) {
      const { bend, vjp, weighted } = ruleOf(node);
      const weight = weighted && weights[node.params.weight!];
      const terms: ((() => Maybe[]) | false | null | undefined)[] = [
        ddy && (() => vjp(point, ddy)),
        weight && (() => vjp({ ...point, params: { ...point.params, weight } }, dy)),
        bend !== "none" && dx.some((t) => t != null) && (() => bend(point, dx, dy)),
      ];
      for (const term of terms) {
        if (!term) continue;
        const dinputs = inTidy(term);
        addPending(pending, node, dinputs);
        for (const t of dinputs) if (t !== ddy) t?.dispose();
      }
    }
    ddy?.dispose();
  }
}

/**
 * J^T u: gradients of sum(outputs * cotangent) for the learnable parameters, by key.
 * @param keys only these (default: every parameter of the net that has a gradient)
 */
export function vjp(trace: Trace, cotangent: Tensor, keys?: readonly string[]): Tree {
  const wanted = keys && new Set(keys);
  const gradients: Record<string, Tensor> = {};
  backward(trace, cotangent, (node, point, dy, trained) => {
    const roles = Object.entries(node.params).filter(([, key]) => wanted?.has(key) ?? true);
    if (roles.length === 0) return;
    const grads = trained ?? tf.tidy(() => ruleOf(node).paramGrad?.(point, dy) ?? {});
    for (const [role, key] of roles) if (grads[role]) gradients[key] = grads[role]!;
  });
  return gradients;
}

function assertInput({ net }: Model, x: Tensor): void {
  if (x.rank !== 4 || x.shape.slice(1).join() !== net.input.join())
    throw new Error(`${net.name}: images must be [n, ${net.input.join(", ")}], got [${x.shape.join(", ")}]`);
}
