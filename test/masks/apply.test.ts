import { backend, masks, nets } from "secateur";
import { afterAll, expect, test } from "vitest";
import { owned } from "../support/owned";
import { reluResidual, tinyModel } from "../support/tiny-nets";

const { tf } = backend;
const net = reluResidual();
const model = tinyModel(net);
afterAll(() => tf.dispose([model.params, model.head] as never));
const scores = Object.fromEntries(
  net.prunable.map((name) => [name, model.params[name]!.dataSync<"float32">().map(Math.abs)]),
);
const mask = masks.globalThreshold(scores, 0.3, { order: net.prunable });

test("maskTensors: 0 and 1 in the shapes of the weights", () => {
  const flags = owned(() => ({ ...masks.maskTensors(net, mask) }));
  expect(Object.keys(flags)).toEqual(net.prunable);
  for (const name of net.prunable) {
    expect(flags[name]!.shape).toEqual(net.params[name]!.shape);
    expect([...flags[name]!.dataSync()]).toEqual([...mask[name]!]);
  }
  tf.dispose(flags);
});

test("maskedWeights: kept weights as they were, removed ones 0, the model untouched", () => {
  const before = Object.fromEntries(net.prunable.map((name) => [name, [...model.params[name]!.dataSync()]]));
  const masked = owned(() => ({ ...masks.maskedWeights(model, mask) }));
  expect(Object.keys(masked)).toEqual(net.prunable);
  for (const name of net.prunable) {
    const expected = before[name]!.map((weight, i) => (mask[name]![i] === 1 ? weight : 0));
    expect([...masked[name]!.dataSync()].map((weight) => weight + 0)).toEqual(expected);
    expect([...model.params[name]!.dataSync()]).toEqual(before[name]);
  }
  tf.dispose(masked);
});

test("removalStep: minus the removed weights, 0 for kept ones", () => {
  const step = owned(() => ({ ...masks.removalStep(model, mask) }));
  for (const name of net.prunable) {
    const expected = [...model.params[name]!.dataSync()].map((weight, i) => (mask[name]![i] === 1 ? 0 : -weight));
    expect([...step[name]!.dataSync()].map((d) => d + 0)).toEqual(expected);
  }
  tf.dispose(step);
});

test("assertKept: passes on the masked model, names the first removed weight that is not 0", () => {
  const masked = masks.maskedWeights(model, mask);
  masks.assertKept(nets.withParams(model, masked), mask);
  const [name] = net.prunable as [string, ...string[]];
  const at = mask[name]!.indexOf(0);
  const values = masked[name]!.dataSync().slice();
  values[at] = 1e-30;
  const alive = tf.tensor(values, masked[name]!.shape);
  expect(() => masks.assertKept(nets.withParams(model, { ...masked, [name]: alive }), mask)).toThrow(
    new RegExp(`removed weight "${name}"\\[${at}\\] must be 0, got 1(\\.0\\d*)?e-30`),
  );
  tf.dispose([masked, alive] as never);
});

test("a mask of another net is refused", () => {
  expect(() => masks.maskTensors(net, { a: Uint8Array.of(1) })).toThrow(/only in mask: \[a\]/);
  expect(() => masks.removalStep(model, { a: Uint8Array.of(1) })).toThrow(/only in mask: \[a\]/);
  expect(() => masks.assertKept(model, { a: Uint8Array.of(1) })).toThrow(/only in mask: \[a\]/);
});
