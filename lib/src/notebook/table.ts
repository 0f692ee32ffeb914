import type { DataFrame } from "danfojs-node";
import { show } from "./show";

export interface TableOptions {
  readonly caption?: string;
  /** which columns, in which order; default: all */
  readonly columns?: readonly string[];
  /** headings in place of column names */
  readonly headings?: Readonly<Record<string, string>>;
  /** rows shown; the rest is counted below. Default 30 */
  readonly maxRows?: number;
  /** significant digits of numbers that are not whole. Default 4 */
  readonly digits?: number;
}

interface Cells {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/**
 * Shows rows of objects, or a danfo DataFrame, as an HTML table with a plain-text twin. Numbers stand to the right; missing
 * values (null, undefined, NaN) are blank.
 * @throws RangeError for a column that does not exist
 */
export function table(data: readonly object[] | DataFrame, options: TableOptions = {}): void {
  show(renderTable(data, options));
}

/** What `table` shows, as HTML and as text. */
export function renderTable(
  data: readonly object[] | DataFrame,
  options: TableOptions = {},
): { readonly "text/html": string; readonly "text/plain": string } {
  const { caption, headings = {}, maxRows = 30, digits = 4 } = options;
  if (!(Number.isInteger(maxRows) && maxRows > 0))
    throw new RangeError(`table: maxRows must be 1, 2, 3 ..., got ${maxRows}`);
  if (!(Number.isInteger(digits) && digits > 0 && digits <= 17))
    throw new RangeError(`table: digits must be in [1, 17], got ${digits}`);
  const { columns, rows } = select(cellsOf(data), options.columns);
  const heads = columns.map((name) => headings[name] ?? name);
  const right = columns.map(
    (_, j) => rows.every((row) => isMissing(row[j]) || typeof row[j] === "number") && rows.length > 0,
  );
  const shown = rows.slice(0, maxRows).map((row) => row.map((value) => format(value, digits)));
  const rest = rows.length > maxRows ? `${rows.length} rows, the first ${maxRows} are shown` : "";

  const cell = (tag: string, text: string, j: number): string =>
    `<${tag} style="text-align:${right[j] ? "right" : "left"}">${escapeHtml(text)}</${tag}>`;
  const html = [
    "<table>",
    caption ? `<caption>${escapeHtml(caption)}</caption>` : "",
    `<thead><tr>${heads.map((head, j) => cell("th", head, j)).join("")}</tr></thead>`,
    `<tbody>${shown.map((row) => `<tr>${row.map((text, j) => cell("td", text, j)).join("")}</tr>`).join("")}</tbody>`,
    "</table>",
    rest ? `<p>${rest}</p>` : "",
  ].join("");
  const text = [caption ?? "", alignText([heads, ...shown], right), rest].filter(Boolean).join("\n");
  return { "text/html": html, "text/plain": text };
}

/** Lines of padded cells, two spaces between columns. A line break inside a cell becomes a space. */
export function alignText(rows: readonly (readonly string[])[], right: readonly boolean[]): string {
  const flat = rows.map((row) => row.map((text) => text.replace(/\s*\n\s*/g, " ")));
  const widths = right.map((_, j) => Math.max(...flat.map((row) => [...row[j]!].length)));
  const pad = (text: string, j: number): string => {
    const blank = " ".repeat(widths[j]! - [...text].length);
    return right[j] ? blank + text : text + blank;
  };
  return flat.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function cellsOf(data: readonly object[] | DataFrame): Cells {
  if (Array.isArray(data)) {
    const bad = data.findIndex((row) => row === null || typeof row !== "object" || Array.isArray(row));
    if (bad >= 0) throw new TypeError(`table: row ${bad} must be an object, got ${JSON.stringify(data[bad])}`);
    const columns = [...new Set(data.flatMap((row) => Object.keys(row)))];
    return { columns, rows: data.map((row) => columns.map((name) => (row as Record<string, unknown>)[name])) };
  }
  const frame = data as DataFrame;
  if (!Array.isArray(frame?.columns) || !Array.isArray(frame.values))
    throw new TypeError("table: data must be an array of objects or a danfo DataFrame");
  return { columns: frame.columns, rows: frame.values as unknown[][] };
}

function select({ columns, rows }: Cells, wanted: readonly string[] | undefined): Cells {
  if (!wanted) return { columns, rows };
  const places = wanted.map((name) => {
    const at = columns.indexOf(name);
    if (at < 0) throw new RangeError(`table: no column '${name}', only ${columns.join(", ")}`);
    return at;
  });
  return { columns: wanted, rows: rows.map((row) => places.map((at) => row[at])) };
}

function isMissing(value: unknown): boolean {
  return value === null || value === undefined || Number.isNaN(value);
}

function format(value: unknown, digits: number): string {
  if (isMissing(value)) return "";
  if (typeof value === "number" && Number.isFinite(value) && !Number.isInteger(value))
    return String(Number(value.toPrecision(digits)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
