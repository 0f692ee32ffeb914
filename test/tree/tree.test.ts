import { backend, tree } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";
import { owned } from "../support/owned";

const { tf } = backend;
const left = { a: tf.tensor1d([1, 2]), b: tf.tensor2d([[3], [4]]) };
const right = { b: tf.tensor2d([[10], [20]]), a: tf.tensor1d([5, 6]) };

test("mapTree tells f the names", () => {
  const doubled = owned(() => tree.mapTree(left, (t, name) => tf.mul(t, name === "a" ? 2 : 3)));
  expect(doubled).toBeNearTree({ a: [2, 4], b: [9, 12] }, { rtol: 0 });
});

describe("zipTree", () => {
  test("pairs by name, whatever the order", () => {
    const sum = owned(() => tree.zipTree(left, right, (a, b) => tf.add(a, b)));
    expect(sum).toBeNearTree({ a: [6, 8], b: [13, 24] }, { rtol: 0 });
    expect(Object.keys(sum)).toEqual(["a", "b"]);
  });

  test("names the entry that is on one side only", () => {
    const add = (): never => expect.fail("must not be called");
    expect(() => tree.zipTree({ a: left.a }, right, add)).toThrow("zipTree: 'b' is only on the right");
    expect(() => tree.zipTree(left, { a: right.a }, add)).toThrow("zipTree: 'b' is only on the left");
  });

  test("tells both shapes of a misfit", () => {
    expect(() => tree.zipTree({ a: left.a }, { a: left.b }, (a, b) => tf.add(a, b))).toThrow(
      "zipTree: 'a' is [2] on the left, [2,1] on the right",
    );
  });
});

test("dotTree: 1 x 5 + 2 x 6 + 3 x 10 + 4 x 20 = 127, and leaves nothing behind", () => {
  const before = tf.memory().numTensors;
  expect(tree.dotTree(left, right)).toBe(127);
  expect(tf.memory().numTensors).toBe(before);
});

test("countTree counts values", () => {
  expect(tree.countTree(left)).toBe(4);
  expect(tree.countTree({})).toBe(0);
});

test("pickTree gives the same tensors in the order asked for, and names what is missing", () => {
  const picked = tree.pickTree(left, ["b", "a"]);
  expect(Object.keys(picked)).toEqual(["b", "a"]);
  expect(picked.a).toBe(left.a);
  expect(() => tree.pickTree(left, ["c"])).toThrow("pickTree: there is no 'c'");
});

test("toHost copies: writing to the copy leaves the tensor alone", () => {
  const host = tree.toHost(left);
  host.a![0] = 99;
  expect(Array.from(left.a.dataSync())).toEqual([1, 2]);
  expect(Array.from(host.b!)).toEqual([3, 4]);
});

test("disposeTree disposes every entry", () => {
  const before = tf.memory().numTensors;
  const copy = tree.mapTree(left, (t) => tf.mul(t, 1));
  expect(tf.memory().numTensors).toBe(before + 2);
  tree.disposeTree(copy);
  expect(tf.memory().numTensors).toBe(before);
});
