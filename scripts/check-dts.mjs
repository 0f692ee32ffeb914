// Notebook cells read the library's declarations with tslab's own TypeScript 5.0, which turns what it cannot read into
// `any` without a word. Here it must read them without an error and still find wrong types in cells.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { relative } from "node:path";
import { filesBelow } from "./setup/files.mjs";
import { inRoot, root } from "./setup/paths.mjs";

const require = createRequire(import.meta.url);
const ts = require("@tslab/typescript-for-tslab");

/** Syntax that is younger than TypeScript 5.0, or that names types which its libraries lack. */
const unreadable = [/Array<ArrayBuffer(Like)?>/, /\bNoInfer</, /\bDisposable\b/, /\bAsyncDisposable\b/];

/** tslab's settings of cells, except that errors inside the declarations are told. */
const options = {
  ...{ target: ts.ScriptTarget.ES2022, lib: ["lib.es2022.d.ts"], module: ts.ModuleKind.ESNext },
  ...{ moduleResolution: ts.ModuleResolutionKind.NodeJs, esModuleInterop: true, noEmit: true, types: ["node"] },
};

export function unreadableLines(declarations) {
  return declarations.flatMap((path) =>
    readFileSync(path, "utf8")
      .split("\n")
      .flatMap((line, i) =>
        unreadable.some((pattern) => pattern.test(line)) ? [`${relative(root, path)}:${i + 1} ${line.trim()}`] : [],
      ),
  );
}

/** tslab's program over a cell that lies, as far as it knows, beside the notebooks. */
function programOf(cell) {
  const file = inRoot("notebooks/cell-under-test.ts");
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (path) => path === file || fileExists(path);
  host.getSourceFile = (path, target) =>
    path === file ? ts.createSourceFile(path, cell, target) : getSourceFile(path, target);
  const program = ts.createProgram([file], options, host);
  const sources = program.getSourceFiles();
  return {
    program,
    cell: program.getSourceFile(file),
    declarations: sources.filter(({ fileName }) => fileName.startsWith(inRoot("lib/dist"))),
  };
}

function diagnose(program, source) {
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
    ({ start, messageText }) => ({
      line: source.getLineAndCharacterOfPosition(start).line + 1,
      text: ts.flattenDiagnosticMessageText(messageText, " "),
    }),
  );
}

/** Faults of a cell each of whose lines after the first must be an error. */
export function unnoticed(lines) {
  const { program, cell } = programOf(['import * as secateur from "secateur";', ...lines].join("\n"));
  const noticed = new Set(diagnose(program, cell).map(({ line }) => line));
  return lines.filter((_, i) => !noticed.has(i + 2)).map((line) => `a wrong type goes unnoticed in a cell: ${line}`);
}

/** Errors inside the declarations, which tslab hides, and exported values or results that came out as `any`. */
function declarationFaults() {
  const { program, cell, declarations } = programOf('import * as secateur from "secateur";\nsecateur;');
  const errors = declarations.flatMap((source) =>
    diagnose(program, source).map(({ line, text }) => `${relative(root, source.fileName)}:${line} ${text}`),
  );
  const checker = program.getTypeChecker();
  const isAny = (type) => (type.flags & ts.TypeFlags.Any) !== 0;
  const faultsOf = (symbol, path) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    if (target.flags & ts.SymbolFlags.ValueModule)
      return checker.getExportsOfModule(target).flatMap((inner) => faultsOf(inner, `${path}${symbol.name}.`));
    if (!(target.flags & ts.SymbolFlags.Value)) return [];
    const type = checker.getTypeOfSymbolAtLocation(target, cell);
    const untyped = isAny(type) || type.getCallSignatures().some((signature) => isAny(signature.getReturnType()));
    return untyped ? [`secateur.${path}${symbol.name} is \`any\` to a cell, or returns it`] : [];
  };
  const barrel = checker.getSymbolAtLocation(cell.statements[0].moduleSpecifier);
  return [...errors, ...checker.getExportsOfModule(barrel).flatMap((symbol) => faultsOf(symbol, ""))];
}

const wrongLines = [
  'const a: string = secateur.nets.netByName("rs8x1");',
  'const b: number = secateur.nets.netByName("rs8x1").prunable[0];',
  "const c: string = secateur.checkpoints.bfloat16ToFloat32(new Uint16Array(1));",
  'secateur.masks.exponentialSchedule("nine", 0.1);',
  'const d: string = secateur.rows.toCsv([{ value: "high" }]).length;',
];

if (process.argv[1] === inRoot("scripts/check-dts.mjs")) {
  const declarations = filesBelow(inRoot("lib/dist"), (path) => path.endsWith(".d.ts"));
  const faults = [...unreadableLines(declarations), ...declarationFaults(), ...unnoticed(wrongLines)];
  if (declarations.length === 0) faults.push("lib/dist has no declarations: npm run build");
  for (const fault of faults) console.error(fault);
  console.log(
    faults.length === 0 ? `tslab reads ${declarations.length} declaration files` : `${faults.length} fault(s)`,
  );
  process.exitCode = faults.length === 0 ? 0 : 1;
}
