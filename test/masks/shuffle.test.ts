import { backend, masks } from "secateur";
import { expect, test } from "vitest";
import { net } from "./tiny";

const scores = Object.fromEntries(
  Object.entries(masks.fullMask(net)).map(([name, m]) => [name, Float32Array.from(m, (_, i) => i)]),
);
const mask = masks.layerwiseThreshold(scores, 0.5);
const count = (m: Uint8Array): number => m.reduce((a, b) => a + b, 0);

test("counts stay, places change, the given mask is left alone", () => {
  const before = structuredClone(mask);
  const shuffled = masks.shuffleWithinLayers(mask, backend.stream(0, "shuffle"));
  expect(Object.keys(shuffled)).toEqual(net.prunable);
  for (const name of net.prunable) {
    expect(count(shuffled[name]!), name).toBe(count(mask[name]!));
    expect(shuffled[name], name).not.toEqual(mask[name]);
  }
  expect(mask).toEqual(before);
});

test("the stream decides: same seed same mask, other seed other mask", () => {
  const shuffle = (seed: number) => masks.shuffleWithinLayers(mask, backend.stream(seed, "shuffle"));
  expect(shuffle(3)).toEqual(shuffle(3));
  expect(shuffle(3)).not.toEqual(shuffle(4));
});

test("every place is equally likely: 2000 shuffles of 6 kept among 12, chi-square of 11 degrees below its 1e-4 quantile", () => {
  const stream = backend.stream(1, "shuffle");
  const hits = new Float64Array(12);
  const one = { "conv2.weight": mask["conv2.weight"]! };
  for (let i = 0; i < 2000; i++)
    masks.shuffleWithinLayers(one, stream)["conv2.weight"]!.forEach((value, at) => {
      hits[at]! += value;
    });
  // Drawn without replacement: variance n q (1 - q) a place, places sum to a constant -> scaled by 11/12.
  const chiSquare = (11 / 12) * hits.reduce((sum, n) => sum + (n - 1000) ** 2 / 500, 0);
  expect(chiSquare).toBeLessThan(37.4);
});
