import { backend, type Tree, train, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { owned } from "../support/owned";
import "../support/close-tree";

const { tf } = backend;
const { adamwStep } = train;

const host = (t: Tree): Record<string, number[]> =>
  Object.fromEntries(Object.entries(tree.toHost(t)).map(([name, values]) => [name, [...values]]));

describe("adamwStep", () => {
  const params = { w: tf.tensor2d([[1, -2]]), b: tf.tensor1d([4]), position: tf.tensor3d([[[8]]]) };
  const gradient = { w: tf.tensor2d([[2, -4]]), b: tf.tensor1d([0.5]), position: tf.tensor3d([[[1]]]) };
  const mean = tree.mapTree(gradient, tf.zerosLike);
  const square = tree.mapTree(gradient, tf.zerosLike);
  const step = (options: Partial<train.AdamWOptions>, count: Parameters<typeof adamwStep>[4] = 1) =>
    adamwStep({ params, mean, square }, gradient, 0.25, { weightDecay: 0, ...options }, count);

  test("the first step is as long as the rate, whatever the size of the gradient", () => {
    const next = step({ epsilon: 1e-12 });
    expect(next.params).toBeNearTree({ w: [0.75, -1.75], b: [3.75], position: [7.75] }, { rtol: 1e-6 });
    expect(next.mean).toBeNearTree({ w: [0.2, -0.4], b: [0.05], position: [0.1] }, { rtol: 1e-6 });
    expect(next.square).toBeNearTree({ w: [0.004, 0.016], b: [0.00025], position: [0.001] }, { rtol: 1e-5 });
    tf.dispose(next as never);
  });

  test("without memory it is w - lr g / (|g| + eps)", () => {
    const next = step({ beta1: 0, beta2: 0, epsilon: 2 }, 7);
    const moved = {
      w: [1 - 0.25 * (2 / 4), -2 + 0.25 * (4 / 6)],
      b: [4 - 0.25 * (0.5 / 2.5)],
      position: [8 - 0.25 / 3],
    };
    expect(next.params).toBeNearTree(moved, { rtol: 1e-6 });
    tf.dispose(next as never);
  });

  test("decay shrinks matrices by 1 - lr wd, but neither biases nor what is excepted", () => {
    const [plain, decayed] = [step({}), step({ weightDecay: 0.4, noDecay: ["position"] })];
    const difference = tree.zipTree(plain.params, decayed.params, (a, b) => tf.sub(a, b));
    expect(difference).toBeNearTree({ w: [0.1, -0.2], b: [0], position: [0] }, { rtol: 1e-5, atol: 1e-6 });
    tf.dispose([plain, decayed, difference] as never);
  });

  test("a parameter that was frozen has its own count", () => {
    const [late, both] = [step({}, (key) => (key === "w" ? 1 : 5)), [step({}, 1), step({}, 5)] as const];
    expect(host(late.params)).toEqual({ ...host(both[1].params), w: host(both[0].params).w });
    tf.dispose([late, ...both] as never);
  });

  test("moves what has a gradient, keeps the old state, and leaves nothing behind", () => {
    const next = owned(
      () => adamwStep({ params, mean, square }, { b: gradient.b }, 0.25, { weightDecay: 0.1 }, 1) as never,
    ) as train.AdamWState;
    expect([next.params, next.mean, next.square].map((t) => Object.keys(t))).toEqual([["b"], ["b"], ["b"]]);
    expect(host(params)).toEqual({ w: [1, -2], b: [4], position: [8] });
    tf.dispose(next as never);
  });
});

describe("clipByGlobalNorm", () => {
  const gradient = { a: tf.tensor2d([[3, 0]]), b: tf.tensor1d([4]) };

  test.each([
    [2.5, 0.5],
    [5.001, 1],
    [100, 1],
  ])("(3, 0, 4) has norm 5: at most %s is the factor %s", (most, factor) => {
    const clipped = owned(() => train.clipByGlobalNorm(gradient, most) as never) as Tree;
    expect(clipped).toBeNearTree({ a: [3 * factor, 0], b: [4 * factor] }, { rtol: 1e-6 });
    tree.disposeTree(clipped);
  });

  test("nothing to cut: zero stays zero", () => {
    const zero = { a: tf.zeros([3]) };
    const clipped = train.clipByGlobalNorm(zero, 1);
    expect(host(clipped)).toEqual({ a: [0, 0, 0] });
    tf.dispose([zero, clipped] as never);
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("refuses %s", (most) => {
    expect(() => train.clipByGlobalNorm(gradient, most)).toThrow(`clip must be a positive number, got ${most}`);
  });
});

describe("optimiserOf", () => {
  const net = {
    name: "two",
    input: [1, 1, 1],
    features: 1,
    nodes: [],
    prunable: ["weight"],
    params: {
      weight: { role: "linearWeight", shape: [1, 1] },
      position: { role: "embedding", shape: [1, 1] },
      bias: { role: "bias", shape: [1] },
    },
  } as const;
  const one = (): Tree => ({ weight: tf.ones([1, 1]), position: tf.ones([1, 1]), bias: tf.ones([1]) });

  test.each<[string, train.OptimiserSettings, string[]]>([
    ["SGD by default", { momentum: 0.9, weightDecay: 0.5 }, ["velocity"]],
    ["AdamW by name", { optimiser: "adamw", weightDecay: 0.5 }, ["mean", "square"]],
  ])("%s: only the matrix decays", (_, settings, moments) => {
    const optimiser = train.optimiserOf(settings, net as never);
    expect(optimiser.moments).toEqual(moments);
    const [params, gradient] = [one(), tree.mapTree(one(), tf.zerosLike)];
    const still = Object.fromEntries(moments.map((name) => [name, gradient]));
    const next = optimiser.step(params, still, gradient, 0.1, () => 1);
    const { weight, ...rest } = host(next.params);
    expect(weight![0]).toBeCloseTo(settings.optimiser === "adamw" ? 0.95 : 1 - 0.1 * (0.5 + 0.9 * 0.5), 6);
    expect(rest).toEqual({ position: [1], bias: [1] });
    expect(Object.keys(next.moments)).toEqual(moments);
    tf.dispose([params, gradient, next] as never);
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ optimiser: "adam", weightDecay: 0 }, /optimiser must be "sgd" or "adamw", got "adam"/],
    [{ optimiser: "adamw", weightDecay: -1 }, /weightDecay must be a number >= 0, got -1/],
    [{ optimiser: "adamw", weightDecay: 0, beta1: 1 }, /beta1 must be in \[0, 1\), got 1/],
    [{ optimiser: "adamw", weightDecay: 0, beta2: -0.1 }, /beta2 must be in \[0, 1\), got -0.1/],
    [{ weightDecay: 0 }, /momentum must be in \[0, 1\), got undefined/],
    [{ momentum: 0, weightDecay: 0, clip: 0 }, /clip must be a positive number, got 0/],
  ])("refuses %o", (settings, message) => {
    expect(() => train.optimiserOf(settings as never, net as never)).toThrow(message);
  });
});
