import type { DataFrame } from "danfojs-node";

type Kind = "number" | "string" | "boolean";

/**
 * Rows of objects as a danfo DataFrame, for groupby, merge and query by readers who know pandas. Columns are the union over
 * all rows, read by name; missing values (absent, null, undefined, NaN) become NaN; types are given, not guessed from the first
 * rows: int32 for whole numbers without a gap, float32 (danfo's name; values stay doubles) for other numbers, string, boolean.
 * Mind danfo's own habits on frames with gaps: a groupby mean counts null as 0, so aggregate with `rows.aggregate` first.
 * @throws RangeError without rows, for a column with mixed or other types, for a column named like a member of a frame
 */
export function toFrame(rows: readonly object[]): DataFrame {
  if (!Array.isArray(rows) || rows.length === 0)
    throw new RangeError("toFrame: rows must be a non-empty array of objects");
  // loaded on first use: danfo takes 0.8 s
  const danfo = require("danfojs-node") as typeof import("danfojs-node");
  const records = rows as readonly Readonly<Record<string, unknown>>[];
  const columns = [...new Set(records.flatMap((row) => Object.keys(row)))];
  const taken = new danfo.DataFrame([[0]], { columns: ["x"] });
  for (const name of columns)
    if (name in taken && name !== "x")
      throw new RangeError(`toFrame: a column must not be named '${name}', a frame has a member of that name`);
  const dtypes = columns.map((name) => dtypeOf(name, records));
  const values = records.map((row) => columns.map((name) => (isMissing(row[name]) ? Number.NaN : row[name])));
  return new danfo.DataFrame(values as never, { columns, dtypes });
}

function dtypeOf(name: string, rows: readonly Readonly<Record<string, unknown>>[]): string {
  const values = rows.map((row) => row[name]).filter((value) => !isMissing(value));
  const kinds = new Set(values.map((value) => typeof value));
  const [kind = "number"] = kinds;
  if (kinds.size > 1 || !["number", "string", "boolean"].includes(kind))
    throw new RangeError(
      `toFrame: column '${name}' must be all numbers, all strings or all booleans, got ${[...kinds].join(" and ")}`,
    );
  if ((kind as Kind) !== "number") return kind;
  return values.length === rows.length && values.every((value) => (value as number) === ((value as number) | 0))
    ? "int32"
    : "float32";
}

function isMissing(value: unknown): boolean {
  return value === null || value === undefined || Number.isNaN(value);
}
