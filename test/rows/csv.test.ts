import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type Row, rows } from "secateur";
import { afterAll, describe, expect, test } from "vitest";
import { rowOf } from "./rows-of";

const { fromCsv, readCsv, toCsv, writeCsv } = rows;
const folder = mkdtempSync(join(tmpdir(), "secateur-csv-"));
afterAll(() => rmSync(folder, { recursive: true }));

const header = toCsv([]).trimEnd();
const line = toCsv([rowOf()]).split("\n")[1]!;

/** Any row the rules of the columns allow. */
const anyRow: fc.Arbitrary<Row> = fc
  .record({
    text: fc.array(fc.string({ unit: "binary", maxLength: 6 }), { minLength: 8, maxLength: 8 }),
    protocol: fc.constantFrom("clean" as const, "authors" as const),
    taskKind: fc.constantFrom("source" as const, "transfer" as const, "unseen" as const, "far" as const),
    counts: fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
    keep: fc.double({ min: 1e-6, max: 1, noNaN: true }),
    value: fc.double(),
    seconds: fc.double({ noNaN: true, noDefaultInfinity: true }),
  })
  .map(({ text, protocol, taskKind, counts, keep, value, seconds }) => ({
    model: text[0]!,
    pretraining: text[1]!,
    protocol,
    source: text[2]!,
    task: text[3]!,
    taskKind,
    score: text[4]!,
    rounds: counts[0]!,
    keep,
    seed: counts[1]!,
    draw: counts[2]!,
    variant: text[5]!,
    metric: text[6]!,
    value,
    n: counts[3]!,
    seconds,
    commit: text[7]!,
  }));

describe("csv", () => {
  test("reads back exactly what was written: text with quotes and line breaks, every double, NaN and infinities", () => {
    fc.assert(
      fc.property(fc.array(anyRow, { maxLength: 5 }), (list) => {
        expect(fromCsv(toCsv(list))).toEqual(list);
      }),
    );
  });

  test("quotes by RFC 4180", () => {
    expect(toCsv([rowOf({ variant: 'lr=3, "hot"\nx' })])).toContain(',"lr=3, ""hot""\nx",');
  });

  test("accepts columns in another order, CRLF, a byte order mark, no last line break", () => {
    const names = header.split(",").reverse().join(",");
    const fields = line.split(",").reverse().join(",");
    expect(fromCsv(`\uFEFF${names}\r\n${fields}`)).toEqual([rowOf()]);
  });

  const faults: [name: string, csv: string, message: RegExp][] = [
    ["an empty file", "", /results\.csv: empty, a header line is needed/],
    ["a missing column", `${header.replace(",keep", "")}\n`, /results\.csv line 1: missing column 'keep'/],
    ["an unknown column", `${header},mood\n`, /line 1: unknown column 'mood'/],
    ["a column twice", `${header},keep\n`, /line 1: column 'keep' twice/],
    ["a short record", `${header}\n${line}\n${line.slice(0, -8)}\n`, /line 3: 16 fields where the header has 17/],
    [
      "a truncated quoted field",
      `${header}\n${line.replace("tiny", '"tiny')}\n`,
      /line 2: a quoted field is not closed/,
    ],
    ["a quote inside a bare field", `${header}\n${line.replace("tiny", 'ti"ny')}\n`, /line 2: a quote inside a field/],
    [
      "text after a quoted field",
      `${header}\n${line.replace("tiny", '"ti"ny')}\n`,
      /line 2: text after a closing quote/,
    ],
    [
      "a number that is none",
      `${header}\n${line.replace("80", "80%")}\n`,
      /line 2: 'value' must be a number, got '80%'/,
    ],
    ["an empty number", `${header}\n${line.replace("80", "")}\n`, /'value' must be a number, got ''/],
    ["keep 0", `${header}\n${line.replace("0.5", "0")}\n`, /'keep' must be in \(0, 1\], got '0'/],
    ["half a seed", `${header}\n${line.replace("300", "300.5")}\n`, /'n' must be a count/],
    [
      "an unknown kind of task",
      `${header}\n${line.replace("transfer", "transfers")}\n`,
      /'taskKind' must be one of source, transfer/,
    ],
  ];
  test.each(faults)("refuses %s, naming file, line and rule", (_name, csv, message) => {
    expect(() => fromCsv(csv, "results.csv")).toThrow(message);
  });

  test("counts lines inside quoted fields", () => {
    expect(() => fromCsv(`${header}\n${line.replace("tiny", '"t\n\ny"')}\n${line},\n`)).toThrow(
      /csv line 5: 18 fields/,
    );
  });

  test("refuses to write a row that it could not read", () => {
    expect(() => toCsv([rowOf(), rowOf({ keep: 0 })])).toThrow(/toCsv: row 1, column 'keep' must be in \(0, 1\]/);
    expect(() => toCsv([rowOf({ value: "80" as unknown as number })])).toThrow(/column 'value' must not be "80"/);
    expect(() => toCsv([rowOf({ model: undefined as unknown as string })])).toThrow(/column 'model'/);
  });

  test("a file is written whole or not at all, and leaves no temporary file", () => {
    const file = join(folder, "deep", "p1.csv");
    writeCsv(file, [rowOf()]);
    expect(readCsv(file)).toEqual([rowOf()]);
    expect(() => writeCsv(file, [rowOf({ keep: 2 })])).toThrow();
    expect(readCsv(file)).toEqual([rowOf()]);
    expect(readdirSync(join(folder, "deep"))).toEqual(["p1.csv"]);
    writeFileSync(file, "nonsense");
    expect(() => readCsv(file)).toThrow(/p1\.csv line 1: unknown column 'nonsense'; missing column/);
  });
});
