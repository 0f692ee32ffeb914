import { backend, type LayerKind, layers, type NetNode, type Tensor } from "secateur";
import { describe, expect, test } from "vitest";
import { FD_RTOL, fourPointSlope, moved, slope } from "../oracle/differences";
import "../support/close-tree";
import { randomTensor } from "../support/tiny-nets";

const { tf } = backend;

interface Case {
  readonly name: string;
  readonly kind: LayerKind;
  readonly inputs: readonly (readonly number[])[];
  readonly params?: Readonly<Record<string, readonly number[]>>;
  readonly attributes?: Readonly<Record<string, number>>;
  readonly output: readonly number[];
}

const norm = { weight: [3], bias: [3], mean: [3], variance: [3] };
const window = (size: number, stride: number, pad: number): Record<string, number> => ({ size, stride, pad });

const cases: readonly Case[] = [
  {
    name: "conv 3x3, stride 1",
    kind: "conv2d",
    inputs: [[5, 4, 2]],
    params: { weight: [3, 3, 2, 3], bias: [3] },
    attributes: { stride: 1, pad: 1 },
    output: [5, 4, 3],
  },
  {
    name: "conv 3x3, stride 2, even and odd side",
    kind: "conv2d",
    inputs: [[6, 5, 2]],
    params: { weight: [3, 3, 2, 3] },
    attributes: { stride: 2, pad: 1 },
    output: [3, 3, 3],
  },
  {
    name: "conv 7x7, stride 2, pad 3",
    kind: "conv2d",
    inputs: [[8, 9, 1]],
    params: { weight: [7, 7, 1, 2] },
    attributes: { stride: 2, pad: 3 },
    output: [4, 5, 2],
  },
  {
    name: "conv 1x1, stride 1",
    kind: "conv2d",
    inputs: [[3, 4, 2]],
    params: { weight: [1, 1, 2, 3], bias: [3] },
    attributes: { stride: 1, pad: 0 },
    output: [3, 4, 3],
  },
  {
    name: "conv 1x1, stride 2, last row and column unused",
    kind: "conv2d",
    inputs: [[4, 6, 2]],
    params: { weight: [1, 1, 2, 3] },
    attributes: { stride: 2, pad: 0 },
    output: [2, 3, 3],
  },
  {
    name: "conv 3x2, no padding",
    kind: "conv2d",
    inputs: [[5, 4, 2]],
    params: { weight: [3, 2, 2, 3] },
    attributes: { stride: 1, pad: 0 },
    output: [3, 3, 3],
  },
  { name: "linear", kind: "linear", inputs: [[5]], params: { weight: [5, 3], bias: [3] }, output: [3] },
  { name: "linear on tokens", kind: "linear", inputs: [[4, 5]], params: { weight: [5, 3] }, output: [4, 3] },
  {
    name: "batchNorm, frozen",
    kind: "batchNorm",
    inputs: [[4, 2, 3]],
    params: norm,
    attributes: { epsilon: 1e-5, momentum: 0.1 },
    output: [4, 2, 3],
  },
  { name: "tokens", kind: "tokens", inputs: [[2, 3, 4]], output: [6, 4] },
  {
    name: "classToken",
    kind: "classToken",
    inputs: [[5, 4]],
    params: { token: [1, 1, 4], positions: [1, 6, 4] },
    output: [6, 4],
  },
  { name: "takeClass", kind: "takeClass", inputs: [[5, 4]], output: [4] },
  {
    name: "layerNorm",
    kind: "layerNorm",
    inputs: [[5, 3]],
    params: { weight: [3], bias: [3] },
    attributes: { epsilon: 1e-6 },
    output: [5, 3],
  },
  { name: "attention, 1 head", kind: "attention", inputs: [[3, 12]], attributes: { heads: 1 }, output: [3, 4] },
  { name: "attention, 2 heads", kind: "attention", inputs: [[5, 12]], attributes: { heads: 2 }, output: [5, 4] },
  { name: "relu", kind: "relu", inputs: [[3, 4, 2]], output: [3, 4, 2] },
  { name: "gelu", kind: "gelu", inputs: [[3, 4, 2]], output: [3, 4, 2] },
  {
    name: "add of two",
    kind: "add",
    inputs: [
      [3, 4, 2],
      [3, 4, 2],
    ],
    output: [3, 4, 2],
  },
  { name: "add of three", kind: "add", inputs: [[5], [5], [5]], output: [5] },
  {
    name: "maxPool 3, stride 2, pad 1",
    kind: "maxPool",
    inputs: [[7, 6, 2]],
    attributes: window(3, 2, 1),
    output: [4, 3, 2],
  },
  { name: "maxPool 2, stride 2", kind: "maxPool", inputs: [[5, 4, 2]], attributes: window(2, 2, 0), output: [2, 2, 2] },
  {
    name: "avgPool 3, stride 2, pad 1",
    kind: "avgPool",
    inputs: [[7, 6, 2]],
    attributes: window(3, 2, 1),
    output: [4, 3, 2],
  },
  { name: "avgPool 2, stride 1", kind: "avgPool", inputs: [[4, 3, 2]], attributes: window(2, 1, 0), output: [3, 2, 2] },
  { name: "globalAvgPool", kind: "globalAvgPool", inputs: [[4, 3, 2]], output: [2] },
  { name: "flatten", kind: "flatten", inputs: [[4, 3, 2]], output: [24] },
];

const N = 2;
const M = 3;
const exact = { rtol: 1e-12 }; // the same sums in another order, float64

/** The layer at a random point, and functions that move the point. */
function pointOf({ name, kind, inputs, params = {}, attributes = {} }: Case) {
  const node = { kind, attributes } as unknown as NetNode;
  const rule = layers.ruleOf(node);
  const x = inputs.map((shape, i) => randomTensor([N, ...shape], 1, name, i));
  const p = Object.fromEntries(
    Object.entries(params).map(([role, shape]) => {
      const t = randomTensor(shape, 2, name, role);
      return [role, role === "variance" ? tf.add(tf.square(t), 0.5) : t];
    }),
  );
  const forward = (xs: readonly Tensor[], ps: layers.Params): Tensor => rule.forward(xs, ps, node.attributes);
  const point: layers.Point = { x, y: forward(x, p), params: p, attributes: node.attributes };
  return { rule, x, p, forward, point };
}

const dot = (a: Tensor, b: Tensor): number => tf.sum(tf.mul(a, b)).dataSync()[0]!;

/** What a gradient is asked for: all parameters but the running statistics. */
const learnable = (params: layers.Params): string[] =>
  Object.keys(params).filter((role) => !/mean|variance/.test(role));

test("every kind has a case", () => {
  expect(new Set(cases.map(({ kind }) => kind))).toEqual(new Set(Object.keys(layers.rules)));
});

describe.each(cases)("$name", (c) => {
  const { rule, x, p, forward, point } = pointOf(c);
  const cotangent = randomTensor(point.y.shape, 3, c.name, "cotangent");

  test("outputShape tells the output's shape", () => {
    expect(point.y.shape).toEqual([N, ...c.output]);
    expect(rule.outputShape(c.inputs, c.params ?? {}, point.attributes)).toEqual(c.output);
  });

  test("jvp in the inputs is the difference quotient", () => {
    const dx = x.map((t, i) => randomTensor(t.shape, 4, c.name, i));
    const expected = slope((step) =>
      forward(
        x.map((t, i) => moved(t, dx[i]!, step)),
        p,
      ),
    );
    expect({ dy: rule.jvp(point, dx, {})! }).toBeNearTree({ dy: expected }, { rtol: FD_RTOL });
  });

  test("jvp takes a missing tangent of an input as zero", () => {
    expect(
      rule.jvp(
        point,
        x.map(() => null),
        {},
      ) ?? null,
    ).toBeNull();
    const dx = randomTensor(x[0]!.shape, 4, c.name, 0);
    const zeros = x.slice(1).map((t) => tf.zerosLike(t));
    const expected = rule.jvp(point, [dx, ...zeros], {})!;
    expect({ dy: rule.jvp(point, [dx, ...zeros.map(() => undefined)], {})! }).toBeNearTree({ dy: expected }, exact);
  });

  test("vjp is the transpose of jvp", () => {
    const dx = x.map((t, i) => randomTensor(t.shape, 5, c.name, i));
    const left = dot(rule.jvp(point, dx, {})!, cotangent);
    const right = rule.vjp(point, cotangent).reduce((sum, t, i) => sum + dot(t, dx[i]!), 0);
    expect({ dot: [right] }).toBeNearTree({ dot: [left] }, { rtol: 1e-11 });
  });

  test("vjp of stacked directions is that of each direction", () => {
    const each = Array.from({ length: M }, (_, m) => randomTensor(point.y.shape, 6, c.name, m));
    const stacked = rule.vjp(point, tf.concat(each, 0));
    const single = each.map((dy) => rule.vjp(point, dy));
    x.forEach((_, i) => {
      expect({ dx: stacked[i]! }).toBeNearTree(
        {
          dx: tf.concat(
            single.map((s) => s[i]!),
            0,
          ),
        },
        exact,
      );
    });
  });

  if (rule.forwardSaving)
    test("what is saved for derivatives changes neither output nor derivatives", () => {
      const { y, saved } = rule.forwardSaving!(x, p, point.attributes);
      const at = { ...point, saved };
      const dx = x.map((t, i) => randomTensor(t.shape, 10, c.name, i));
      const all = (where: layers.Point): Record<string, Tensor> => ({
        y: where.y,
        jvp: rule.jvp(where, dx, p)!,
        vjp: rule.vjp(where, tf.concat([cotangent, tf.neg(cotangent)], 0))[0]!,
        bend: (rule.bend as layers.Bend)(where, dx, cotangent)[0]!,
        ...rule.paramGrad?.(where, cotangent),
      });
      expect(all({ ...at, y })).toBeNearTree(all(point), { rtol: 1e-14 });
    });

  test("bend is the difference quotient of vjp; where there is none, vjp stays between switches", () => {
    const dx = x.map((t, i) => randomTensor(t.shape, 8, c.name, i));
    const vjpAt = (step: number): Tensor[] => {
      const at = x.map((t, i) => moved(t, dx[i]!, step));
      return rule.vjp({ ...point, x: at, y: forward(at, p) }, cotangent);
    };
    x.forEach((_, i) => {
      if (rule.bend === "none") expect({ dx: vjpAt(1e-6)[i]! }).toBeNearTree({ dx: vjpAt(0)[i]! }, { rtol: 0 });
      else
        expect({ dx: rule.bend(point, dx, cotangent)[i]! }).toBeNearTree(
          { dx: fourPointSlope((step) => vjpAt(step)[i]!) },
          { rtol: FD_RTOL },
        );
    });
  });

  test("bend takes a missing tangent as zero", () => {
    const still = x.map(() => null);
    if (rule.bend !== "none") expect(rule.bend(point, still, cotangent).every((t) => t == null)).toBe(true);
  });

  for (const role of learnable(p)) {
    test(`jvp in ${role} is the difference quotient`, () => {
      const dp = randomTensor(p[role]!.shape, 7, c.name, role);
      const expected = slope((step) => forward(x, { ...p, [role]: moved(p[role]!, dp, step) }));
      expect({
        dy: rule.jvp(
          point,
          x.map(() => null),
          { [role]: dp },
        )!,
      }).toBeNearTree({ dy: expected }, { rtol: FD_RTOL });
    });

    test(`paramGrad of ${role} is the transpose of its jvp, entry by entry`, () => {
      const size = p[role]!.size;
      const expected = Float64Array.from({ length: size }, (_, j) => {
        const unit = tf.reshape(tf.oneHot([j], size, 1, 0, "float32"), p[role]!.shape);
        return dot(
          rule.jvp(
            point,
            x.map(() => null),
            { [role]: unit },
          )!,
          cotangent,
        );
      });
      const got = rule.paramGrad!(point, cotangent)[role]!;
      expect(got.shape).toEqual(p[role]!.shape);
      expect({ [role]: got.dataSync() }).toBeNearTree({ [role]: expected }, exact);
    });
  }

  if (rule.weighted)
    test("vjp and paramGrad are linear in the weight and in the input: what products with the Hessian rely on", () => {
      const other = randomTensor(p.weight!.shape, 9, c.name, "other");
      const vjpWith = (weight: Tensor): Tensor => rule.vjp({ ...point, params: { ...p, weight } }, cotangent)[0]!;
      expect({ dx: vjpWith(tf.add(p.weight!, other)) }).toBeNearTree(
        { dx: tf.add(vjpWith(p.weight!), vjpWith(other)) },
        exact,
      );
      const dx = randomTensor(x[0]!.shape, 9, c.name, "dx");
      const gradAt = (input: Tensor): Tensor => rule.paramGrad!({ ...point, x: [input] }, cotangent).weight!;
      expect({ g: gradAt(tf.add(x[0]!, dx)) }).toBeNearTree({ g: tf.add(gradAt(x[0]!), gradAt(dx)) }, exact);
    });

  if (rule.weighted)
    test("the linear part is patches times weight", () => {
      const { patches, linearPart } = rule.weighted!;
      const a = patches(point);
      const k = a.shape[2];
      const flat = tf.reshape(p.weight!, [k, -1]);
      const expected = tf.reshape(tf.matMul(tf.reshape(a, [-1, k]), flat), point.y.shape);
      expect({ y: linearPart(point) }).toBeNearTree({ y: expected }, exact);
    });
});

describe("grouped convolutions", () => {
  test("are refused, naming both channel counts", () => {
    const [image, filter] = [tf.ones([1, 4, 4, 6]), tf.ones([3, 3, 3, 8])];
    expect(() => layers.rules.conv2d.forward([image], { weight: filter }, { stride: 1, pad: 1 })).toThrow(
      /6 channels, the filter 3/,
    );
  });
});

describe("closed forms", () => {
  test("relu: nothing flows where the output is 0", () => {
    const y = tf.tensor2d([[0, 2, 0]]);
    const point = { x: [tf.tensor2d([[-1, 2, 0]])], y, params: {}, attributes: {} };
    const dy = tf.tensor2d([[5, 7, 9]]);
    expect(Array.from(layers.rules.relu.vjp(point, dy)[0]!.dataSync())).toEqual([0, 7, 0]);
  });

  test("gelu is x Phi(x): Phi(1) = 0.8413447460685429, Phi(-2) = 0.022750131948179195", () => {
    const y = layers.rules.gelu.forward([tf.tensor1d([1, -2, 0])], {}, {}).dataSync();
    expect({ y }).toBeNearTree({ y: [0.8413447460685429, -2 * 0.022750131948179195, 0] }, { rtol: 1e-14 });
  });

  test("avgPool counts its padding as zeros: a corner of ones is 4/9", () => {
    const ones = tf.ones([1, 3, 3, 1]);
    const y = layers.rules.avgPool.forward([ones], {}, { size: 3, stride: 1, pad: 1 }).dataSync();
    const [c, e] = [4 / 9, 6 / 9];
    expect({ y }).toBeNearTree({ y: [c, e, c, e, 1, e, c, e, c] }, { rtol: 1e-15 });
  });

  test("maxPool's padding never wins, though every pixel is negative", () => {
    const image = tf.tensor4d([-4, -3, -2, -1], [1, 2, 2, 1]);
    const y = layers.rules.maxPool.forward([image], {}, { size: 3, stride: 2, pad: 1 });
    expect([y.shape, Array.from(y.dataSync())]).toEqual([[1, 1, 1, 1], [-1]]);
  });

  test("frozen batchNorm: weight (x - mean) / sqrt(variance + epsilon) + bias", () => {
    const params = {
      weight: tf.tensor1d([2]),
      bias: tf.tensor1d([1]),
      mean: tf.tensor1d([3]),
      variance: tf.tensor1d([4]),
    };
    const y = layers.rules.batchNorm.forward([tf.tensor2d([[5]])], params, { epsilon: 0.25, momentum: 0.1 });
    expect({ y }).toBeNearTree({ y: tf.tensor2d([[1 + 4 / Math.sqrt(4.25)]]) }, { rtol: 1e-14 });
  });
});

describe("batchNorm in training mode", () => {
  const shape = [4, 3, 2, 3];
  const attributes = { epsilon: 1e-2, momentum: 0.1 };
  const x = randomTensor(shape, 1, "training", "x");
  const params = Object.fromEntries(Object.keys(norm).map((role) => [role, randomTensor([3], 2, "training", role)]));
  const forward = (input: Tensor, p: layers.Params): Tensor =>
    layers.batchNormTraining.forward(input, p, attributes).point.y;
  const cotangent = randomTensor(shape, 3, "training", "cotangent");
  const { point, running } = layers.batchNormTraining.forward(x, params, attributes);
  const { dx, params: gradients } = layers.batchNormTraining.grad(point, cotangent);

  test("weight 1, bias 0: every channel has mean 0 and variance v / (v + epsilon)", () => {
    const y = forward(x, { ...params, weight: tf.ones([3]), bias: tf.zeros([3]) });
    const of = tf.moments(x, [0, 1, 2]).variance;
    const now = tf.moments(y, [0, 1, 2]);
    expect({ mean: now.mean }).toBeNearTree({ mean: tf.zeros([3]) }, { rtol: 0, atol: 1e-14 });
    expect({ v: now.variance }).toBeNearTree({ v: tf.div(of, tf.add(of, attributes.epsilon)) }, { rtol: 1e-13 });
  });

  test("running statistics move by the momentum towards the mean and the unbiased variance", () => {
    const { mean, variance } = tf.moments(x, [0, 1, 2]);
    const count = 4 * 3 * 2;
    const expected = {
      mean: tf.add(tf.mul(params.mean!, 0.9), tf.mul(mean, 0.1)),
      variance: tf.add(tf.mul(params.variance!, 0.9), tf.mul(variance, (0.1 * count) / (count - 1))),
    };
    expect(running).toBeNearTree(expected, { rtol: 1e-13 });
  });

  test("the input's cotangent is the difference quotient", () => {
    const got = Array.from({ length: 4 }, (_, k) => dot(dx, randomTensor(shape, k, "training", "direction")));
    const expected = got.map((_, k) => {
      const direction = randomTensor(shape, k, "training", "direction");
      return dot(
        slope((step) => forward(moved(x, direction, step), params)),
        cotangent,
      );
    });
    expect({ got }).toBeNearTree({ got: expected }, { rtol: FD_RTOL });
  });

  test.each(["weight", "bias"])("the gradient of %s is the difference quotient", (role) => {
    const expected = [0, 1, 2].map((j) => {
      const unit = tf.oneHot([j], 3, 1, 0, "float32").reshape([3]);
      return dot(
        slope((step) => forward(x, { ...params, [role]: moved(params[role]!, unit, step) })),
        cotangent,
      );
    });
    expect({ [role]: gradients[role]!.dataSync() }).toBeNearTree({ [role]: expected }, { rtol: FD_RTOL });
  });
});
