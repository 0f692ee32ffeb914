// The direction of imports in lib/src: a folder imports only from folders below its own, and nothing goes in a circle.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { filesBelow } from "./setup/files.mjs";
import { inRoot } from "./setup/paths.mjs";

const order = [
  ...["index", "experiments", "plots", "notebook", "train", "heads", "prune", "scores", "masks", "curvature"],
  ...["checkpoints", "datasets", "nets", "layers", "tree", "backend", "rows", "files", "types"],
];

/** Packages that only one folder may know. */
const owners = { tslab: "notebook" };

/** Every breach of the rule in a source folder, as readable lines. */
export function importFaults(source) {
  const files = filesBelow(source, (path) => path.endsWith(".ts")).map((path) => relative(source, path));
  const graph = new Map(files.map((file) => [file, importsOf(source, file)]));
  return [
    ...files.flatMap((file) => directionFaults(file, graph.get(file))),
    ...files.flatMap((file) => engineFaults(source, file)),
    ...circles(graph),
  ];
}

/** [{ name, target }]: `target` is the file inside the source folder, undefined for a package. */
function importsOf(source, file) {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(source, file), "utf8"), true, true);
  return importedFiles.map(({ fileName: name }) => ({
    name,
    target: name.startsWith(".") ? resolveIn(source, file, name) : undefined,
  }));
}

function resolveIn(source, file, name) {
  const base = join(dirname(file), name);
  return [`${base}.ts`, join(base, "index.ts")].find((candidate) => existsSync(join(source, candidate))) ?? base;
}

const folderOf = (file) => file.split("/")[0].replace(/\.ts$/, "");

function directionFaults(file, imports) {
  const own = folderOf(file);
  if (!order.includes(own)) return [`lib/src/${file}: '${own}' has no place in the order of scripts/check-imports.mjs`];
  return imports.flatMap(({ name, target }) => {
    if (target === undefined) {
      const owner = owners[name.split("/")[0]];
      return owner && owner !== own ? [`lib/src/${file} imports '${name}', which only ${owner}/ may`] : [];
    }
    const other = folderOf(target);
    if (target.startsWith("..") || !order.includes(other))
      return [`lib/src/${file} imports '${name}' from outside the library's folders`];
    const upward = other !== own && order.indexOf(other) < order.indexOf(own);
    return upward ? [`lib/src/${file} imports '${name}': ${other}/ is above ${own}/`] : [];
  });
}

/** tf.engine(), tf.backend() and the binding are the business of backend/ alone. */
function engineFaults(source, file) {
  if (folderOf(file) === "backend") return [];
  const tree = ts.createSourceFile(file, readFileSync(join(source, file), "utf8"), ts.ScriptTarget.ES2022, true);
  const faults = [];
  const visit = (node) => {
    const what = engineAccess(node);
    const line = tree.getLineAndCharacterOfPosition(node.getStart()).line + 1;
    if (what) faults.push(`lib/src/${file}:${line} uses ${what}, which only backend/ may`);
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return faults;
}

function engineAccess(node) {
  if (ts.isPropertyAccessExpression(node) && node.name.text === "binding") return ".binding";
  if (!ts.isCallExpression(node) || node.arguments.length > 0) return undefined;
  const called = node.expression;
  const name =
    ts.isPropertyAccessExpression(called) && ts.isIdentifier(called.expression)
      ? `${called.expression.text}.${called.name.text}`
      : called.getText();
  return /^(\w+\.)?(engine|backend)$/.test(name) ? `${name}()` : undefined;
}

/** One line for each circle, named by its files in order. */
function circles(graph) {
  const found = new Set();
  const done = new Set();
  const walk = (file, path) => {
    const at = path.indexOf(file);
    if (at >= 0) {
      found.add([...path.slice(at), file].map((name) => `lib/src/${name}`).join(" -> "));
    } else if (!done.has(file)) {
      for (const { target } of graph.get(file) ?? []) if (target) walk(target, [...path, file]);
      done.add(file);
    }
  };
  for (const file of graph.keys()) walk(file, []);
  return [...found].map((circle) => `circle: ${circle}`);
}

if (process.argv[1] === inRoot("scripts/check-imports.mjs")) {
  const faults = importFaults(inRoot("lib/src"));
  for (const fault of faults) console.error(fault);
  console.log(faults.length === 0 ? "Imports in lib/src point downward only" : `${faults.length} fault(s)`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
