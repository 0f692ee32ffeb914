import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkpoints } from "secateur";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "files-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("sha256File: the FIPS 180 example, and more than one chunk", () => {
  const path = join(folder, "abc");
  writeFileSync(path, "abc");
  expect(checkpoints.sha256File(path)).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const long = Buffer.alloc(3_000_001, "x");
  writeFileSync(path, long);
  expect(checkpoints.sha256File(path)).toBe(createHash("sha256").update(long).digest("hex"));
});

test("writeFileAtomic joins its parts and replaces the old file", () => {
  const path = join(folder, "joined");
  writeFileSync(path, "old");
  checkpoints.writeFileAtomic(path, "né", Uint8Array.of(1, 2), new Uint8Array(0));
  expect([...readFileSync(path)]).toEqual([...Buffer.from("né"), 1, 2]);
});

test("writeFileAtomic leaves nothing behind when it fails", () => {
  mkdirSync(join(folder, "taken", "inside"), { recursive: true });
  expect(() => checkpoints.writeFileAtomic(join(folder, "taken"), "x")).toThrow();
  expect(() => checkpoints.writeFileAtomic(join(folder, "joined", "below a file"), "x")).toThrow(/ENOTDIR|EEXIST/);
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});
