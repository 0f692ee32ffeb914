/** Path exclusion by listing every path from a pixel to a feature, one at a time, in plain numbers. */
import { type Batch, curvature, type Model, type NetNode, nets, type Tensor } from "secateur";

/** Index of a value within one image's [h, w, c] or [c]. */
type At = number;

/** One step down a path: the value below, and what the path is multiplied with on the way. */
interface Edge {
  readonly input: number;
  readonly at: At;
  /** the weight on this step, if any */
  readonly weight?: { readonly key: string; readonly index: number };
  /** constant factor of this step */
  readonly factor?: number;
}

interface View {
  /** steps that lead down from value `at` of a node */
  edges(node: NetNode, at: At): Edge[];
  /** the square of a weight, or the even weight 1 / fan-in */
  value(key: string, index: number): number;
}

/** Sum over all paths that end at value `at` of `id` of their products, times the pixels they start from; `along` sees every path. */
function walk(
  model: Model,
  view: View,
  id: string,
  at: At,
  pixels: ArrayLike<number>,
  along: (value: number, weights: readonly Edge["weight"][]) => void,
  product = 1,
  weights: readonly Edge["weight"][] = [],
): void {
  if (id === "x") {
    along(product * pixels[at]!, weights);
    return;
  }
  const node = model.net.nodes.find((candidate) => candidate.id === id)!;
  for (const edge of view.edges(node, at)) {
    const { weight, factor = 1 } = edge;
    const next = product * factor * (weight ? view.value(weight.key, weight.index) : 1);
    walk(model, view, node.inputs[edge.input]!, edge.at, pixels, along, next, weight ? [...weights, weight] : weights);
  }
}

/** Edges of one node; `alive` tells whether an activation lets a path through, `pool` which pixels a max pool joins and how. */
function edgesOf(
  model: Model,
  alive: (id: string, at: At) => boolean,
  pool: (node: NetNode, windowOf: readonly At[], at: At) => Edge[],
  norm: (node: NetNode, channel: number) => number,
): View["edges"] {
  const shapes = nets.outputShapes(model.net);
  const split = (shape: readonly number[], at: At): [number, number, number] => {
    const [, w, c] = shape as [number, number, number];
    return [Math.floor(at / (w * c)), Math.floor(at / c) % w, at % c];
  };
  const window = (
    shape: readonly number[],
    row: number,
    column: number,
    size: readonly [number, number],
    stride: number,
    pad: number,
  ) => {
    const [h, w] = shape as [number, number, number];
    const inside: { row: number; column: number; i: number; j: number }[] = [];
    for (let i = 0; i < size[0]; i++)
      for (let j = 0; j < size[1]; j++) {
        const [r, s] = [row * stride + i - pad, column * stride + j - pad];
        if (r >= 0 && r < h && s >= 0 && s < w) inside.push({ row: r, column: s, i, j });
      }
    return inside;
  };
  return (node, at) => {
    const shape = shapes[node.id]!;
    const below = shapes[node.inputs[0]!]!;
    if (node.kind === "add") return node.inputs.map((_, input) => ({ input, at }));
    if (node.kind === "relu") return alive(node.id, at) ? [{ input: 0, at }] : [];
    if (node.kind === "flatten") return [{ input: 0, at }];
    if (node.kind === "batchNorm") return [{ input: 0, at, factor: norm(node, at % shape[shape.length - 1]!) }];
    if (node.kind === "linear") {
      const out = shape[0]!;
      return Array.from({ length: below[0]! }, (_, k) => ({
        input: 0,
        at: k,
        weight: { key: node.params.weight!, index: k * out + at },
      }));
    }
    if (node.kind === "globalAvgPool") {
      const [h, w, c] = below as [number, number, number];
      return Array.from({ length: h * w }, (_, p) => ({ input: 0, at: p * c + at, factor: 1 / (h * w) }));
    }
    const [row, column, channel] = split(shape, at);
    const [, w, c] = below as [number, number, number];
    if (node.kind === "maxPool") {
      const { size, stride, pad } = node.attributes;
      const pixels = window(below, row, column, [size, size], stride, pad);
      return pool(
        node,
        pixels.map((p) => (p.row * w + p.column) * c + channel),
        at,
      );
    }
    if (node.kind !== "conv2d") throw new Error(`paths: no edges for ${node.kind}`);
    const [kh, kw, cin, out] = model.net.params[node.params.weight!]!.shape as [number, number, number, number];
    const { stride, pad } = node.attributes;
    return window(below, row, column, [kh, kw], stride, pad).flatMap(({ row: r, column: s, i, j }) =>
      Array.from({ length: cin }, (_, from) => ({
        input: 0,
        at: (r * w + s) * c + from,
        weight: { key: node.params.weight!, index: ((i * kw + j) * cin + from) * out + channel },
      })),
    );
  };
}

/** z1: squared pixels along the paths that the net's own pattern keeps open, every weight 1 / fan-in; mean 1 over the features. */
function patternPaths(model: Model, { x }: Batch): number[] {
  const trace = curvature.forward({ net: model.net, params: model.params }, x);
  const n = x.shape[0];
  const valuesOf = (t: Tensor): ArrayLike<number> => t.dataSync();
  const values = Object.fromEntries([
    ["x", valuesOf(x)],
    ...model.net.nodes.map(({ id }) => [id, valuesOf(trace.points[id]!.y)] as const),
  ]);
  const last = model.net.nodes[model.net.nodes.length - 1]!.id;
  const sums = new Array<number>(model.net.features).fill(0);
  for (let image = 0; image < n; image++) {
    const valueAt = (id: string, at: At): number => values[id]![(image * values[id]!.length) / n + at]!;
    const view: View = {
      edges: edgesOf(
        model,
        (id, at) => valueAt(id, at) > 0,
        (node, windowOf) => {
          const heights = windowOf.map((at) => valueAt(node.inputs[0]!, at));
          return [{ input: 0, at: windowOf[heights.indexOf(Math.max(...heights))]! }];
        },
        () => 1,
      ),
      value: (key) => {
        const { shape } = model.net.params[key]!;
        return shape[shape.length - 1]! / shape.reduce((a, b) => a * b, 1);
      },
    };
    const size = values.x!.length / n;
    const squares = Float64Array.from({ length: size }, (_, i) => valueAt("x", i) ** 2);
    for (let k = 0; k < sums.length; k++)
      walk(model, view, last, k, squares, (value) => {
        sums[k] = sums[k]! + value;
      });
  }
  const mean = sums.reduce((a, b) => a + b, 0) / sums.length;
  return sums.map((sum) => sum / mean);
}

/** score_j = sum over the paths through weight j of z1 at their end times the product of their squared weights and norm scales. */
export function pathScores(model: Model, data: Batch): Record<string, Float64Array> {
  const z1 = patternPaths(model, data);
  const squares = Object.fromEntries(
    Object.entries(model.params).map(([key, t]) => [key, Float64Array.from(t.dataSync(), (v) => v * v)]),
  );
  const view: View = {
    edges: edgesOf(
      model,
      () => true,
      (node, windowOf) => {
        const area = (node.attributes as { size: number }).size ** 2;
        return windowOf.map((at) => ({ input: 0, at, factor: 1 / area }));
      },
      (node, channel) => {
        const variance = model.params[node.params.variance!]!.dataSync()[channel]!;
        return squares[node.params.weight!]![channel]! / (variance + (node.attributes as { epsilon: number }).epsilon);
      },
    ),
    value: (key, index) => squares[key]![index]!,
  };
  const scores = Object.fromEntries(model.net.prunable.map((key) => [key, new Float64Array(model.params[key]!.size)]));
  const ones = new Float64Array(model.net.input.reduce((a, b) => a * b, 1)).fill(1);
  const last = model.net.nodes[model.net.nodes.length - 1]!.id;
  z1.forEach((open, k) => {
    walk(model, view, last, k, ones, (value, weights) => {
      for (const weight of weights) scores[weight!.key]![weight!.index]! += open * value;
    });
  });
  return scores;
}
