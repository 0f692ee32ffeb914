import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { sha256 } from "../../scripts/setup/files.mjs";
import { python } from "../../scripts/setup/prerequisites.mjs";
import { readPins, verifyWheel } from "../../scripts/setup/wheels.mjs";
import { temporaryFolder } from "./temporary";

const wheel = "some_library-1.2.0-cp311-cp311-manylinux_2_27_x86_64.whl";
const pins = [{ name: "some-library", version: "1.2.0", sha256: sha256("the right bytes") }];

describe("verifyWheel", () => {
  test("gives the pin of a file with the pinned bytes", async () => {
    const folder = temporaryFolder({ [wheel]: "the right bytes" });
    expect(await verifyWheel(join(folder, wheel), pins)).toEqual(pins[0]);
  });

  test.each(["the right byte", "the right bytes!", ""])(
    "refuses other bytes, naming file and rule: '%s'",
    async (text) => {
      const folder = temporaryFolder({ [wheel]: text });
      const message = new RegExp(
        `^${wheel}: sha256 must be ${pins[0]!.sha256}, got ${sha256(text)}; the file was refused$`,
      );
      await expect(verifyWheel(join(folder, wheel), pins)).rejects.toThrow(message);
    },
  );

  test("refuses a version that no pin names, even with pinned bytes", async () => {
    const other = wheel.replace("1.2.0", "1.2.1");
    const folder = temporaryFolder({ [other]: "the right bytes" });
    await expect(verifyWheel(join(folder, other), pins)).rejects.toThrow(/1\.2\.1.*no pinned package/);
  });
});

describe("readPins", () => {
  test("refuses a requirement without a hash, naming it", () => {
    const folder = temporaryFolder({ "pins.txt": "# kept\nsome-library==1.2.0\n" });
    expect(() => readPins(join(folder, "pins.txt"))).toThrow("pins.txt: 'some-library==1.2.0' is not of the form");
  });

  test.each(["cpu", "gpu"])("reads the committed pins of TensorFlow: %s", (variant) => {
    const [tensorflow, ...others] = readPins(join("scripts/setup", `tensorflow-${variant}.txt`));
    expect(tensorflow).toMatchObject({ name: variant === "cpu" ? "tensorflow-cpu" : "tensorflow", version: "2.21.0" });
    expect(others.every((pin) => /^nvidia-/.test(pin.name ?? ""))).toBe(true);
    expect(others).toHaveLength(variant === "cpu" ? 0 : 12);
  });
});

describe("unpack_wheel.py", () => {
  /** A wheel is a zip file: Python writes one with these names. */
  function zipped(names: readonly string[]): string {
    const path = join(temporaryFolder(), "made-1.0-py3-none-any.whl");
    const program =
      "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1], 'w')\nfor n in sys.argv[2:]: z.writestr(n, n)\nz.close()";
    expect(spawnSync(python, ["-c", program, path, ...names]).status).toBe(0);
    return path;
  }
  const unpack = (path: string, folder: string, ...prefixes: string[]) =>
    spawnSync(python, ["scripts/setup/unpack_wheel.py", path, folder, ...prefixes], { encoding: "utf8" });

  test("takes the wanted files only", () => {
    const folder = join(temporaryFolder(), "out");
    const { status } = unpack(
      zipped(["pkg/lib.so", "pkg/include/a.h", "pkg/other.py"]),
      folder,
      "pkg/lib.so",
      "pkg/include/",
    );
    expect(status).toBe(0);
    expect(readFileSync(join(folder, "pkg/include/a.h"), "utf8")).toBe("pkg/include/a.h");
    expect(existsSync(join(folder, "pkg/lib.so"))).toBe(true);
    expect(existsSync(join(folder, "pkg/other.py"))).toBe(false);
  });

  test("refuses a name that points out of the folder", () => {
    const folder = join(temporaryFolder(), "out");
    const { status, stderr } = unpack(zipped(["pkg/../../escaped"]), folder, "pkg/");
    expect(status).toBe(1);
    expect(stderr).toContain("made-1.0-py3-none-any.whl: pkg/../../escaped points out of the folder");
    expect(existsSync(join(folder, "../escaped"))).toBe(false);
  });

  test("names a file that the wheel lacks", () => {
    const { status, stderr } = unpack(zipped(["pkg/lib.so"]), temporaryFolder(), "pkg/lib.so", "pkg/include/");
    expect(status).toBe(1);
    expect(stderr).toContain("nothing named pkg/include/ inside");
  });

  test("refuses a truncated wheel", () => {
    const folder = temporaryFolder({
      "cut-1.0-py3-none-any.whl": readFileSync(zipped(["pkg/lib.so"]), "latin1").slice(0, 40),
    });
    expect(unpack(join(folder, "cut-1.0-py3-none-any.whl"), folder, "pkg/").status).not.toBe(0);
    expect(existsSync(join(folder, "pkg"))).toBe(false);
  });
});
