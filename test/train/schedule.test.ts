import fc from "fast-check";
import { train } from "secateur";
import { describe, expect, test } from "vitest";

const { cosineRampSchedule, cosineSchedule, rampSchedule, stepSchedule } = train;

const share = fc.double({ min: 0, max: 1, noNaN: true });

describe("stepSchedule", () => {
  test("a tenth from each milestone on", () => {
    const at = stepSchedule(0.5);
    const below = (t: number): number => t - 1e-9;
    const drops = [0, below(1 / 3), 1 / 3, below(2 / 3), 2 / 3, below(8 / 9), 8 / 9, 0.999].map((t) =>
      Math.round(Math.log10(0.5 / at(t))),
    );
    expect(drops).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    expect(at(0)).toBe(0.5);
    expect(at(0.5)).toBeCloseTo(0.05, 15);
  });

  test("milestones of one's own, none for a constant rate", () => {
    const half = stepSchedule(2, [0.5]);
    expect([half(0.49), half(0.5)]).toEqual([2, 0.2]);
    fc.assert(fc.property(share, (t) => stepSchedule(2, [])(t) === 2));
  });

  test("never rises", () => {
    fc.assert(
      fc.property(share, share, fc.array(share, { maxLength: 5 }), (a, b, milestones) => {
        const at = stepSchedule(1, milestones);
        return at(Math.min(a, b)) >= at(Math.max(a, b));
      }),
    );
  });
});

describe("cosineSchedule", () => {
  test("a half cosine from the rate to nothing", () => {
    const at = cosineSchedule(0.2, 0);
    expect([0, 1 / 3, 0.5, 2 / 3, 1].map(at).map((rate) => Number(rate.toFixed(12)))).toEqual([
      0.2, 0.15, 0.1, 0.05, 0,
    ]);
    fc.assert(fc.property(share, (t) => Math.abs(at(t) + at(1 - t) - 0.2) < 1e-12));
  });

  test("rises linearly over the warm-up, under the same cosine", () => {
    const [warm, plain] = [cosineSchedule(0.2, 0.25), cosineSchedule(0.2, 0)];
    expect(warm(0)).toBe(0);
    expect(warm(0.125)).toBeCloseTo(plain(0.125) / 2, 15);
    fc.assert(
      fc.property(
        share,
        (t) => warm(t) <= plain(t) && (t < 0.25 || warm(t) === plain(t)) && warm(t) >= 0 && warm(t) <= 0.2,
      ),
    );
    expect(cosineSchedule(0.2)(0.025)).toBeCloseTo(cosineSchedule(0.2, 0)(0.025) / 2, 15);
  });
});

test.each([
  ["a rate of 0", () => stepSchedule(0), /rate must be a positive number, got 0/],
  ["an infinite rate", () => cosineSchedule(Number.POSITIVE_INFINITY), /rate must be a positive number, got Infinity/],
  ["a rate that is no number", () => cosineSchedule(Number.NaN), /rate must be a positive number, got NaN/],
  ["a milestone in epochs", () => stepSchedule(1, [0.3, 30]), /milestones must be shares .* got 30/],
  ["a warm-up of everything", () => cosineSchedule(1, 1), /warmup must be in \[0, 1\), got 1/],
  ["a warm-up below 0", () => cosineSchedule(1, -0.1), /warmup must be in \[0, 1\), got -0.1/],
])("refuses %s", (_, make, message) => {
  expect(make).toThrow(message);
});

describe("rampSchedule", () => {
  test("in a line to the end value, and there it stays", () => {
    const at = rampSchedule({ from: 0.1, to: 0.9, until: 0.6 });
    [0, 0.15, 0.3, 0.6, 0.61, 1].forEach((t, i) => {
      expect(at(t)).toBeCloseTo([0.1, 0.3, 0.5, 0.9, 0.9, 0.9][i]!, 12);
    });
    expect(rampSchedule({ from: 1, to: 3, until: 0 })(0), "until 0: from the start on").toBe(3);
  });

  test("stays between its ends", () => {
    fc.assert(
      fc.property(share, share, share, share, (from, to, until, t) => {
        const value = rampSchedule({ from, to, until })(t);
        return value >= Math.min(from, to) - 1e-12 && value <= Math.max(from, to) + 1e-12;
      }),
    );
  });

  test.each([
    [{ from: 0, to: 1, until: 1.5 }, /until must be in \[0, 1\], got 1.5/],
    [{ from: Number.NaN, to: 1, until: 1 }, /from and to must be numbers, got NaN and 1/],
  ])("refuses %o", (ramp, message) => {
    expect(() => rampSchedule(ramp)).toThrow(message);
  });
});

test("cosineRampSchedule: half a cosine from one end to the other", () => {
  const at = cosineRampSchedule({ from: 0.99, to: 1 });
  [0, 1 / 3, 0.5, 1].forEach((t, i) => {
    expect(at(t)).toBeCloseTo([0.99, 0.9925, 0.995, 1][i]!, 12);
  });
});
