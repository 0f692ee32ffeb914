import fc from "fast-check";
import { backend, heads } from "secateur";
import { describe, expect, test } from "vitest";
import { normalEquations, ridgeByGaussJordan } from "../oracle/ridge";

const { applyRidge, fitRidge } = heads;

/** n images in d features around one centre a class; every class occurs, not equally often. */
function clusters(n: number, d: number, classes: number, seed = 0): { features: number[][]; labels: number[] } {
  const numbers = backend.stream(seed, "clusters", n, d);
  const centres = Array.from({ length: classes }, () => Array.from({ length: d }, () => numbers.normal()));
  const labels = Array.from({ length: n }, (_, i) =>
    i < classes ? i : Math.min(numbers.integer(classes), numbers.integer(classes)),
  );
  return { labels, features: labels.map((label) => centres[label]!.map((centre) => centre + 0.5 * numbers.normal())) };
}
const flat = (features: number[][]): Float64Array => Float64Array.from(features.flat());

describe("fitRidge by hand", () => {
  test("one feature, two classes, alpha 0.5", () => {
    // Images 2 | -1: n = 2, w = 1. A = X^T X + l I = [[5 + l, 1], [1, 2 + l]], l = 0.500001;
    // class 0: X^T y = (2, 1), class 1: (-1, 1); inverse of [[a, b], [b, c]] = [[c, -b], [-b, a]] / (a c - b^2).
    const [a, c] = [5.500001, 2.500001];
    const det = a * c - 1;
    const fit = fitRidge(Float64Array.of(2, -1), [0, 1], { classes: 2, alpha: 0.5 });
    const expected = [(2 * c - 1) / det, (-c - 1) / det, (a - 2) / det, (a + 1) / det];
    [...fit.weight, ...fit.bias].forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 14);
    });
    expect(fit).toMatchObject({ features: 1, classes: 2 });
  });

  test("features of zero leave the bias: sum of w in the class / (n + alpha), the same for a rare class", () => {
    // w_j n_j = n / C for every class: bias_j = (n / C) / (n + 1 + 1e-6)
    const fit = fitRidge(new Float32Array(8), [0, 0, 0, 1], { classes: 2 });
    for (const bias of fit.bias) expect(bias).toBeCloseTo(2 / 5.000001, 14);
    expect([...fit.weight].every((value) => value === 0)).toBe(true);
  });

  test("alpha 0 with a separable line: targets are met to the 1e-6 penalty", () => {
    const fit = fitRidge(Float64Array.of(-1, 1), [0, 1], { classes: 2, alpha: 0 });
    [1, 0, 0, 1].forEach((target, i) => {
      expect(applyRidge(fit, Float64Array.of(-1, 1))[i]).toBeCloseTo(target, 5);
    });
  });
});

describe("fitRidge against Gauss-Jordan on the written-out formula", () => {
  // Both branches: n <= d solves the n x n system, n > d the (d + 1) x (d + 1) one; sizes around the tiles of 2 and 4.
  test.each([
    [5, 1, 2],
    [7, 3, 3],
    [30, 8, 4],
    [41, 17, 10],
    [6, 6, 2],
    [7, 6, 2],
    [4, 9, 3],
    [13, 30, 5],
    [3, 1, 1],
    [1, 1, 1],
  ])("n = %i, d = %i, C = %i", (n, d, classes) => {
    const { features, labels } = clusters(n, d, classes);
    const fit = fitRidge(flat(features), labels, { classes, alpha: 0.3 });
    const expected = ridgeByGaussJordan(features, labels, classes, 0.3 + 1e-6).flat();
    const scale = Math.max(...expected.map(Math.abs));
    [...fit.weight, ...fit.bias].forEach((value, i) => {
      expect(Math.abs(value - expected[i]!) / scale).toBeLessThan(1e-12);
    });
  });

  test.each([
    [400, 64],
    [60, 200],
  ])("normal equations hold to 1e-10: n = %i, d = %i", (n, d) => {
    const { features, labels } = clusters(n, d, 10);
    const fit = fitRidge(flat(features), labels, { classes: 10 });
    const { system, right } = normalEquations(features, labels, 10, 1 + 1e-6);
    const theta = [...fit.weight, ...fit.bias];
    let [residual, norm] = [0, 0];
    system.forEach((row, k) => {
      for (let c = 0; c < 10; c++) {
        const product = row.reduce((sum, a, j) => sum + a * theta[j * 10 + c]!, 0);
        residual += (product - right[k]![c]!) ** 2;
        norm += right[k]![c]! ** 2;
      }
    });
    expect(Math.sqrt(residual / norm)).toBeLessThan(1e-10);
  });
});

describe("properties of fitRidge", () => {
  const problem = fc.record({
    n: fc.integer({ min: 4, max: 30 }),
    d: fc.integer({ min: 1, max: 30 }),
    seed: fc.nat(1000),
  });
  const near = (a: Float64Array, b: Float64Array): number =>
    Math.max(...a.map((value, i) => Math.abs(value - b[i]!))) / Math.max(...b.map(Math.abs));

  test("class weights balance: every image of one class twice changes the fit only through n", () => {
    // w_j n_j = n / C: doubling a class leaves its share; all weights scale with n, so alpha must scale with n too.
    fc.assert(
      fc.property(problem, ({ n, d, seed }) => {
        const { features, labels } = clusters(n, d, 2, seed);
        const twice = labels.flatMap((label, i) => (label === 1 ? [i, i] : [i]));
        const once = fitRidge(flat(features), labels, { classes: 2, alpha: n });
        const doubled = fitRidge(
          flat(twice.map((i) => features[i]!)),
          twice.map((i) => labels[i]!),
          {
            classes: 2,
            alpha: twice.length * (1 + 1e-6 / n) - 1e-6,
          },
        );
        expect(near(doubled.weight, once.weight)).toBeLessThan(1e-9);
        expect(near(doubled.bias, once.bias)).toBeLessThan(1e-9);
      }),
      { numRuns: 50 },
    );
  });

  test("the order of the images does not matter", () => {
    fc.assert(
      fc.property(problem, ({ n, d, seed }) => {
        const { features, labels } = clusters(n, d, 3, seed);
        const order = backend.stream(seed, "order").permutation(n);
        const shuffled = fitRidge(
          Float64Array.from([...order].flatMap((i) => features[i]!)),
          [...order].map((i) => labels[i]!),
          { classes: 3 },
        );
        expect(near(shuffled.weight, fitRidge(flat(features), labels, { classes: 3 }).weight)).toBeLessThan(1e-10);
      }),
      { numRuns: 50 },
    );
  });

  test("clusters far apart are told apart", () => {
    const { features, labels } = clusters(200, 20, 5);
    const fit = fitRidge(flat(features), labels, { classes: 5 });
    expect(heads.accuracy(applyRidge(fit, flat(features)), labels)).toBeGreaterThan(98);
  });
});

describe("errors", () => {
  const f = Float64Array.of(1, 2, 3, 4);
  test.each<[string, () => void, RegExp]>([
    [
      "label out of range",
      () => fitRidge(f, [0, 2], { classes: 2 }),
      /labels must be integers from 0 to 1, got 2 at 1/,
    ],
    ["negative label", () => fitRidge(f, [-1, 0], { classes: 2 }), /got -1 at 0/],
    ["fractional label", () => fitRidge(f, [0, 0.5], { classes: 2 }), /got 0\.5 at 1/],
    ["empty class", () => fitRidge(f, [0, 2], { classes: 3 }), /every class must have an image, class 1 of 3 has none/],
    [
      "NaN feature",
      () => fitRidge(Float64Array.of(1, 2, 3, Number.NaN), [0, 1], { classes: 2 }),
      /got NaN at image 1, feature 1/,
    ],
    [
      "infinite feature",
      () => fitRidge(Float32Array.of(1, Number.POSITIVE_INFINITY), [0, 1], { classes: 2 }),
      /got Infinity at image 1, feature 0/,
    ],
    [
      "features that do not divide",
      () => fitRidge(f, [0, 1, 1], { classes: 2 }),
      /d values for each of the 3 labels, got 4/,
    ],
    ["no images", () => fitRidge(new Float64Array(0), [], { classes: 1 }), /each of the 0 labels, got 0/],
    ["negative alpha", () => fitRidge(f, [0, 1], { classes: 2, alpha: -1 }), /alpha must be finite and >= 0, got -1/],
    ["no classes", () => fitRidge(f, [0, 1], { classes: 0 }), /classes must be a whole number >= 1, got 0/],
    ["a plain array", () => fitRidge([1, 2] as never, [0, 1], { classes: 2 }), /Float32Array or Float64Array/],
    [
      "other features for the fit",
      () => applyRidge(fitRidge(f, [0, 1], { classes: 2 }), Float64Array.of(1)),
      /2 values an image, got 1/,
    ],
  ])("%s", (_, call, rule) => expect(call).toThrow(rule));
});
