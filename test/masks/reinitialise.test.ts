import { masks, nets, tree } from "secateur";
import { expect, test } from "vitest";
import { owned } from "../support/owned";
import { reluResidual } from "../support/tiny-nets";

const net = reluResidual();
const full = masks.fullMask(net);
const mask = Object.fromEntries(Object.entries(full).map(([name, m]) => [name, m.map((_, i) => Number(i % 3 === 0))]));

test("kept weights are those of `initialise`, removed ones 0; norms and biases are not there", () => {
  const fresh = tree.toHost(nets.initialise(net, 5));
  const weights = tree.toHost(owned(() => masks.reinitialisedWeights(net, mask as never, 5) as never));
  expect(Object.keys(weights)).toEqual([...net.prunable]);
  for (const name of net.prunable) {
    expect(
      weights[name]!.every((w, i) => w === (i % 3 === 0 ? fresh[name]![i] : 0)),
      name,
    ).toBe(true);
    expect(weights[name]!.filter((w) => w !== 0).length, name).toBe(Math.ceil(weights[name]!.length / 3));
  }
});

test("another seed, other weights at the same places", () => {
  const [a, b] = [5, 6].map((seed) => tree.toHost(masks.reinitialisedWeights(net, mask as never, seed)));
  for (const name of net.prunable)
    expect(
      a![name]!.every((w, i) => (w === 0) === (b![name]![i] === 0) && (w === 0 || w !== b![name]![i])),
      name,
    ).toBe(true);
});

test("a mask of another net is refused", () =>
  expect(() => masks.reinitialisedWeights(net, { x: Uint8Array.of(1) }, 0)).toThrow(/only in mask: \[x\]/));
