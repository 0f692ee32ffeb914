import { masks } from "secateur";
import { describe, expect, test } from "vitest";

const { exponentialSchedule, gridSchedule } = masks;

describe("exponentialSchedule", () => {
  test("keep_r = keep^(r / rounds), the last exactly keep", () => {
    const schedule = exponentialSchedule(0.018, 100);
    expect(schedule.length).toBe(100);
    for (const [r, ratio] of schedule.entries()) expect(ratio).toBeCloseTo(0.018 ** ((r + 1) / 100), 14);
    expect(schedule[99]).toBe(0.018);
    expect(schedule.every((ratio, r) => ratio < (schedule[r - 1] ?? 1))).toBe(true);
  });

  test("one round is one shot; keep 1 stays 1", () => {
    expect(exponentialSchedule(0.1, 1)).toEqual([0.1]);
    expect(exponentialSchedule(1, 3)).toEqual([1, 1, 1]);
  });
});

describe("gridSchedule", () => {
  test("the paper's grid with m rounds between: round r keeps 0.64^(r / m)", () => {
    const grid = Array.from({ length: 9 }, (_, i) => 0.64 ** (i + 1));
    const schedule = gridSchedule(grid, 4);
    expect(schedule.length).toBe(36);
    for (const [r, ratio] of schedule.entries()) expect(ratio).toBeCloseTo(0.64 ** ((r + 1) / 4), 14);
    expect(grid.map((_, i) => schedule[4 * i + 3])).toEqual(grid);
  });

  test("worked: geometric between 1, 0.5 and 0.02", () => {
    const [a, b, c, d] = gridSchedule([0.5, 0.02], 2) as [number, number, number, number];
    expect(a).toBeCloseTo(Math.SQRT1_2, 14);
    expect(b).toBe(0.5);
    expect(c).toBeCloseTo(0.1, 14);
    expect(d).toBe(0.02);
  });

  test("grid points are met to the last bit, also where from * (keep / from) is not", () => {
    expect(0.8 * (0.107 / 0.8)).not.toBe(0.107);
    expect(gridSchedule([0.8, 0.107], 1)).toEqual([0.8, 0.107]);
  });

  test.each<[string, () => void, RegExp]>([
    ["a grid that rises", () => gridSchedule([0.5, 0.6], 1), /fall strictly, got 0\.5 before 0\.6/],
    ["a grid that stands", () => gridSchedule([0.5, 0.5], 1), /fall strictly/],
    ["keep 0", () => exponentialSchedule(0, 1), /keep must be in \(0, 1\], got 0/],
    ["no grid", () => gridSchedule([], 1), /at least one keep ratio/],
    ["half a round", () => exponentialSchedule(0.5, 1.5), /rounds must be a whole number >= 1, got 1\.5/],
    ["no rounds", () => exponentialSchedule(0.5, 0), /got 0/],
  ])("refuses %s", (_, call, rule) => expect(call).toThrow(rule));
});
