// Committed notebooks: each below 1 MB, for the kernel tslab, with outputs, without a path or a name of the machine
// that ran it.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { basename } from "node:path";
import { inRoot, root } from "./setup/paths.mjs";

const largest = 1_000_000;

/** Every fault of one notebook file, as readable lines. */
export function notebookFaults(path) {
  const name = basename(path);
  const bytes = statSync(path).size;
  const size = bytes >= largest ? [`${name}: must be below ${largest} bytes, has ${bytes}`] : [];
  let notebook;
  try {
    notebook = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    return [...size, `${name}: not JSON (${error.message})`];
  }
  if (!Array.isArray(notebook?.cells)) return [...size, `${name}: has no cells`];
  return [...size, ...kernelFaults(name, notebook), ...outputFaults(name, notebook.cells)];
}

function kernelFaults(name, { metadata }) {
  const kernel = metadata?.kernelspec?.name;
  return kernel === "tslab" ? [] : [`${name}: kernelspec name must be tslab, got ${kernel}`];
}

function outputFaults(name, cells) {
  const code = cells.filter(({ cell_type }) => cell_type === "code");
  const idle = code.flatMap((cell, i) => (cell.execution_count === null ? [i + 1] : []));
  const unexecuted = idle.length > 0 ? [`${name}: not executed: code cell ${idle.join(", ")}`] : [];
  const empty = code.some(({ outputs }) => outputs?.length > 0) ? [] : [`${name}: has no outputs`];
  const errors = code.flatMap((cell, i) =>
    (cell.outputs ?? []).flatMap((output) => faultsOfOutput(`${name}: code cell ${i + 1}`, output)),
  );
  return [...empty, ...unexecuted, ...errors];
}

function faultsOfOutput(place, output) {
  const error = output.output_type === "error" ? [`${place}: ends with the error ${output.ename}`] : [];
  const traces = textsOf(output).flatMap((text) => machineTraces(text).map((trace) => `${place}: shows '${trace}'`));
  return [...error, ...traces];
}

/** All strings of an output except pictures and packed numbers, which are no text. */
function textsOf(value, key = "") {
  if (typeof value === "string") return key.startsWith("image/") || key === "bdata" ? [] : [value];
  if (Array.isArray(value)) {
    const lines = value.length > 0 && value.every((line) => typeof line === "string");
    return lines ? textsOf(value.join(""), key) : value.flatMap((item) => textsOf(item, key));
  }
  return value === null || typeof value !== "object"
    ? []
    : Object.entries(value).flatMap(([inner, item]) => textsOf(item, inner));
}

const absolutePath =
  /(?<![\w.~/:-])\/(?:home|Users|root|tmp|var|opt|mnt|usr|srv|work|workspace|data|private|scratch)\/[\w.-]+|\b[A-Z]:\\[\w.-]+|file:\/\/\S+/g;
const address = /\b(?:localhost|127\.0\.0\.1|[\w-]+\.(?:local|internal|lan))(?::\d+)?\b/g;

/** Absolute paths and names of a machine in a text. */
export function machineTraces(text, own = ownNames()) {
  const named = own.filter((name) => new RegExp(`(?<![\\w-])${escapeRegExp(name)}(?![\\w-])`).test(text));
  return [...new Set([...(text.match(absolutePath) ?? []), ...(text.match(address) ?? []), ...named])];
}

const ownNames = () => [root, homedir(), hostname()].filter((name) => name.length > 4);
const escapeRegExp = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

if (process.argv[1] === inRoot("scripts/check-notebooks.mjs")) {
  const files = readdirSync(inRoot("notebooks")).filter((name) => name.endsWith(".ipynb"));
  const faults = files.flatMap((name) => notebookFaults(inRoot("notebooks", name)));
  if (files.length === 0) faults.push("notebooks/ has no notebook");
  for (const fault of faults) console.error(fault);
  console.log(`${files.length} notebooks, ${faults.length} fault(s)`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
