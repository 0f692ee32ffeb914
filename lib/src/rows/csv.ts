import { readFileSync } from "node:fs";
import { writeFileAtomic } from "../files";
import type { Row } from "../types";

type Column = { readonly write: (value: never) => string; readonly read: (text: string) => unknown };

const text: Column = { write: (value: string) => value, read: (s) => s };
const oneOf = (...allowed: readonly string[]): Column => ({
  write: (value: string) => value,
  read: (s) => {
    if (!allowed.includes(s)) throw new RangeError(`must be one of ${allowed.join(", ")}, got '${s}'`);
    return s;
  },
});
const number: Column = { write: (value: number) => (Object.is(value, -0) ? "-0" : String(value)), read: readNumber };
const finite: Column = { ...number, read: (s) => check(readNumber(s), Number.isFinite, "a finite number", s) };
const count: Column = {
  ...number,
  read: (s) => check(readNumber(s), (x) => Number.isSafeInteger(x) && x >= 0, "a count (0, 1, 2 ...)", s),
};

/** The columns of a results file, in order. A diverged value is written as NaN or Infinity. */
const columns: { readonly [K in keyof Row]-?: Column } = {
  model: text,
  pretraining: text,
  protocol: oneOf("clean", "authors"),
  source: text,
  task: text,
  taskKind: oneOf("source", "transfer", "unseen", "far"),
  score: text,
  rounds: count,
  keep: { ...number, read: (s) => check(readNumber(s), (x) => x > 0 && x <= 1, "in (0, 1]", s) },
  seed: count,
  draw: count,
  variant: text,
  metric: text,
  value: number,
  n: count,
  seconds: finite,
  commit: text,
};
const names = Object.keys(columns) as (keyof Row)[];

/**
 * Rows as CSV (RFC 4180 quoting, lines end in \n, header first). Numbers have as many digits as it takes to read the same
 * double back. `fromCsv(toCsv(rows))` equals `rows`.
 * @throws RangeError naming row and column when a row breaks the rule of its column
 */
export function toCsv(rows: readonly Row[]): string {
  const lines = rows.map((row, i) =>
    names
      .map((name) => {
        const field = (columns[name].write as (value: unknown) => string)(row[name] ?? "");
        try {
          if (!Object.is(columns[name].read(field), row[name]))
            throw new RangeError(`must not be ${JSON.stringify(row[name])}`);
        } catch (error) {
          throw new RangeError(`toCsv: row ${i}, column '${name}' ${(error as Error).message}`);
        }
        return quote(field);
      })
      .join(","),
  );
  return [names.join(","), ...lines].map((line) => `${line}\n`).join("");
}

/**
 * Rows out of CSV text. The header must name every column of `Row` once and nothing else, in any order.
 * @param file  named in errors
 * @throws Error naming file, line and rule: unknown or missing column, wrong number of fields, open quote, bad value
 */
export function fromCsv(csv: string, file = "csv"): Row[] {
  const [header, ...records] = parse(csv.replace(/^\uFEFF/, ""), file);
  if (!header) throw new Error(`${file}: empty, a header line is needed`);
  checkHeader(header.fields, `${file} line 1`);
  return records.map(({ fields, line }) => {
    if (fields.length !== header.fields.length)
      throw new Error(`${file} line ${line}: ${fields.length} fields where the header has ${header.fields.length}`);
    const row: Record<string, unknown> = {};
    header.fields.forEach((name, i) => {
      try {
        row[name] = columns[name as keyof Row].read(fields[i] as string);
      } catch (error) {
        throw new Error(`${file} line ${line}: '${name}' ${(error as Error).message}`);
      }
    });
    return Object.fromEntries(names.map((name) => [name, row[name]])) as unknown as Row;
  });
}

/** `fromCsv` of a file. */
export function readCsv(file: string): Row[] {
  return fromCsv(readFileSync(file, "utf8"), file);
}

/** Writes `toCsv(rows)` under a temporary name, then renames: the file is complete or the old one. */
export function writeCsv(file: string, rows: readonly Row[]): void {
  writeFileAtomic(file, toCsv(rows));
}

function checkHeader(header: readonly string[], place: string): void {
  const unknown = header.filter((name) => !Object.hasOwn(columns, name));
  const missing = names.filter((name) => !header.includes(name));
  const twice = header.filter((name, i) => header.indexOf(name) !== i);
  const faults = [
    unknown.length ? `unknown column ${unknown.map((s) => `'${s}'`).join(", ")}` : "",
    missing.length ? `missing column ${missing.map((s) => `'${s}'`).join(", ")}` : "",
    twice.length ? `column ${twice.map((s) => `'${s}'`).join(", ")} twice` : "",
  ].filter(Boolean);
  if (faults.length) throw new Error(`${place}: ${faults.join("; ")}`);
}

function quote(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

/** Records with the line each begins on. A quoted field may hold commas, doubled quotes and line breaks. */
function parse(csv: string, file: string): { fields: string[]; line: number }[] {
  const records: { fields: string[]; line: number }[] = [];
  let at = 0;
  let line = 1;
  while (at < csv.length) {
    const record = { fields: [] as string[], line };
    for (;;) {
      let field: string;
      if (csv[at] === '"') {
        [field, at] = quoted(csv, at, `${file} line ${line}`);
        line += field.split("\n").length - 1;
      } else {
        const end = nextOf(csv, at, /[,\r\n"]/g);
        if (csv[end] === '"')
          throw new Error(`${file} line ${line}: a quote inside a field that does not begin with one`);
        field = csv.slice(at, end);
        at = end;
      }
      record.fields.push(field);
      if (csv[at] !== ",") break;
      at++;
    }
    if (at < csv.length) {
      const lineEnd = csv.startsWith("\r\n", at) ? 2 : csv[at] === "\n" ? 1 : 0;
      if (lineEnd === 0) throw new Error(`${file} line ${line}: text after a closing quote, or a lone carriage return`);
      at += lineEnd;
    }
    records.push(record);
    line++;
  }
  return records;
}

function quoted(csv: string, open: number, place: string): [string, number] {
  for (let close = csv.indexOf('"', open + 1); close >= 0; close = csv.indexOf('"', close + 2))
    if (csv[close + 1] !== '"') return [csv.slice(open + 1, close).replaceAll('""', '"'), close + 1];
  throw new Error(`${place}: a quoted field is not closed`);
}

function nextOf(csv: string, from: number, pattern: RegExp): number {
  pattern.lastIndex = from;
  return pattern.exec(csv)?.index ?? csv.length;
}

function readNumber(s: string): number {
  if (!/^(-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|NaN|-?Infinity)$/i.test(s))
    throw new RangeError(`must be a number, got '${s}'`);
  return Number(s);
}

function check(x: number, rule: (x: number) => boolean, words: string, s: string): number {
  if (!rule(x)) throw new RangeError(`must be ${words}, got '${s}'`);
  return x;
}
