import fc from "fast-check";
import { rows } from "secateur";
import { describe, expect, test } from "vitest";

const { aggregate, groupBy, pivot, sortBy, stats } = rows;

describe("groupBy", () => {
  test("compares values, not joined text, nor numbers with their spelling", () => {
    const list = [
      { a: "a-b", b: "c" },
      { a: "a", b: "b-c" },
      { a: "1", b: "" },
      { a: 1, b: "" },
    ];
    expect(groupBy<{ a: string | number; b: string }, "a" | "b">(list, ["a", "b"])).toHaveLength(4);
  });

  test("keeps the order of first appearance and of the rows", () => {
    const list = [3, 1, 3, 2, 1].map((k, i) => ({ k, i }));
    expect(groupBy(list, ["k"]).map((g) => [g.key.k, g.rows.map((r) => r.i)])).toEqual([
      [3, [0, 2]],
      [1, [1, 4]],
      [2, [3]],
    ]);
  });

  test("names the key that a row lacks", () => {
    expect(() => groupBy([{ k: 1 } as { k: number; z?: number }], ["z"])).toThrow(/groupBy: a row has no 'z'/);
  });

  test("groups are a partition of the rows", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ a: fc.integer({ min: 0, max: 3 }), b: fc.string({ maxLength: 2 }) })),
        (list) => {
          const groups = groupBy(list, ["a", "b"]);
          expect(groups.flatMap((g) => g.rows).length).toBe(list.length);
          for (const g of groups) for (const r of g.rows) expect({ a: r.a, b: r.b }).toEqual(g.key);
        },
      ),
    );
  });
});

describe("aggregate", () => {
  test("mean, sample sd, n, min and max by hand: 2 4 9", () => {
    const list = [2, 4, 9].map((value) => ({ k: "x", value }));
    // mean 5, squares 9 + 1 + 16 = 26, sd sqrt(26 / 2)
    expect(aggregate(list, { by: ["k"], value: "value" })).toEqual([
      { k: "x", mean: 5, sd: Math.sqrt(13), n: 3, min: 2, max: 9 },
    ]);
  });

  test("one value has no sd, NaN stays NaN", () => {
    expect(stats([7])).toEqual({ mean: 7, sd: Number.NaN, n: 1, min: 7, max: 7 });
    expect(stats([7, Number.NaN]).mean).toBeNaN();
  });

  test("refuses a missing number, text in the place of a number, a key called like a statistic, no values", () => {
    expect(() => aggregate([{ k: 1, v: "3" }], { by: ["k"], value: "v" })).toThrow(
      /'v' must be a number in every row: {"k":1,"v":"3"}/,
    );
    expect(() => aggregate([{ k: 1, v: null }], { by: ["k"], value: "v" })).toThrow(/'v' must be a number/);
    expect(() => aggregate([{ n: 1, v: 3 }], { by: ["n"], value: "v" })).toThrow(/cannot group by 'n'/);
    expect(() => stats([])).toThrow(/must not be empty/);
  });
});

describe("pivot", () => {
  test("long to wide; a cell without a row is absent", () => {
    const list = [
      { source: "a", task: "x", value: 1 },
      { source: "a", task: "y", value: 2 },
      { source: "b", task: "y", value: 3 },
    ];
    expect(pivot(list, { index: ["source"], columns: "task", value: "value" })).toEqual([
      { source: "a", x: 1, y: 2 },
      { source: "b", y: 3 },
    ]);
  });

  test("refuses two rows for one cell, and a column that is an index", () => {
    const twice = [
      { s: "a", t: "x", v: 1 },
      { s: "a", t: "x", v: 2 },
    ];
    expect(() => pivot(twice, { index: ["s"], columns: "t", value: "v" })).toThrow(
      /two rows for {"s":"a"} and t 'x'; aggregate first/,
    );
    expect(() => pivot([{ s: "a", t: "s", v: 1 }], { index: ["s"], columns: "t", value: "v" })).toThrow(
      /column 's' is also an index/,
    );
  });
});

describe("sortBy", () => {
  test("numbers by value, text by code unit, '-' downward, NaN last both ways, stable", () => {
    const list = [
      { s: "b", x: 10 },
      { s: "a", x: 9 },
      { s: "B", x: Number.NaN },
      { s: "c", x: 9 },
    ];
    expect(sortBy(list, "x").map((r) => r.s)).toEqual(["a", "c", "b", "B"]);
    expect(sortBy(list, "-x").map((r) => r.s)).toEqual(["b", "a", "c", "B"]);
    expect(sortBy(list, "s").map((r) => r.s)).toEqual(["B", "a", "b", "c"]);
    expect(list[0]!.s).toBe("b");
  });

  test("names an unknown key", () => {
    expect(() => sortBy([{ x: 1 }], "y" as "x")).toThrow(/sortBy: a row has no 'y'/);
  });
});
