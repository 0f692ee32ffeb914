/** Whole files: hashed, read exactly, replaced atomically. */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** SHA-256 of a file, 64 lower-case hex digits; the file is streamed, 1 MiB at a time. */
export function sha256File(path: string): string {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(1 << 20);
  const fd = openSync(path, "r");
  try {
    for (let n = readSync(fd, chunk); n > 0; n = readSync(fd, chunk)) hash.update(chunk.subarray(0, n));
  } finally {
    closeSync(fd);
  }
  return hash.digest("hex");
}

/**
 * Writes the parts one after another to a temporary name in the same folder, then renames:
 * whoever reads `path` sees the old bytes or all of the new ones. Missing folders are made.
 */
export function writeFileAtomic(path: string, ...parts: readonly (Uint8Array | string)[]): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`);
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(temporary, "wx");
  try {
    try {
      for (const part of parts) writeAll(fd, typeof part === "string" ? Buffer.from(part) : part);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, Math.min(bytes.length - at, 1 << 30));
}

/** Reads exactly `length` bytes at `position`; short files are an error that names the file. */
export function readExactly(fd: number, path: string, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const n = readSync(fd, bytes, at, Math.min(length - at, 1 << 30), position + at);
    if (n === 0) throw new Error(`${path}: ended after ${position + at} bytes, ${position + length} expected`);
    at += n;
  }
  return bytes;
}
