import fc from "fast-check";
import { rows } from "secateur";
import { describe, expect, test } from "vitest";

const { judge, meanInterval, tQuantile } = rows;

describe("tQuantile", () => {
  // published table (NIST/SEMATECH, Handbook of Statistical Methods), 3 decimals; df 1 and 2 in closed form
  test.each([
    [0.95, 1, 6.314],
    [0.975, 1, 12.706],
    [0.975, 2, 4.303],
    [0.975, 3, 3.182],
    [0.975, 4, 2.776],
    [0.995, 5, 4.032],
    [0.975, 9, 2.262],
    [0.975, 10, 2.228],
    [0.975, 30, 2.042],
    [0.999, 29, 3.396],
    [0.975, 100, 1.984],
  ])("t(%d, %d) = %d", (p, df, expected) => {
    expect(tQuantile(p, df)).toBeCloseTo(expected, 3);
  });

  test("df 1 is tan(pi (p - 1/2)), df 2 is (2p-1) / sqrt(2 p (1-p))", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 0.999, noNaN: true }), (p) => {
        expect(tQuantile(p, 1)).toBeCloseTo(Math.tan(Math.PI * (p - 0.5)), 6);
        expect(tQuantile(p, 2)).toBeCloseTo((2 * p - 1) / Math.sqrt(2 * p * (1 - p)), 7);
      }),
    );
  });

  test("odd in p - 1/2, grows with p, tends to the normal quantile", () => {
    expect(tQuantile(0.1, 7)).toBe(-tQuantile(0.9, 7));
    expect(tQuantile(0.5, 7)).toBeCloseTo(0, 12);
    expect(tQuantile(0.99, 7)).toBeGreaterThan(tQuantile(0.98, 7));
    expect(tQuantile(0.975, 100_000)).toBeCloseTo(1.959964, 4);
  });

  test("refuses p outside (0, 1) and broken df", () => {
    expect(() => tQuantile(1, 3)).toThrow(/p must be in \(0, 1\), got 1/);
    expect(() => tQuantile(0.9, 1.5)).toThrow(/df must be 1, 2, 3 ..., got 1.5/);
  });
});

describe("meanInterval", () => {
  test("1 2 3: 2 ± 4.303 / sqrt(3)", () => {
    const i = meanInterval([1, 2, 3]);
    expect(i).toMatchObject({ mean: 2, sd: 1, n: 3 });
    expect(i.halfWidth).toBeCloseTo(4.302652729911275 / Math.sqrt(3), 8);
    expect(i.high - i.mean).toBeCloseTo(i.mean - i.low, 12);
  });

  test("one value has no interval", () => {
    expect(meanInterval([5])).toMatchObject({ mean: 5, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY });
  });

  test("refuses no value, NaN, confidence 1", () => {
    expect(() => meanInterval([])).toThrow(/empty/);
    expect(() => meanInterval([1, Number.NaN])).toThrow(/finite, got NaN/);
    expect(() => meanInterval([1, 2], 1)).toThrow(/confidence must be in \(0, 1\), got 1/);
  });
});

describe("judge", () => {
  test("supports, refutes or leaves open by the whole interval", () => {
    expect(judge([10, 11, 12], { above: 3 }).verdict).toBe("supports");
    expect(judge([1, 1.1, 1.2], { above: 3 }).verdict).toBe("refutes");
    expect(judge([2, 3, 4], { above: 3 }).verdict).toBe("open");
    expect(judge([10, 11, 12], { above: 3, below: 9 }).verdict).toBe("open");
    expect(judge([4, 5, 6], { above: 0, below: 10 }).verdict).toBe("supports");
    expect(judge([10], { above: 3 }).verdict).toBe("open");
  });

  test("refuses a prediction that nothing could break", () => {
    expect(() => judge([1, 2], {})).toThrow(/a prediction needs above < below/);
    expect(() => judge([1, 2], { above: 3, below: 2 })).toThrow(/a prediction needs/);
  });
});
