import { backend, nets, type Tree, train, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { owned } from "../support/owned";
import { everyLayer } from "../support/tiny-nets";

const { tf } = backend;
const { learnable, sgdStep } = train;

const host = (t: Tree): Record<string, number[]> =>
  Object.fromEntries(Object.entries(tree.toHost(t)).map(([name, values]) => [name, [...values]]));

describe("sgdStep", () => {
  // halves and quarters only: exact in float32
  const params = { w: tf.tensor2d([[1, -2]]), b: tf.tensor1d([4]) };
  const velocity = { w: tf.tensor2d([[0.5, 1]]), b: tf.tensor1d([-2]) };
  const gradient = { w: tf.tensor2d([[2, 4]]), b: tf.tensor1d([8]) };
  const step = (options: Partial<train.SgdOptions>) => {
    const next = sgdStep({ params, velocity }, gradient, 0.25, { momentum: 0.5, weightDecay: 0, ...options });
    return { params: host(next.params), velocity: host(next.velocity) };
  };

  test("v <- 0.5 v + g, w <- w - 0.25 v", () => {
    expect(step({})).toEqual({
      velocity: { w: [2.25, 4.5], b: [7] },
      params: { w: [1 - 0.5625, -2 - 1.125], b: [4 - 1.75] },
    });
  });

  test("Nesterov: w <- w - 0.25 (g + 0.5 v)", () => {
    expect(step({ nesterov: true })).toEqual({
      velocity: { w: [2.25, 4.5], b: [7] },
      params: { w: [1 - 0.25 * (2 + 1.125), -2 - 0.25 * (4 + 2.25)], b: [4 - 0.25 * (8 + 3.5)] },
    });
  });

  test("weight decay is for matrices, or for all", () => {
    expect(step({ weightDecay: 0.5 }).velocity).toEqual({ w: [2.75, 3.5], b: [7] });
    expect(step({ weightDecay: 0.5, decayAll: true }).velocity).toEqual({ w: [2.75, 3.5], b: [9] });
  });

  test("moves what has a gradient, keeps the old state, and leaves nothing behind", () => {
    const options = { momentum: 0.9, weightDecay: 1e-4, nesterov: true };
    const next = owned(
      () => sgdStep({ params, velocity }, { b: gradient.b }, 0.25, options) as never,
    ) as train.SgdState;
    expect(Object.keys(next.params)).toEqual(["b"]);
    expect(host(params)).toEqual({ w: [1, -2], b: [4] });
    expect(host(velocity)).toEqual({ w: [0.5, 1], b: [-2] });
    tf.dispose(next as never);
  });
});

test("learnable: everything but running statistics", () => {
  const net = everyLayer();
  const rest = Object.keys(net.params).filter((key) => !learnable(net).includes(key));
  expect(rest.every((key) => /running_(mean|var)$/.test(key))).toBe(true);
  expect(rest).toHaveLength(8);
  expect(learnable(nets.resnetSmall(4))).toContain("layer1.0.bn1.weight");
});
