#!/usr/bin/env node
// Do two runs of a notebook agree? Same cells, same text, tables and plotly data; numbers within a tolerance; pictures are not
// compared (they follow from the plotly data).
//   node scripts/compare-notebooks.cjs COMMITTED.ipynb FRESH.ipynb [--rtol=1e-6] [--atol=1e-9]
const { codeCells, readArguments, readNotebook, textOf } = require("./notebook-file.cjs");

const number = /[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/gi;

const { files, rtol, atol } = settings();
try {
  const [left, right] = files.map((file) => codeCells(readNotebook(file)));
  const differences = compareNotebooks(left, right);
  for (const difference of differences) console.log(difference);
  console.log(
    differences.length === 0
      ? "outputs agree"
      : `${differences.length} difference(s) beyond rtol ${rtol}, atol ${atol}`,
  );
  process.exitCode = differences.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
}

function settings() {
  try {
    const { files, options } = readArguments(["--rtol=", "--atol="]);
    const [rtol, atol] = [Number(options.rtol ?? 1e-6), Number(options.atol ?? 1e-9)];
    if (files.length !== 2)
      throw new Error("usage: compare-notebooks.cjs COMMITTED.ipynb FRESH.ipynb [--rtol=1e-6] [--atol=1e-9]");
    if (!(rtol >= 0) || !(atol >= 0))
      throw new Error(`--rtol and --atol must be numbers >= 0, got ${rtol} and ${atol}`);
    return { files, rtol, atol };
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

function compareNotebooks(left, right) {
  if (left.length !== right.length) return [`${left.length} code cells -> ${right.length}`];
  return left.flatMap((cell, i) =>
    compareCells(cell, right[i]).map((difference) => `cell ${cell.number}: ${difference}`),
  );
}

function compareCells(left, right) {
  if (left.source !== right.source) return ["source differs"];
  const [a, b] = [left.cell.outputs ?? [], right.cell.outputs ?? []];
  if (a.length !== b.length) return [`${a.length} outputs -> ${b.length}`];
  return a.flatMap((output, i) => compareOutputs(output, b[i]).map((difference) => `output ${i + 1}: ${difference}`));
}

function compareOutputs(a, b) {
  if (a.output_type !== b.output_type || a.name !== b.name)
    return [`${a.output_type} ${a.name ?? ""} -> ${b.output_type} ${b.name ?? ""}`];
  if (a.output_type === "stream") return compareText(textOf(a.text), textOf(b.text));
  const mimes = new Set([...Object.keys(a.data ?? {}), ...Object.keys(b.data ?? {})]);
  return [...mimes].flatMap((mime) => {
    const [x, y] = [a.data?.[mime], b.data?.[mime]];
    if (x === undefined || y === undefined) return [`${mime} on one side only`];
    if (mime.startsWith("image/")) return [];
    const found = mime.endsWith("json") ? compareJson(x, y, "") : compareText(textOf(x), textOf(y));
    return found.map((difference) => `${mime} ${difference}`);
  });
}

function compareText(a, b) {
  const shape = (text) => text.replace(number, "#").replace(/ +/g, " ");
  if (shape(a) !== shape(b)) return [`text differs:\n  - ${a.slice(0, 300)}\n  + ${b.slice(0, 300)}`];
  const [x, y] = [a.match(number) ?? [], b.match(number) ?? []];
  const i = x.findIndex((value, k) => !close(Number(value), Number(y[k])));
  return i < 0 ? [] : [`number ${i + 1}: ${x[i]} -> ${y[i]}`];
}

/** The first difference between two JSON values, with its path. */
function compareJson(a, b, path) {
  if (typeof a === "number" && typeof b === "number") return close(a, b) ? [] : [`${path}: ${a} -> ${b}`];
  if (typeof a === "string" && typeof b === "string")
    return compareText(a, b).map((difference) => `${path}: ${difference}`);
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object")
    return a === b ? [] : [`${path}: ${a} -> ${b}`];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    if (!Object.hasOwn(a, key) || !Object.hasOwn(b, key)) return [`${path}.${key} on one side only`];
    const found = compareJson(a[key], b[key], `${path}.${key}`);
    if (found.length > 0) return found;
  }
  return [];
}

function close(x, y) {
  return x === y || Math.abs(x - y) <= atol + rtol * Math.max(Math.abs(x), Math.abs(y));
}
