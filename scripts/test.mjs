// `npm test`: the set-up, then every check in order. All run even when one fails; the last line counts them.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { readJsonIfThere } from "./setup/files.mjs";
import { inRoot } from "./setup/paths.mjs";
import { capture, runToEnd } from "./setup/run.mjs";
import { countTests } from "./setup/vitest-report.mjs";
import { setup } from "./setup.mjs";

const tool = (name) => inRoot("node_modules", name);
const reportFile = "build/test/vitest.json";

/** A check shows its output when it fails; one that takes long (`live`) shows it as it comes. */
const checks = [
  { name: "library builds (strict types)", args: ["scripts/build.mjs"] },
  { name: "strict types: tests and scripts", args: [tool("typescript/bin/tsc"), "-p", "."] },
  { name: "strict types: notebook cells", args: ["scripts/typecheck-notebooks.cjs", ...notebooks()] },
  { name: "lint and format", args: [tool("@biomejs/biome/bin/biome"), "check", "--colors=off", "--error-on-warnings"] },
  { name: "imports point downward", args: ["scripts/check-imports.mjs"] },
  { name: "declarations readable by tslab", args: ["scripts/check-dts.mjs"] },
  { name: "committed notebooks: size, kernel, outputs, paths", args: ["scripts/check-notebooks.mjs"] },
];

const passed = [];
const failed = [];

async function main() {
  const start = performance.now();
  try {
    await setup({ library: false });
    for (const check of checks) await runCheck(check, quietly);
    await runUnitTests();
    for (const notebook of notebooks()) await runCheck(quickRun(notebook), live);
  } catch (error) {
    console.error(`\n${error.message}`);
    failed.push({ name: error.message.split("\n")[0], count: 1 });
  }
  return summary((performance.now() - start) / 1000);
}

async function runCheck({ name, args, env }, how) {
  const start = performance.now();
  const { ok, text } = await how(args, env);
  record({ name, ok, text, seconds: (performance.now() - start) / 1000 });
}

function record({ name, ok, seconds, text = "", count = 1 }) {
  if (!ok) process.stdout.write(text);
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
  (ok ? passed : failed).push({ name, count });
}

async function quietly(args, env) {
  const { status, text } = capture(process.execPath, args, { env });
  return { ok: status === 0, text };
}

async function live(args, env) {
  const { status } = await runToEnd(process.execPath, args, { env });
  return { ok: status === 0 };
}

async function runUnitTests() {
  rmSync(inRoot(reportFile), { force: true });
  const start = performance.now();
  const { ok } = await live([
    tool("vitest/vitest.mjs"),
    ...["run", "--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`],
  ]);
  const seconds = (performance.now() - start) / 1000;
  const counts = countTests(readJsonIfThere(inRoot(reportFile)), ok);
  if (counts.passed > 0)
    record({ name: `unit tests: ${counts.passed} passed`, ok: true, seconds, count: counts.passed });
  if (counts.failed > 0)
    record({ name: `unit tests: ${counts.failed} failed`, ok: false, seconds, count: counts.failed });
}

/** A notebook in quick mode, in its own process: errors, time-outs and floating rejections fail it. */
const quickRun = (notebook) => ({
  name: `${notebook} in quick mode`,
  args: ["scripts/run-notebooks.cjs", "--out=build/quick", notebook],
  env: { SECATEUR_SCALE: "quick" },
});

function notebooks() {
  const files = existsSync(inRoot("notebooks")) ? readdirSync(inRoot("notebooks")) : [];
  return files
    .filter((file) => file.endsWith(".ipynb"))
    .sort()
    .map((file) => `notebooks/${file}`);
}

function summary(seconds) {
  const total = (checksOf) => checksOf.reduce((sum, { count }) => sum + count, 0);
  console.log(`\nAll checks took ${(seconds / 60).toFixed(1)} min`);
  for (const { name } of failed) console.log(`FAILED ${name}`);
  console.log(`${total(passed)} passed, ${total(failed)} failed`);
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = await main();
