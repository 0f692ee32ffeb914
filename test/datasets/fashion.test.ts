import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { datasets } from "secateur";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const { loadIdx } = datasets;

describe("the shipped Fashion-MNIST", () => {
  test("400 images a class in three splits, dark background, classes that differ", () => {
    const fashion = datasets.loadFashion();
    for (const split of ["train", "validation", "test"] as const) {
      const levels = fashion[split];
      const perClass = datasets.FASHION_COUNTS[split];
      expect(levels.length).toBe(10 * perClass * 784);
      expect(Math.max(...levels.subarray(0, 78_400))).toBe(15);
      const inks = datasets.FASHION_CLASSES.map((_, c) => {
        const own = levels.subarray(c * perClass * 784, (c + 1) * perClass * 784);
        return own.reduce((sum, v) => sum + v, 0) / own.length / 15;
      });
      // pullovers and coats fill the picture, sandals least of all
      expect(Math.min(inks[2] as number, inks[4] as number)).toBeGreaterThan(2 * (inks[5] as number));
      expect(inks.indexOf(Math.min(...inks))).toBe(5);
    }
  });
});

describe("loadIdx", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "secateur-idx-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const file = (name: string, bytes: Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  const idx = (magic: number, sizes: readonly number[], values: ArrayLike<number>): Buffer => {
    const header = Buffer.alloc(4 + 4 * sizes.length);
    header.writeUInt32BE(magic, 0);
    sizes.forEach((size, i) => {
      header.writeUInt32BE(size, 4 + 4 * i);
    });
    return Buffer.concat([header, Uint8Array.from(values)]);
  };
  const pixels = Array.from({ length: 2 * 3 * 4 }, (_, k) => 10 * k);
  const images = (): string => file("images", idx(0x0803, [2, 3, 4], pixels));
  const labels = (): string => file("labels", idx(0x0801, [2], [4, 1]));

  test("reads images and labels, packed or not", () => {
    const plain = loadIdx(images(), labels());
    expect(plain.shape).toEqual([2, 3, 4, 1]);
    expect([...plain.pixels]).toEqual(pixels);
    expect([...plain.labels]).toEqual([4, 1]);
    expect(plain.classes).toBe(5);
    expect(plain.normalise).toEqual({ levels: 255, mean: [0.5], std: [0.28] });
    const packed = file("images.gz", gzipSync(idx(0x0803, [2, 3, 4], pixels)));
    const named = loadIdx(packed, labels(), { name: "mine", classes: 10 });
    expect([named.name, named.classes, named.hash]).toEqual(["mine", 10, plain.hash]);
  });

  test("refuses wrong magic numbers, sizes, lengths, counts and labels, naming the file", () => {
    expect(() => loadIdx(labels(), labels())).toThrow(/labels: an IDX header has 16 bytes, the file 10/);
    expect(() => loadIdx(file("m", idx(0x0d03, [2, 3, 4], pixels)), labels())).toThrow(
      /m: magic number must be 2051 \(bytes in 3 dimensions\), got 3331/,
    );
    expect(() => loadIdx(images(), file("m", idx(0x0803, [2, 1, 1], [1, 2])))).toThrow(/m: magic number must be 2049/);
    expect(() => loadIdx(file("s", Buffer.from([0, 0, 8, 3, 0])), labels())).toThrow(/s: an IDX header has 16 bytes/);
    expect(() => loadIdx(file("t", idx(0x0803, [2, 3, 4], pixels.slice(1))), labels())).toThrow(
      /t: sizes \[2,3,4\] need 40 bytes, the file has 39/,
    );
    expect(() => loadIdx(file("l", idx(0x0803, [2, 3, 4], [...pixels, 0])), labels())).toThrow(/the file has 41/);
    expect(() => loadIdx(file("h", idx(0x0803, [4294967295, 65535, 65535], [])), labels())).toThrow(/h: sizes/);
    expect(() => loadIdx(file("z", idx(0x0803, [0, 3, 4], [])), labels())).toThrow(/z: sizes must be positive/);
    expect(() => loadIdx(images(), file("c", idx(0x0801, [3], [0, 1, 2])))).toThrow(/c: 3 labels for the 2 images/);
    expect(() => loadIdx(images(), labels(), { classes: 4 })).toThrow(
      /labels\[0\] must be an integer from 0 to 3, got 4/,
    );
    const packed = gzipSync(idx(0x0803, [2, 3, 4], pixels));
    expect(() => loadIdx(file("g.gz", packed.subarray(0, 30)), labels())).toThrow(/g\.gz: gzip cannot be unpacked/);
    expect(() => loadIdx(join(folder, "none"), labels())).toThrow(/none/);
  });
});
