import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { writeWhole } from "../../scripts/setup/files.mjs";
import { kernelspecProblem } from "../../scripts/setup/kernelspec.mjs";
import { withLock } from "../../scripts/setup/lock.mjs";
import { lockDifference } from "../../scripts/setup/packages.mjs";
import { needsOf, runSteps } from "../../scripts/setup/steps.mjs";
import { tensorflowChoice } from "../../scripts/setup/tensorflow.mjs";
import { countTests } from "../../scripts/setup/vitest-report.mjs";
import { temporaryFolder } from "./temporary";

describe("runSteps", () => {
  const ran: string[] = [];
  const step = (title: string, done: string | undefined, needs: string[] = []) => ({
    ...{ title, why: `to test ${title}`, needs },
    done: () => done,
    run: () => {
      ran.push(title);
      if (title === "bad") throw new Error("out of order");
    },
  });

  test("skips what is done, and says why it does the rest", async () => {
    ran.length = 0;
    const said: string[] = [];
    await runSteps([step("first", "already there"), step("second", undefined)], (line: string) => said.push(line));
    expect(ran).toEqual(["second"]);
    expect(said.slice(0, 2)).toEqual(["[1/2] first: already there", "[2/2] second: to test second"]);
  });

  test("stops at the step that fails", async () => {
    ran.length = 0;
    await expect(runSteps([step("bad", undefined), step("next", undefined)], () => {})).rejects.toThrow("out of order");
    expect(ran).toEqual(["bad"]);
  });

  test("needs are those of the steps to do", async () => {
    const needs = await needsOf([step("a", "done", ["python"]), step("b", undefined, ["compiler", "disk"])]);
    expect([...needs]).toEqual(["compiler", "disk"]);
  });
});

describe("lockDifference", () => {
  const lock = {
    "": { version: "0.1.0" },
    "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
    "node_modules/for-another-system": { version: "1.0.0", optional: true },
    "node_modules/secateur": { link: true },
  };
  const installed = { "node_modules/a": lock["node_modules/a"], "node_modules/secateur": { link: true } };
  const difference = (found: object | undefined): string | undefined => {
    const files: Record<string, string> = { "lock.json": JSON.stringify({ packages: lock }) };
    if (found) files["installed.json"] = JSON.stringify({ packages: found });
    const folder = temporaryFolder(files);
    return lockDifference(join(folder, "lock.json"), join(folder, "installed.json"));
  };

  test("no difference when only another system's packages are absent", () => {
    expect(difference(installed)).toBeUndefined();
  });

  test.each([
    ["an unfinished installation", undefined, "no finished installation"],
    ["an absent package", { "node_modules/secateur": { link: true } }, "node_modules/a differs"],
    [
      "another version",
      { ...installed, "node_modules/a": { version: "1.0.1", integrity: "sha512-a" } },
      "node_modules/a differs",
    ],
    [
      "other bytes",
      { ...installed, "node_modules/a": { version: "1.0.0", integrity: "sha512-b" } },
      "node_modules/a differs",
    ],
    ["a package too many", { ...installed, "node_modules/b": { version: "2.0.0" } }, "packages beyond the lock file"],
  ])("finds %s", (_, found, expected) => {
    expect(difference(found)).toBe(expected);
  });
});

describe("tensorflowChoice", () => {
  const choice = (env: Readonly<Record<string, string>>, remembered?: object, gpu = false) =>
    tensorflowChoice(env, remembered, () => gpu);
  const earlier = { variant: "gpu", folder: "build/tensorflow/gpu-2.21.0/tensorflow" };

  test.each([
    [{}, undefined, false, "cpu"],
    [{}, undefined, true, "gpu"],
    [{}, earlier, false, "gpu"],
    [{ SECATEUR_TENSORFLOW: "cpu" }, earlier, true, "cpu"],
    [{ SECATEUR_TENSORFLOW: "auto" }, earlier, false, "cpu"],
    [{ SECATEUR_TENSORFLOW: "gpu", SECATEUR_TENSORFLOW_DIR: "elsewhere" }, undefined, true, "existing"],
  ])("environment %o, remembered %o, GPU %s: %s", (env, remembered, gpu, expected) => {
    expect(choice(env, remembered, gpu).variant).toBe(expected);
  });

  test("refuses another word", () => {
    expect(() => choice({ SECATEUR_TENSORFLOW: "cuda" })).toThrow(
      "SECATEUR_TENSORFLOW must be cpu, gpu or auto, got 'cuda'",
    );
  });
});

describe("withLock", () => {
  const lockIn = (folder: string) => ({ file: join(folder, "lock"), say: () => {} });

  test("is free again after work that fails", async () => {
    const options = lockIn(temporaryFolder());
    await expect(withLock(() => Promise.reject(new Error("broken")), options)).rejects.toThrow("broken");
    expect(existsSync(options.file)).toBe(false);
  });

  test("is taken over from a process that is gone", async () => {
    const options = lockIn(temporaryFolder());
    writeFileSync(options.file, "999999999 1");
    expect(await withLock(async () => "worked", options)).toBe("worked");
  });

  test("waits for the child that a killed set-up left at work", async () => {
    const options = lockIn(temporaryFolder());
    const child = spawn("sleep", ["2"]);
    const stat = (): string[] => readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
    writeFileSync(options.file, `999999999 1\n${child.pid} ${stat()[19]}`);
    // Ended, whether this process has already taken note of it ("Z") or not.
    const ended = async (): Promise<boolean> => !existsSync(`/proc/${child.pid}`) || stat()[0] === "Z";
    expect(await ended()).toBe(false);
    expect(await withLock(ended, options)).toBe(true);
  });
});

test("writeWhole leaves no temporary file behind", () => {
  const folder = temporaryFolder();
  writeWhole(join(folder, "inner/file.json"), "{}");
  expect(readFileSync(join(folder, "inner/file.json"), "utf8")).toBe("{}");
  expect(existsSync(join(folder, `inner/file.json.${process.pid}.part`))).toBe(false);
});

test("the committed kernel description names the tslab of this folder, without an absolute path", () => {
  expect(kernelspecProblem()).toBeUndefined();
  expect(readFileSync("jupyter/kernels/tslab/kernel.json", "utf8")).not.toMatch(/"\//);
});

describe("countTests", () => {
  const report = {
    numPassedTests: 5,
    numFailedTests: 0,
    numPendingTests: 0,
    numTodoTests: 0,
    testResults: [] as object[],
  };
  const unloaded = { status: "failed", assertionResults: [] };

  test.each([
    ["a good run", report, true, { passed: 5, failed: 0 }],
    ["a failed test", { ...report, numFailedTests: 2 }, false, { passed: 5, failed: 2 }],
    ["a skipped test", { ...report, numPendingTests: 1 }, true, { passed: 5, failed: 1 }],
    ["a file that does not load", { ...report, testResults: [unloaded] }, false, { passed: 5, failed: 1 }],
    ["an error outside the tests", report, false, { passed: 5, failed: 1 }],
    ["no test at all", { ...report, numPassedTests: 0 }, true, { passed: 0, failed: 1 }],
    ["no report", undefined, true, { passed: 0, failed: 1 }],
  ])("%s", (_, given, ok, expected) => {
    expect(countTests(given, ok)).toEqual(expected);
  });
});
