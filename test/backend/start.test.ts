import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";

/** A fresh process that loads the library; its output and its errors apart. */
function loaded(kind: string, code: string): { status: number | null; stdout: string; stderr: string } {
  const script = `const { backend } = require("secateur"); ${code}`;
  const env = { ...process.env, SECATEUR_BACKEND: kind };
  const { status, stdout, stderr } = spawnSync(process.execPath, ["-e", script], { env, encoding: "utf8" });
  return { status, stdout, stderr };
}

const tell = "console.log(backend.kind, backend.tf.add(1, 2).dataSync()[0])";

describe("SECATEUR_BACKEND", () => {
  test.each(["tensorflow", "float64"])("%s starts without a word of its own", (kind) => {
    const { status, stdout } = loaded(kind, tell);
    expect([status, stdout]).toEqual([0, `${kind} 3\n`]);
  });

  test("float64 prints no advertisement", () => {
    expect(loaded("float64", tell).stderr).toBe("");
  });

  test("cpu works, but says loudly that it is slow and how to cure it", () => {
    const { status, stdout, stderr } = loaded("cpu", tell);
    expect([status, stdout]).toEqual([0, "cpu 3\n"]);
    expect(stderr).toMatch(/about 100 times slower.*npm run setup/);
    expect(stderr).not.toMatch(/Hi, looks like/);
  });

  test("nothing asked for: TensorFlow, where its addon is built", () => {
    expect(loaded("", tell).stdout).toBe("tensorflow 3\n");
  });

  test("an unknown one is refused by name", () => {
    const { status, stderr } = loaded("gpu", tell);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/SECATEUR_BACKEND must be tensorflow, cpu or float64, got 'gpu'/);
  });
});
