import { spawnSync } from "node:child_process";
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { atLeast, missingMessage, missingPrerequisites } from "../../scripts/setup/prerequisites.mjs";
import { temporaryFolder } from "./temporary";

const complete = {
  ...{ platform: "linux-x64", system: "6.1", glibc: "2.36", avx: true, node: "22.12.0", npm: "11.0.0" },
  ...{ python: "3.9.2", pip: true, venv: true, compiler: "c++", diskFreeGb: 50 },
};
const all = new Set(["machine", "node", "npm", "python", "pip", "venv", "compiler", "disk"]);
const missing = (facts: object, needs = all, limits = {}): string[] =>
  missingPrerequisites({ ...complete, ...facts }, needs, limits).map(({ what }: { what: string }) => what);

describe("missingPrerequisites", () => {
  test("finds nothing on a complete machine", () => {
    expect(missing({})).toEqual([]);
  });

  test("names all missing ones at once", () => {
    const found = missing({
      node: "18.20.4",
      python: undefined,
      pip: false,
      venv: false,
      compiler: undefined,
      diskFreeGb: 1,
    });
    expect(found).toHaveLength(4);
    expect(found.join("\n")).toMatch(
      /Node 20\.19\.0 .*18\.20\.4\)\nPython 3\.9 .*none\).*\na C\+\+ compiler.*\n3 GB.*1\.0 GB/s,
    );
  });

  test("asks only for what the steps to do need", () => {
    expect(missing({ compiler: undefined, python: undefined }, new Set(["node", "npm"]))).toEqual([]);
  });

  test.each([
    [{ platform: "darwin-arm64" }, /Linux on x86-64 \(this is darwin-arm64\)/],
    [{ glibc: undefined }, /glibc 2\.27 .*musl/],
    [{ glibc: "2.26" }, /glibc 2\.27 .*2\.26/],
    [{ avx: false }, /AVX/],
    [{ python: "3.8.18" }, /Python 3\.9 .*3\.8\.18/],
    [{ npm: "9.9.0" }, /npm 10 .*9\.9\.0/],
    [{ pip: false, venv: false }, /pip or venv/],
  ])("refuses %o", (facts, message) => {
    expect(missing(facts).join()).toMatch(message);
  });

  test("venv stands in for pip, and pip for venv where no venv is asked for", () => {
    const needs = new Set(["python", "pip"]);
    expect(missing({ pip: false }, needs)).toEqual([]);
    expect(missing({ venv: false }, needs)).toEqual([]);
  });

  test("takes another limit from the caller", () => {
    expect(missing({}, all, { oldestPython: [3, 10] }).join()).toMatch(/Python 3\.10 or newer/);
  });
});

test("the message gives the command of Debian and of Fedora for each", () => {
  const text = missingMessage(missingPrerequisites({ ...complete, python: undefined, compiler: undefined }, all));
  expect(text).toContain("Debian, Ubuntu: sudo apt-get install -y python3 python3-pip python3-venv");
  expect(text).toContain("Fedora: sudo dnf install -y python3 python3-pip");
  expect(text).toContain("Debian, Ubuntu: sudo apt-get install -y g++");
  expect(text).toContain("Fedora: sudo dnf install -y gcc-c++");
});

test("a fresh clone on a machine with nothing but Node: all that is missing, and nothing installed", () => {
  const clone = temporaryFolder();
  for (const part of [
    "scripts",
    "package.json",
    "package-lock.json",
    "jupyter",
    "lib/tsconfig.json",
    "lib/package.json",
  ]) {
    cpSync(part, join(clone, part), { recursive: true });
  }
  const { status, stderr } = spawnSync(process.execPath, ["scripts/start.mjs"], {
    cwd: clone,
    env: { PATH: "" },
    encoding: "utf8",
  });
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /^\s*Missing on this machine; nothing was changed yet:\n.*npm 10.*Python 3\.9.*C\+\+ compiler/s,
  );
  expect(existsSync(join(clone, "node_modules"))).toBe(false);
});

test.each([
  ["20.19.0", [20, 19, 0], true],
  ["20.18.3", [20, 19, 0], false],
  ["22.0.0", [20, 19, 0], true],
  ["3.10.1", [3, 9], true],
  ["3.9", [3, 9, 1], false],
  [undefined, [1], false],
])("atLeast(%s, %o) is %s", (version, oldest, expected) => {
  expect(atLeast(version, oldest)).toBe(expected);
});
