import { backend, layers } from "secateur";
import { describe, expect, test } from "vitest";
import "./close-tree";
import { owned } from "./owned";
import { everyLayer, tinyViT } from "./tiny-nets";

const { tf } = backend;

describe("owned", () => {
  test("passes a result on", () => {
    const out = owned(() => tf.tidy(() => tf.add(1, 2)));
    expect(out.dataSync()[0]).toBe(3);
    out.dispose();
  });

  test("fails when a tensor is left behind", () => {
    expect(() => owned(() => tf.square(tf.scalar(2)))).toThrow(/new tensors/);
  });
});

describe("toBeNearTree", () => {
  test("names the worst entry", () => {
    const [got, expected] = [
      { a: [1, 2], b: [3, 5] },
      { a: [1, 2.1], b: [3, 4] },
    ];
    expect(() => expect(got).toBeNearTree(expected, { rtol: 0.01 })).toThrow(
      /'b'\[1\] is 5, expected 4 \(ratio 1.25\)/,
    );
    expect(got).toBeNearTree(expected, { rtol: 0.25 });
  });

  test.each([
    ["a missing name", { a: [1] }, { a: [1], b: [1] }, /'b' is missing/],
    ["a name too many", { a: [1], b: [1] }, { a: [1] }, /'b' was not expected/],
    ["another length", { a: [1] }, { a: [1, 2] }, /1 values, expected 2/],
    ["not a number", { a: [Number.NaN] }, { a: [1] }, /is NaN, expected 1/],
    ["nothing", {}, {}, /nothing to compare/],
  ])("fails for %s", (_, got, expected, message) => {
    expect(() => expect(got as never).toBeNearTree(expected as never, { rtol: 1 })).toThrow(message);
  });
});

test("two tiny nets together have every layer kind", () => {
  const nodes = [everyLayer(), tinyViT()].flatMap((net) => net.nodes);
  expect(new Set(nodes.map(({ kind }) => kind))).toEqual(new Set(Object.keys(layers.rules)));
});
