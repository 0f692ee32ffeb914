/** Layers that only Vision Transformers have; tokens are [n, tokens, dim]. */
import { tf } from "../backend";
import type { NetNode, Tensor } from "../types";
import { addAll, directions, lastAxis, leadingAxes, type Point, type Rule } from "./rule";

type Node<Kind extends NetNode["kind"]> = Extract<NetNode, { kind: Kind }>;

/** [n, height, width, channels] -> [n, height width, channels]: pixels become tokens, row by row. */
export const tokens: Rule<Node<"tokens">> = {
  forward: ([x]) => asTokens(x!),
  jvp: (_, [dx]) => dx && asTokens(dx),
  vjp: ({ x }, dy) => [tf.reshape(dy, [dy.shape[0]!, ...x[0]!.shape.slice(1)])],
  bend: "none",
  outputShape: ([x]) => [x![0]! * x![1]!, x![2]!],
};

const asTokens = (x: Tensor): Tensor => tf.reshape(x, [x.shape[0]!, -1, lastAxis(x)]);

/** [n, tokens, dim] -> [n, 1 + tokens, dim]: a learned class token in front, then a learned vector added at every position. */
export const classToken: Rule<Node<"classToken">> = {
  forward([x], { token, positions }) {
    return tf.add(tf.concat([spread(token!, x!.shape[0]!), x!], 1), positions!);
  },

  jvp({ x, y }, [dx], { token, positions }) {
    const n = y.shape[0]!;
    return addAll([
      dx && afterFirst(dx),
      token && beforeOthers(spread(token, n), x[0]!.shape[1]!),
      positions && spread(positions, n),
    ]);
  },

  vjp: (_, dy) => [tf.slice(dy, [0, 1, 0], [dy.shape[0]!, dy.shape[1]! - 1, dy.shape[2]!])],

  paramGrad(_, dy) {
    const positions = tf.sum(dy, 0, true);
    return { token: tf.slice(positions, [0, 0, 0], [1, 1, lastAxis(dy)]), positions };
  },

  bend: "none",
  outputShape: ([x]) => [x![0]! + 1, x![1]!],
};

/** [1, ...] -> [n, ...] */
const spread = (t: Tensor, n: number): Tensor => tf.mul(t, tf.ones([n, 1, 1]));
const afterFirst = (t: Tensor): Tensor =>
  tf.pad(t, [
    [0, 0],
    [1, 0],
    [0, 0],
  ]);
const beforeOthers = (t: Tensor, others: number): Tensor =>
  tf.pad(t, [
    [0, 0],
    [0, others],
    [0, 0],
  ]);

/** [n, tokens, dim] -> [n, dim]: the first token's vector. */
export const takeClass: Rule<Node<"takeClass">> = {
  forward: ([x]) => first(x!),
  jvp: (_, [dx]) => dx && first(dx),
  vjp: ({ x }, dy) => [beforeOthers(tf.reshape(dy, [dy.shape[0]!, 1, lastAxis(dy)]), x[0]!.shape[1]! - 1)],
  bend: "none",
  outputShape: ([x]) => [x![1]!],
};

const first = (x: Tensor): Tensor =>
  tf.reshape(tf.slice(x, [0, 0, 0], [x.shape[0]!, 1, lastAxis(x)]), [-1, lastAxis(x)]);

/** y = weight (x - mean) / sqrt(variance + epsilon) + bias, mean and (biased) variance over the last axis of each token. */
export const layerNorm: Rule<Node<"layerNorm">> = {
  forward([x], { weight, bias }, { epsilon }) {
    return tf.add(tf.mul(standardised(x!, epsilon).unit, weight!), bias!);
  },

  forwardSaving([x], { weight, bias }, { epsilon }) {
    const { unit, inverse } = standardised(x!, epsilon);
    return { y: tf.add(tf.mul(unit, weight!), bias!), saved: [unit, inverse] };
  },

  jvp(at, [dx], { weight, bias }) {
    const { y, params } = at;
    const { unit, inverse } = standardisedAt(at);
    return addAll([
      dx && tf.mul(tf.mul(tangential(dx, unit), inverse), params.weight!),
      weight && tf.mul(unit, weight),
      bias && tf.mul(bias, tf.ones([...y.shape.slice(0, -1), 1])),
    ]);
  },

  // d unit / d x is symmetric: the cotangent goes the same way as the tangent
  vjp(at, dy) {
    const { y, params } = at;
    const { unit, inverse } = standardisedAt(at);
    const m = directions(dy, y);
    const rows = y.size / lastAxis(y);
    const like = (t: Tensor): Tensor => tf.reshape(t, [1, rows, lastAxis(t)]);
    const g = tf.reshape(tf.mul(dy, params.weight!), [m, rows, lastAxis(y)]);
    return [tf.reshape(tf.mul(tangential(g, like(unit)), like(inverse)), dy.shape)];
  },

  // x-cotangent = r T g with g = weight dy, T t = t - mean(t) - u mean(u t); along dx: du = r T dx, dr = -r^2 mean(u dx)
  bend(at, [dx], dy) {
    if (dx == null) return [null];
    const { unit, inverse } = standardisedAt(at);
    const mean = (a: Tensor, b: Tensor): Tensor => tf.mean(tf.mul(a, b), -1, true);
    const g = tf.mul(dy, at.params.weight!);
    const dunit = tf.mul(tangential(dx, unit), inverse);
    const dinverse = tf.mul(tf.square(inverse), mean(unit, dx));
    const dtangential = tf.add(tf.mul(dunit, mean(unit, g)), tf.mul(unit, mean(dunit, g)));
    return [tf.neg(tf.add(tf.mul(dinverse, tangential(g, unit)), tf.mul(inverse, dtangential)))];
  },

  paramGrad(at, dy) {
    const { unit } = standardisedAt(at);
    return { weight: tf.sum(tf.mul(dy, unit), leadingAxes(dy)), bias: tf.sum(dy, leadingAxes(dy)) };
  },

  outputShape: ([x]) => x!,
};

interface Standardised {
  readonly unit: Tensor;
  readonly inverse: Tensor;
}

const standardisedAt = ({ x, attributes: { epsilon }, saved }: Point<Node<"layerNorm">>): Standardised =>
  saved ? { unit: saved[0]!, inverse: saved[1]! } : standardised(x[0]!, epsilon);

/** x with mean 0 and variance 1 in every token, and 1 / sqrt(variance + epsilon). */
function standardised(x: Tensor, epsilon: number): Standardised {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon));
  return { unit: tf.mul(centred, inverse), inverse };
}

/** t less its mean and its part along `unit`, token by token. */
function tangential(t: Tensor, unit: Tensor): Tensor {
  const along = tf.mean(tf.mul(t, unit), -1, true);
  return tf.sub(tf.sub(t, tf.mean(t, -1, true)), tf.mul(unit, along));
}

/**
 * Multi-head self-attention between two linear layers: [n, tokens, 3 dim] (queries, keys, values; each heads x dim/heads) -> [n, tokens, dim],
 *   y = softmax(Q K^T / sqrt(dim / heads)) V  in each head.
 */
export const attention: Rule<Node<"attention">> = {
  forward([x], _, { heads }) {
    const { weights, v } = attend(x!, heads);
    return joinHeads(tf.matMul(weights, v));
  },

  forwardSaving([x], _, { heads }) {
    const { q, k, v, weights } = attend(x!, heads);
    return { y: joinHeads(tf.matMul(weights, v)), saved: [q, k, v, weights] };
  },

  jvp(at, [dx]) {
    if (dx == null) return dx;
    const { q, k, v, weights, scale } = attendAt(at);
    const d = splitHeads(dx, at.attributes.heads);
    const logits = tf.mul(tf.add(tf.matMul(d.q, k, false, true), tf.matMul(q, d.k, false, true)), scale);
    return joinHeads(tf.add(tf.matMul(softmaxProduct(weights, logits), v), tf.matMul(weights, d.v)));
  },

  vjp(at, dy) {
    const { q, k, v, weights, scale } = attendAt(at);
    const { heads } = at.attributes;
    const { y } = at;
    const m = directions(dy, y);
    // [m, n heads, tokens, ...]; what the point knows has m = 1 and is broadcast
    const stack = (t: Tensor, by: number): Tensor => tf.reshape(t, [by, y.shape[0]! * heads, ...t.shape.slice(2)]);
    const [Q, K, V, A] = [q, k, v, weights].map((t) => stack(t, 1)) as [Tensor, Tensor, Tensor, Tensor];
    const g = stack(headsApart(dy, heads), m);
    const dlogits = tf.mul(softmaxProduct(A, tf.matMul(g, V, false, true)), scale);
    return [
      mergeHeads(
        [tf.matMul(dlogits, K), tf.matMul(dlogits, Q, true), tf.matMul(A, g, true)].map((t) =>
          tf.reshape(t, [dy.shape[0]!, heads, ...t.shape.slice(2)]),
        ),
      ),
    ];
  },

  // with P = g V^T: dlogits = scale A (P - sum A P), cotangents dlogits K, dlogits^T Q, A^T g; each factor moves in turn
  bend(at, [dx], dy) {
    if (dx == null) return [null];
    const { q, k, v, weights: A, scale } = attendAt(at);
    const { heads } = at.attributes;
    const d = splitHeads(dx, heads);
    const g = headsApart(dy, heads);
    const rowSum = (t: Tensor): Tensor => tf.sum(t, -1, true);
    const logits = tf.mul(tf.add(tf.matMul(d.q, k, false, true), tf.matMul(q, d.k, false, true)), scale);
    const dA = softmaxProduct(A, logits);
    const P = tf.matMul(g, v, false, true);
    const dP = tf.matMul(g, d.v, false, true);
    const centred = tf.sub(P, rowSum(tf.mul(A, P)));
    const dcentred = tf.sub(dP, rowSum(tf.add(tf.mul(dA, P), tf.mul(A, dP))));
    const dlogits = tf.mul(tf.mul(A, centred), scale);
    const ddlogits = tf.mul(tf.add(tf.mul(dA, centred), tf.mul(A, dcentred)), scale);
    return [
      mergeHeads([
        tf.add(tf.matMul(ddlogits, k), tf.matMul(dlogits, d.k)),
        tf.add(tf.matMul(ddlogits, q, true), tf.matMul(dlogits, d.q, true)),
        tf.matMul(dA, g, true),
      ]),
    ];
  },

  outputShape: ([x]) => [x![0]!, x![1]! / 3],

  /** Q K^T and the weighted sum of V */
  macs: ([x]) => 2 * x![0]! ** 2 * (x![1]! / 3),
};

interface Heads {
  /** each [n, heads, tokens, dim / heads] */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

function splitHeads(x: Tensor, heads: number): Heads {
  const [n, length, triple] = x.shape as [number, number, number];
  const size = triple / 3 / heads;
  const apart = tf.transpose(tf.reshape(x, [n, length, 3, heads, size]), [2, 0, 3, 1, 4]);
  const [q, k, v] = tf.unstack(apart) as [Tensor, Tensor, Tensor];
  return { q, k, v };
}

/** The inverse of `splitHeads`, from [q, k, v]. */
function mergeHeads(parts: readonly Tensor[]): Tensor {
  const [n, heads, length, size] = parts[0]!.shape as [number, number, number, number];
  return tf.reshape(tf.transpose(tf.stack(parts as Tensor[]), [1, 3, 0, 2, 4]), [n, length, 3 * heads * size]);
}

/** [n, tokens, dim] -> [n, heads, tokens, dim / heads] */
function headsApart(y: Tensor, heads: number): Tensor {
  const [n, length, dim] = y.shape as [number, number, number];
  return tf.transpose(tf.reshape(y, [n, length, heads, dim / heads]), [0, 2, 1, 3]);
}

function joinHeads(y: Tensor): Tensor {
  const [n, heads, length, size] = y.shape as [number, number, number, number];
  return tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [n, length, heads * size]);
}

/** Queries, keys, values and the attention weights [n, heads, tokens, tokens]; scale = 1 / sqrt(dim / heads). */
interface Attention extends Heads {
  readonly weights: Tensor;
  readonly scale: number;
}

function attendAt({ x, attributes: { heads }, saved }: Point<Node<"attention">>): Attention {
  if (!saved) return attend(x[0]!, heads);
  const [q, k, v, weights] = saved as [Tensor, Tensor, Tensor, Tensor];
  return { q, k, v, weights, scale: 1 / Math.sqrt(lastAxis(q)) };
}

function attend(x: Tensor, heads: number): Attention {
  const parts = splitHeads(x, heads);
  const scale = 1 / Math.sqrt(lastAxis(parts.q));
  return { ...parts, weights: tf.softmax(tf.mul(tf.matMul(parts.q, parts.k, false, true), scale)), scale };
}

/** The derivative of softmax (symmetric): a (t - sum a t) along the last axis. */
const softmaxProduct = (a: Tensor, t: Tensor): Tensor => tf.mul(a, tf.sub(t, tf.sum(tf.mul(a, t), -1, true)));
