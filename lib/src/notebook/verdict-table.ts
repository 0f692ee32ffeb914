import { join } from "node:path";
import { writeFileAtomic } from "../files";
import type { Verdict } from "../rows";
import { show } from "./show";
import { alignText, renderTable } from "./table";

/** One claim against what was measured. */
export interface VerdictRow {
  readonly claim: string;
  /** said before the run, so that it could turn out false */
  readonly predicted: string;
  /** mean and sample sd over n independent runs (sources, seeds); sd NaN for one */
  readonly measured: { readonly mean: number; readonly sd: number; readonly n: number };
  /** after the number: "%", "points", "" */
  readonly unit?: string;
  readonly verdict: Verdict;
}

const verdicts: readonly string[] = ["supports", "refutes", "open"] satisfies Verdict[];
const headings = ["claim", "predicted", "measured ± sd", "n", "verdict"];
const widths = [44, 30, 24, 4, 8];

/**
 * Shows the verdict table of a notebook. Where the environment variable SECATEUR_RUN_DIR names a folder, also writes
 * NAME.verdict.txt (for a terminal) and NAME.verdict.json there.
 * @param name  of the notebook, letters, digits, "-" and "_"
 * @throws RangeError for a bad name, no row, a number that is not finite, an unknown verdict
 */
export function verdictTable(name: string, rows: readonly VerdictRow[]): void {
  check(name, rows);
  const cells = rows.map((row) => [row.claim, row.predicted, measured(row), String(row.measured.n), row.verdict]);
  const [head = "", ...body] = alignText([headings, ...cells].flatMap(wrapped), [
    false,
    false,
    false,
    true,
    false,
  ]).split("\n");
  const rule = "-".repeat(Math.max(...[head, ...body].map((line) => line.length)));
  const text = [head, rule, ...body].join("\n");
  const objects = cells.map((row) => Object.fromEntries(headings.map((heading, j) => [heading, row[j]])));
  show({ "text/html": renderTable(objects, { maxRows: rows.length })["text/html"], "text/plain": text });
  const folder = process.env.SECATEUR_RUN_DIR;
  if (!folder) return;
  writeFileAtomic(join(folder, `${name}.verdict.txt`), `${text}\n`);
  writeFileAtomic(join(folder, `${name}.verdict.json`), `${JSON.stringify({ name, verdicts: rows }, null, 2)}\n`);
}

function check(name: string, rows: readonly VerdictRow[]): void {
  if (!/^[\w-]+$/.test(name))
    throw new RangeError(`verdictTable: name must be letters, digits, - and _, got '${name}'`);
  if (!Array.isArray(rows) || rows.length === 0) throw new RangeError("verdictTable: rows must be a non-empty array");
  for (const { claim, measured, verdict } of rows as readonly VerdictRow[]) {
    if (!Number.isFinite(measured?.mean))
      throw new RangeError(`verdictTable: measured.mean must be finite, got ${measured?.mean} for '${claim}'`);
    if (!(Number.isInteger(measured.n) && measured.n > 0))
      throw new RangeError(`verdictTable: measured.n must be 1, 2, 3 ..., got ${measured.n} for '${claim}'`);
    if (!verdicts.includes(verdict))
      throw new RangeError(`verdictTable: verdict must be ${verdicts.join(", ")}, got '${verdict}' for '${claim}'`);
  }
}

function measured({ measured: { mean, sd }, unit = "" }: VerdictRow): string {
  const digits = (x: number): string => String(Number(x.toPrecision(3)));
  return `${digits(mean)}${Number.isFinite(sd) ? ` ± ${digits(sd)}` : ""} ${unit}`.trimEnd();
}

/** A row of cells as several rows, each cell broken between words at the width of its column. */
function wrapped(cells: readonly string[]): string[][] {
  const columns = cells.map((cell, j) => {
    const lines = [""];
    for (const word of cell.split(/\s+/)) {
      const last = lines.at(-1)!;
      if (last && last.length + 1 + word.length > widths[j]!) lines.push(word);
      else lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
    return lines;
  });
  const height = Math.max(...columns.map((lines) => lines.length));
  return Array.from({ length: height }, (_, i) => columns.map((lines) => lines[i] ?? ""));
}
