// Notebooks as files: reading with checks, writing in one normal form (sorted keys, no times, text as lists of lines), so that a
// run that gives the same outputs gives the same bytes.
const { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const { dirname, join } = require("node:path");

/**
 * @typedef {{ output_type: string, name?: string, text?: string | string[], data?: Record<string, unknown>, metadata?: object }} Output
 * @typedef {{ cell_type: string, id?: string, source: string | string[], metadata: { tags?: string[] }, outputs?: Output[], execution_count?: number | null }} Cell
 * @typedef {{ cells: Cell[], metadata: object, nbformat: number, nbformat_minor: number }} Notebook
 */

const metadata = {
  kernelspec: { display_name: "TypeScript", language: "typescript", name: "tslab" },
  language_info: {
    codemirror_mode: { mode: "typescript", name: "javascript", typescript: true },
    file_extension: ".ts",
    mimetype: "text/typescript",
    name: "typescript",
  },
};

/** @param {string} file @returns {Notebook} */
function readNotebook(file) {
  let notebook;
  try {
    notebook = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Error(`${file}: ${error.code === "ENOENT" ? "no such file" : `must be JSON (${error.message})`}`);
  }
  if (notebook?.nbformat !== 4) throw new Error(`${file}: nbformat must be 4, got ${notebook?.nbformat}`);
  if (!Array.isArray(notebook.cells)) throw new Error(`${file}: cells must be a list`);
  notebook.cells.forEach((cell, i) => {
    if (!["code", "markdown", "raw"].includes(cell?.cell_type))
      throw new Error(`${file}: cell ${i + 1}: cell_type must be code, markdown or raw, got ${cell?.cell_type}`);
    const lines = Array.isArray(cell.source) ? cell.source : [cell.source];
    if (!lines.every((line) => typeof line === "string"))
      throw new Error(`${file}: cell ${i + 1}: source must be text`);
    if (cell.cell_type === "code" && !Array.isArray(cell.outputs ?? []))
      throw new Error(`${file}: cell ${i + 1}: outputs must be a list`);
  });
  return notebook;
}

/** Writes under a temporary name, then renames. @param {string} file @param {Notebook} notebook */
function writeNotebook(file, notebook) {
  mkdirSync(dirname(file), { recursive: true });
  const part = `${file}.${process.pid}.part`;
  writeFileSync(part, `${JSON.stringify(sortKeys(normalise(notebook)), null, 1)}\n`);
  renameSync(part, file);
}

/** @param {Notebook} notebook @returns {Notebook} */
function normalise(notebook) {
  const cells = notebook.cells.map((cell, i) => {
    const { execution: _times, ...kept } = cell.metadata ?? {};
    const plain = {
      cell_type: cell.cell_type,
      id: cell.id ?? `cell-${i + 1}`,
      metadata: kept,
      source: toLines(textOf(cell.source)),
    };
    if (cell.cell_type !== "code") return plain;
    return {
      ...plain,
      execution_count: cell.execution_count ?? null,
      outputs: (cell.outputs ?? []).map(normaliseOutput),
    };
  });
  return { cells, metadata, nbformat: 4, nbformat_minor: 5 };
}

/** @param {Output} output @returns {Output} */
function normaliseOutput(output) {
  if (output.output_type === "stream") return { ...output, text: toLines(asTerminal(textOf(output.text))) };
  const data = Object.entries(output.data ?? {}).map(([mime, value]) => {
    if (typeof value !== "string" && !isLines(value)) return [mime, value];
    const text = textOf(value);
    return [mime, mime.startsWith("image/") && mime !== "image/svg+xml" ? `${text.trimEnd()}\n` : toLines(text)];
  });
  return { ...output, metadata: output.metadata ?? {}, data: Object.fromEntries(data) };
}

/** Lines that a terminal would show: what follows the last carriage return. */
function asTerminal(text) {
  return text
    .split("\n")
    .map((line) => line.replace(/\r+$/, "").split("\r").at(-1))
    .join("\n");
}

/** @param {string | string[] | undefined} source */
function textOf(source) {
  return Array.isArray(source) ? source.join("") : (source ?? "");
}

function toLines(text) {
  return text.match(/[^\n]*\n|[^\n]+/g) ?? [];
}

function isLines(value) {
  return Array.isArray(value) && value.every((line) => typeof line === "string");
}

function sortKeys(value) {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sortKeys(value[key])]),
  );
}

/** Code cells with their number (the first code cell is 1). @param {Notebook} notebook */
function codeCells(notebook) {
  return notebook.cells
    .filter((cell) => cell.cell_type === "code")
    .map((cell, i) => ({ cell, number: i + 1, source: textOf(cell.source) }));
}

/**
 * Command line: names of files, `--flag`, `--key=value` or `--key value`; other options are refused.
 * @param {readonly string[]} known  "--write", "--timeout="
 */
function readArguments(known) {
  const files = [];
  const options = {};
  const rest = process.argv.slice(2);
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    const [, name, equals, value] = /^--([\w-]+)(=(.*))?$/s.exec(argument) ?? [];
    if (name === undefined) files.push(argument);
    else if (known.includes(`--${name}=`) && (equals || rest.length > 0)) options[name] = equals ? value : rest.shift();
    else if (known.includes(`--${name}`) && !equals) options[name] = true;
    else throw new Error(`option ${argument}: known are ${known.join(" ") || "none"}`);
  }
  return { files, options };
}

/** The notebooks of this repository, by name. */
function allNotebooks() {
  const folder = join(__dirname, "..", "notebooks");
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".ipynb")) : [];
  return names.sort().map((name) => join(folder, name));
}

module.exports = { allNotebooks, asTerminal, codeCells, readArguments, readNotebook, textOf, writeNotebook };
