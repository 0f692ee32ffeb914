/**
 * Measures every second-order quantity against its oracle, in float64 and in float32, and writes docs/oracles.md.
 *   npm run oracles
 * Two processes of the library's two kinds compute the same cases; brute-force oracles are computed in float64 only.
 */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { backend, checkpoints } from "secateur";
import { type OracleCase, oracleCases, type Values } from "./oracle-cases";

const root = path.resolve(__dirname, "../..");
type Host = Readonly<Record<string, readonly number[]>>;

interface Computed {
  readonly engine: string;
  readonly cases: readonly (Omit<OracleCase, "of" | "expected"> & { readonly of?: Host; readonly expected?: Host })[];
}

function onHost(values: Values): Host {
  const list = ([key, value]: [string, Values[string]]): [string, number[]] => [
    key,
    Array.from("dataSync" in value ? value.dataSync() : value),
  ];
  return Object.fromEntries(Object.entries(values).map(list));
}

/** What a process of one kind computes. */
function computed(): Computed {
  const exact = backend.kind === "float64";
  const cases = oracleCases().map(({ of, expected, ...rest }) => ({
    ...rest,
    ...(exact && rest.float32Only ? {} : { of: onHost(of()) }),
    ...(exact ? { expected: onHost(expected()) } : {}),
  }));
  return { engine: backend.engineVersion(), cases };
}

function inProcess(kind: "float64" | "tensorflow"): Computed {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "oracles-")), "computed.json");
  try {
    const env = { ...process.env, SECATEUR_BACKEND: kind };
    const { status } = spawnSync(process.execPath, [...process.execArgv, __filename, "--compute", file], {
      ...{ env, stdio: "inherit" },
    });
    if (status !== 0) throw new Error(`oracles: the ${kind} process ended with ${status}`);
    return JSON.parse(fs.readFileSync(file, "utf8")) as Computed;
  } finally {
    fs.rmSync(path.dirname(file), { recursive: true, force: true });
  }
}

/** Largest error of an entry over the largest expected entry of the same name. */
function relativeError(got: Host | undefined, expected: Host): number {
  if (got === undefined) return Number.NaN;
  return Math.max(
    ...Object.entries(expected).map(([key, values]) => {
      const list = got[key]!;
      if (list.length !== values.length)
        throw new Error(`oracles: '${key}' has ${list.length} values, not ${values.length}`);
      const scale = Math.max(...values.map(Math.abs));
      return Math.max(...values.map((value, j) => Math.abs(list[j]! - value))) / scale;
    }),
  );
}

/** Root mean square of the errors over that of the standard errors: 1 when they are what they say. */
function overStandardError(got: Host | undefined, expected: Host): number {
  const squares = (list: readonly number[]): number => list.reduce((sum, value) => sum + value ** 2, 0);
  const { estimate, standardError } = got!;
  return Math.sqrt(squares(expected.estimate!.map((value, j) => value - estimate![j]!)) / squares(standardError!));
}

interface Line {
  readonly quantity: string;
  readonly oracles: Set<string>;
  /** worst by column and precision */
  readonly worst: Map<string, number>;
}

type Measure = typeof relativeError;

/** One line a quantity, its worst value by column. */
function linesOf(
  section: OracleCase["section"],
  double: Computed,
  single: Computed,
  measure: Measure,
  columns: "on" | "all",
): Line[] {
  const lines = new Map<string, Line>();
  double.cases.forEach((exact, i) => {
    if (exact.section !== section) return;
    const line = lines.get(exact.quantity) ?? { quantity: exact.quantity, oracles: new Set(), worst: new Map() };
    lines.set(exact.quantity, line);
    line.oracles.add(exact.oracle);
    for (const [precision, { of }] of [
      ["float64", exact],
      ["float32", single.cases[i]!],
    ] as const) {
      const column = `${columns === "on" ? exact.on : ""} ${precision}`.trim();
      line.worst.set(column, Math.max(line.worst.get(column) ?? 0, measure(of, exact.expected!)));
    }
  });
  return [...lines.values()];
}

const shown = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value) ? "-" : value === 0 ? "0" : value.toExponential(0);

function table(lines: readonly Line[], columns: readonly string[], format = shown): string {
  const head = ["quantity", "oracle", ...columns];
  const row = ({ quantity, oracles, worst }: Line): string =>
    `| ${[quantity, [...oracles].join("; ").replaceAll("|", "\\|"), ...columns.map((column) => format(worst.get(column)))].join(" | ")} |`;
  return [`| ${head.join(" | ")} |`, `|${"---|".repeat(head.length)}`, ...lines.map(row)].join("\n");
}

function document(double: Computed, single: Computed): string {
  const both = ["float64", "float32"];
  const nets = both.flatMap((precision) => ["conv-net", "vit"].map((net) => `${net} ${precision}`));
  const made = JSON.parse(fs.readFileSync(path.join(root, "test/fixtures/peers/vit.json"), "utf8")).made_with as Record<
    string,
    string
  >;
  const versions = Object.entries(made)
    .filter(([name]) => name !== "seed")
    .map(([name, version]) => `${name} ${version}`);
  return `# Oracles and errors

Every second-order quantity, what it is compared with, and how far off it is. Written by \`npm run oracles\`, which computes all of it anew; not edited by hand.

An error is the largest difference of an entry over the largest entry of the same tensor, the worst over tensors, losses (squared error, cross-entropy) and nets of the row. float64: the whole library in double precision in plain JavaScript (${double.engine}); float32: ${single.engine}. Brute-force oracles are always computed in float64. The same comparisons are tests, with tolerances of 1e-8 and less in float64 and 1e-4 in float32.

## Other people's programs

Golden files of ${versions.join(", ")} in float64 (\`test/fixtures/peers\`, with the script that made them): *conv-net*, a residual ReLU net with frozen batch norms; *vit*, timm's VisionTransformer with two blocks. The files have 13 digits. One layer's block of the Hessian is that of the Gauss-Newton matrix on the first net, not on the second.

${table(linesOf("outside", double, single, relativeError, "on"), nets)}

Large nets, float32 (test/nets/large-peers.test.ts):

${table(linesOf("large", double, single, relativeError, "all"), ["float32"])}

## Brute force

On four tiny nets: every layer kind; ReLU with skips; GELU; a Vision Transformer. Differences of four points are good to about 1e-10.

${table(linesOf("brute", double, single, relativeError, "all"), both)}

## Closed forms

${table(linesOf("closed", double, single, relativeError, "all"), both)}

## Estimates

On *vit*: root mean square of the errors over that of the standard errors told beside the estimates. 1 is right; with few draws, or one number, chance takes it from about 0.3 to 3.

${table(linesOf("estimates", double, single, overStandardError, "all"), both, (value) => value!.toFixed(2))}
`;
}

function main(): void {
  const at = process.argv.indexOf("--compute");
  if (at >= 0) {
    fs.writeFileSync(process.argv[at + 1]!, JSON.stringify(computed()));
    return;
  }
  const [double, single] = [inProcess("float64"), inProcess("tensorflow")];
  checkpoints.writeFileAtomic(path.join(root, "docs", "oracles.md"), document(double, single));
  console.log("docs/oracles.md written");
}

main();
