import fc from "fast-check";
import { type Mask, masks } from "secateur";
import { describe, expect, test } from "vitest";
import { kept, net } from "./tiny";

const { fullMask, globalThreshold, layerwiseThreshold } = masks;
type Scores = Record<string, Float32Array | Float64Array>;

/** The obvious twin: one sorted list of what is left, by score, then name, then index. */
function bySorting(scores: Scores, keep: number, order: readonly string[], previous?: Mask): Mask {
  const entries = order.flatMap((name, layer) =>
    Array.from(scores[name]!, (score, index) => ({ name, layer, index, score })),
  );
  const left = entries.filter(({ name, index }) => previous === undefined || previous[name]![index] === 1);
  left.sort((a, b) => b.score - a.score || a.layer - b.layer || a.index - b.index);
  const mask = Object.fromEntries(order.map((name) => [name, new Uint8Array(scores[name]!.length)]));
  for (const { name, index } of left.slice(0, Math.round(keep * entries.length))) mask[name]![index] = 1;
  return mask;
}

// Few distinct values for ties, both zeros, subnormals, both precisions, and any finite number.
const score = fc.oneof(
  fc.constantFrom(-2, -1, -0, 0, 1, 2, 2 ** -149, -(2 ** -149), 1 + 2 ** -20, 1 + 2 ** -23),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
);
const double = fc.oneof(
  score,
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(5e-324, 1 + 2 ** -52),
);
const layer = fc.oneof(
  fc.array(score, { minLength: 1, maxLength: 40 }).map((values) => Float32Array.from(values)),
  fc.array(double, { minLength: 1, maxLength: 40 }).map((values) => Float64Array.from(values)),
);
const problem = fc
  .record({
    layers: fc.array(layer, { minLength: 1, maxLength: 4 }),
    keep: fc.double({ min: 1e-9, max: 1, noNaN: true }),
    lower: fc.double({ min: 0.01, max: 1, noNaN: true }),
    reversed: fc.boolean(),
  })
  .map(({ layers, reversed, ...rest }) => {
    const scores: Scores = Object.fromEntries(layers.map((values, i) => [`layer${i}`, values]));
    const order = reversed ? Object.keys(scores).reverse() : Object.keys(scores);
    return { scores, order, size: layers.reduce((n, { length }) => n + length, 0), ...rest };
  });

describe("globalThreshold", () => {
  test("agrees with a full sort by score, name and index, also in the second round", () => {
    fc.assert(
      fc.property(problem, fc.infiniteStream(score), ({ scores, order, keep, lower }, fresh) => {
        const first = globalThreshold(scores, keep, { order });
        expect(first).toEqual(bySorting(scores, keep, order));
        const rescored = Object.fromEntries(order.map((name) => [name, scores[name]!.map(() => fresh.next().value)]));
        const second = globalThreshold(rescored, keep * lower, { order, previous: first });
        expect(second).toEqual(bySorting(rescored, keep * lower, order, first));
      }),
      { numRuns: 500 },
    );
  });

  test("keeps exactly round(keep p), and no removed score is above a kept one", () => {
    fc.assert(
      fc.property(problem, ({ scores, keep, size }) => {
        const mask = globalThreshold(scores, keep);
        expect(kept(mask)).toBe(Math.round(keep * size));
        const all = Object.keys(scores).flatMap((name) =>
          Array.from(scores[name]!, (s, i) => [s, mask[name]![i]!] as const),
        );
        const lowestKept = Math.min(...all.filter(([, k]) => k === 1).map(([s]) => s));
        const highestRemoved = Math.max(...all.filter(([, k]) => k === 0).map(([s]) => s));
        expect(highestRemoved <= lowestKept).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("rounds are nested, whatever the fresh scores say", () => {
    fc.assert(
      fc.property(
        problem,
        fc.infiniteStream(double),
        fc.integer({ min: 1, max: 5 }),
        ({ scores, keep, size }, fresh, rounds) => {
          let previous: Mask | undefined;
          for (const ratio of masks.exponentialSchedule(keep, rounds)) {
            const rescored = Object.fromEntries(
              Object.keys(scores).map((name) => [name, Float64Array.from(scores[name]!, () => fresh.next().value)]),
            );
            const mask = globalThreshold(rescored, ratio, { previous });
            expect(kept(mask)).toBe(Math.round(ratio * size));
            for (const [name, before] of Object.entries(previous ?? {}))
              expect(mask[name]!.every((value, i) => value <= before[i]!)).toBe(true);
            previous = mask;
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test("monotone: with the same scores, less is a subset of more", () => {
    fc.assert(
      fc.property(problem, ({ scores, keep, lower }) => {
        const more = globalThreshold(scores, keep);
        const less = globalThreshold(scores, keep * lower);
        for (const name of Object.keys(scores))
          expect(less[name]!.every((value, i) => value <= more[name]![i]!)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("depends on the order of the scores alone: x -> 3 x + 1 gives the same mask", () => {
    const whole = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(whole, fc.double({ min: 0.01, max: 1, noNaN: true }), (values, keep) => {
        const mask = globalThreshold({ a: Float32Array.from(values) }, keep);
        expect(globalThreshold({ a: Float32Array.from(values, (v) => 3 * v + 1) }, keep)).toEqual(mask);
      }),
    );
  });

  test("ties: the earlier name, then the lower index; 0 and -0 are equal", () => {
    const scores = { b: Float32Array.of(1, -0, 0, 0), a: Float32Array.of(0, 0, -1, 2) };
    expect(globalThreshold(scores, 0.5, { order: ["a", "b"] })).toEqual({
      a: Uint8Array.of(1, 1, 0, 1),
      b: Uint8Array.of(1, 0, 0, 0),
    });
    expect(globalThreshold(scores, 0.5), "without order: as the keys come").toEqual({
      b: Uint8Array.of(1, 1, 1, 0),
      a: Uint8Array.of(0, 0, 0, 1),
    });
  });

  test("what is removed stays removed, and its score is not looked at", () => {
    const previous = { a: Uint8Array.of(0, 1, 1, 0) };
    const scores = { a: Float32Array.of(9, 1, 2, Number.NaN) };
    expect(globalThreshold(scores, 0.25, { previous })).toEqual({ a: Uint8Array.of(0, 0, 1, 0) });
    expect(globalThreshold(scores, 0.5, { previous })).toEqual(previous);
    expect(previous.a, "not written to").toEqual(Uint8Array.of(0, 1, 1, 0));
  });

  test("keep = 1 removes nothing, a keep that rounds to no weight removes all", () => {
    const scores = { a: Float32Array.of(0, 5, 0) };
    expect(globalThreshold(scores, 1)).toEqual({ a: Uint8Array.of(1, 1, 1) });
    expect(globalThreshold(scores, 0.1)).toEqual({ a: Uint8Array.of(0, 0, 0) });
  });

  test("the mask has the scored names, in the order given", () => {
    const scores = { a: Float32Array.of(1), b: Float32Array.of(2) };
    expect(Object.keys(globalThreshold(scores, 0.5, { order: ["b", "a"] }))).toEqual(["b", "a"]);
  });

  test.each<[string, () => void, RegExp]>([
    [
      "NaN",
      () => globalThreshold({ a: Float32Array.of(1), b: Float32Array.of(2, Number.NaN) }, 0.5),
      /finite, got NaN at "b"\[1\]/,
    ],
    [
      "infinity",
      () => globalThreshold({ a: Float64Array.of(Number.POSITIVE_INFINITY) }, 0.5),
      /finite, got Infinity at "a"\[0\]/,
    ],
    ["keep 0", () => globalThreshold({ a: Float32Array.of(1) }, 0), /keep must be in \(0, 1\], got 0/],
    ["keep above 1", () => globalThreshold({ a: Float32Array.of(1) }, 1.01), /got 1\.01/],
    ["keep NaN", () => globalThreshold({ a: Float32Array.of(1) }, Number.NaN), /got NaN/],
    [
      "fewer left than asked for",
      () => globalThreshold({ a: Float32Array.of(1, 2) }, 1, { previous: { a: Uint8Array.of(1, 0) } }),
      /cannot keep 2 weights, only 1 are left/,
    ],
    [
      "previous of other names",
      () => globalThreshold({ a: Float32Array.of(1) }, 1, { previous: { b: Uint8Array.of(1) } }),
      /only in previous: \[b\]; only in scores: \[a\]/,
    ],
    [
      "previous of another size",
      () => globalThreshold({ a: Float32Array.of(1) }, 1, { previous: { a: Uint8Array.of(1, 1) } }),
      /previous "a" has 2 weights, scores have 1/,
    ],
    [
      "order without a layer",
      () => globalThreshold({ a: Float32Array.of(1), b: Float32Array.of(1) }, 1, { order: ["a"] }),
      /only in scores: \[b\]/,
    ],
    [
      "order with a layer twice",
      () => globalThreshold({ a: Float32Array.of(1) }, 1, { order: ["a", "a"] }),
      /order names a parameter twice/,
    ],
    ["tensors", () => globalThreshold({ a: [1, 2] as never }, 1), /scores "a" must be a Float32Array or Float64Array/],
  ])("refuses %s", (_, call, rule) => expect(call).toThrow(rule));
});

describe("layerwiseThreshold", () => {
  test("every layer keeps exactly round(keep p_l), its own highest", () => {
    fc.assert(
      fc.property(problem, ({ scores, keep }) => {
        const mask = layerwiseThreshold(scores, keep);
        expect(Object.keys(mask)).toEqual(Object.keys(scores));
        for (const [name, values] of Object.entries(scores))
          expect(mask[name]).toEqual(bySorting({ [name]: values }, keep, [name])[name]);
      }),
      { numRuns: 200 },
    );
  });

  test("a layer with fewer weights left than asked for is an error", () => {
    const scores = { a: Float32Array.of(1, 2), b: Float32Array.of(1, 2) };
    const previous = { a: Uint8Array.of(1, 1), b: Uint8Array.of(0, 0) };
    expect(() => layerwiseThreshold(scores, 0.5, { previous })).toThrow(/cannot keep 1 weights, only 0 are left/);
  });
});

test("fullMask: a 1 for every prunable weight, nothing else", () => {
  const mask = fullMask(net);
  expect(Object.entries(mask).map(([name, m]) => [name, m.length])).toEqual([
    ["conv1.weight", 72],
    ["conv2.weight", 12],
    ["fc.weight", 15],
  ]);
  expect(kept(mask)).toBe(99);
});
