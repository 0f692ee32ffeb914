#!/usr/bin/env node
// Type-checks the code cells of notebooks as strict modules, without running them. tslab itself is not strict and lets a cell
// declare a name again; here both are errors, and so are a promise that nobody awaits and, because tslab compiles it wrongly, the
// shorthand { name } for a name of an earlier cell.
//   node scripts/typecheck-notebooks.cjs [NOTEBOOK...]     default: all; writes FOLDER_OF_NOTEBOOK/.check/NAME.ts
const { mkdirSync, rmSync, writeFileSync } = require("node:fs");
const { basename, dirname, join, resolve } = require("node:path");
const ts = require("typescript");
const { allNotebooks, codeCells, readArguments, readNotebook } = require("./notebook-file.cjs");

const compilerOptions = {
  target: "es2022",
  lib: ["es2022"],
  module: "esnext",
  moduleResolution: "bundler",
  moduleDetection: "force",
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: ["node"],
};

/** A file of the cells' code, and for each of its lines the cell and the line there. */
function writeModule(notebook) {
  const folder = join(dirname(resolve(notebook)), ".check");
  mkdirSync(folder, { recursive: true });
  const places = [];
  const lines = [];
  for (const { number, source } of codeCells(readNotebook(notebook))) {
    lines.push(`// ---- cell ${number}`);
    places.push({ number, line: 0 });
    for (const [i, line] of source.split("\n").entries()) {
      lines.push(line);
      places.push({ number, line: i + 1 });
    }
    lines.push(";");
    places.push({ number, line: 0 });
  }
  const file = join(folder, `${basename(notebook, ".ipynb")}.ts`);
  writeFileSync(file, `${lines.join("\n")}\nexport {};\n`);
  writeFileSync(join(folder, "tsconfig.json"), `${JSON.stringify({ compilerOptions, include: ["*.ts"] }, null, 2)}\n`);
  return { notebook, file, places };
}

function check(modules) {
  const converted = ts.convertCompilerOptionsFromJson(compilerOptions, dirname(modules[0].file));
  const program = ts.createProgram(
    modules.map(({ file }) => file),
    converted.options,
  );
  const checker = program.getTypeChecker();
  return modules.flatMap(({ notebook, file, places }) => {
    const source = program.getSourceFile(file);
    const at = (position, message) => {
      const { line, character } = source.getLineAndCharacterOfPosition(position);
      const place = places[line] ?? { number: "?", line: "?" };
      return `${notebook} cell ${place.number} line ${place.line}:${character + 1} - ${message}`;
    };
    const types = ts
      .getPreEmitDiagnostics(program, source)
      .map((problem) => at(problem.start ?? 0, ts.flattenDiagnosticMessageText(problem.messageText, " ")));
    const cellOf = (node) => places[source.getLineAndCharacterOfPosition(node.getStart()).line]?.number;
    return [
      ...types,
      ...floating(source, checker).map((node) => at(node.getStart(), "this promise is not awaited")),
      ...shorthands(source, checker, cellOf).map(({ name }) =>
        at(
          name.getStart(),
          `write { ${name.text}: ${name.text} }: tslab loses the shorthand of a name from an earlier cell`,
        ),
      ),
    ];
  });
}

/** Statements whose value is a promise. */
function floating(node, checker) {
  const found = [];
  const visit = (child) => {
    if (ts.isExpressionStatement(child) && checker.getTypeAtLocation(child.expression).getProperty("then"))
      found.push(child);
    ts.forEachChild(child, visit);
  };
  visit(node);
  return found;
}

/** Shorthand properties whose value is declared in another cell. */
function shorthands(node, checker, cellOf) {
  const found = [];
  const visit = (child) => {
    if (ts.isShorthandPropertyAssignment(child)) {
      const declaration = checker.getShorthandAssignmentValueSymbol(child)?.declarations?.[0];
      const here = declaration?.getSourceFile() === child.getSourceFile();
      if (here && cellOf(declaration) !== cellOf(child)) found.push(child);
    }
    ts.forEachChild(child, visit);
  };
  visit(node);
  return found;
}

try {
  const given = readArguments([]).files;
  const files = given.length > 0 ? given : allNotebooks();
  if (files.length === 0) throw new Error("notebooks/ has no notebook");
  for (const folder of new Set(files.map((file) => join(dirname(resolve(file)), ".check"))))
    rmSync(folder, { recursive: true, force: true });
  const problems = check(files.map(writeModule));
  for (const problem of problems) console.log(problem);
  console.log(
    problems.length === 0 ? `${files.length} notebook(s): no type errors` : `${problems.length} type error(s)`,
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
}
