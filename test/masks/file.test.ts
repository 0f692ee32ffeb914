import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { checkpoints, type Mask, masks, type Net } from "secateur";
import { afterAll, describe, expect, test } from "vitest";
import { net } from "./tiny";

const { loadMask, maskHash, saveMask } = masks;
const folder = mkdtempSync(join(tmpdir(), "masks-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "mask.safetensors");

const bits = (n: number) =>
  fc.array(fc.nat(1), { minLength: n, maxLength: n }).map((values) => Uint8Array.from(values));
const anyMask: fc.Arbitrary<Mask> = fc.record({
  "conv1.weight": bits(72),
  "conv2.weight": bits(12),
  "fc.weight": bits(15),
});
const example: Mask = {
  ...masks.fullMask(net),
  "fc.weight": Uint8Array.of(1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1),
};

/** The file with a change of its tensors or metadata, written again. */
function forge(
  change: (tensors: Map<string, checkpoints.StoredTensor>, metadata: Record<string, string>) => void,
): void {
  const { tensors, metadata } = checkpoints.readSafetensors(file);
  const [changed, meta] = [new Map(tensors), Object.fromEntries(metadata)];
  change(changed, meta);
  checkpoints.writeSafetensors(file, changed, meta);
}

describe.each([false, true])("packed: %s", (packed) => {
  const suffix = packed ? "_mask_bits" : "_mask";

  test("any mask comes back, with its metadata", () => {
    fc.assert(
      fc.property(anyMask, (mask) => {
        saveMask(file, net, mask, { packed, metadata: { criterion: "magnitude" } });
        const loaded = loadMask(file, net);
        expect(loaded.mask).toEqual(mask);
        expect(loaded.metadata).toMatchObject({
          criterion: "magnitude",
          net: "tiny",
          total: "99",
          sha256: maskHash(net, mask),
        });
      }),
      { numRuns: 50 },
    );
  });

  test.each<[string, Parameters<typeof forge>[0], RegExp]>([
    [
      "a layer missing",
      (tensors) => tensors.delete(`fc.weight${suffix}`),
      /only in the mask of tiny: \[fc\.weight_mask/,
    ],
    [
      "a stranger",
      (tensors) => tensors.set(`x${suffix}`, { dtype: "U8", shape: [1], data: Uint8Array.of(0) }),
      /only in .*: \[x_mask/,
    ],
    [
      "another shape",
      (tensors) =>
        tensors.set(`fc.weight${suffix}`, { dtype: packed ? "U8" : "BOOL", shape: [3, 5], data: new Uint8Array(15) }),
      /must be (U8 \[2\]|BOOL \[5,3\]), got (U8|BOOL) \[3,5\]/,
    ],
    [
      "one bit turned",
      (tensors) => {
        tensors.get(`fc.weight${suffix}`)!.data[0] = packed ? 0x7f : 0;
      },
      /of the mask is .*metadata say/,
    ],
    [
      "one kept weight moved (the count stays)",
      (tensors) => {
        (tensors.get(`fc.weight${suffix}`)!.data as Uint8Array).set(packed ? [0b01001001] : [0, 1]);
      },
      /sha256 of the mask is [0-9a-f]{64}, the file's metadata say [0-9a-f]{64}/,
    ],
    [
      "another count said",
      (_, metadata) => {
        metadata.kept = "1";
      },
      /kept of the mask is \d+, the file's metadata say 1/,
    ],
    [
      "no hash",
      (_, metadata) => {
        delete metadata.sha256;
      },
      /metadata say undefined/,
    ],
    [
      "another net",
      (_, metadata) => {
        metadata.net = "other";
      },
      /net of the mask is tiny, the file's metadata say other/,
    ],
  ])("refuses %s, naming the file", (_, change, rule) => {
    saveMask(file, net, example, { packed });
    forge(change);
    expect(() => loadMask(file, net)).toThrow(rule);
    expect(() => loadMask(file, net)).toThrow(file);
  });

  test("refuses a truncated file", () => {
    saveMask(file, net, example, { packed });
    writeFileSync(file, readFileSync(file).subarray(0, -1));
    expect(() => loadMask(file, net)).toThrow(/truncated/);
  });
});

test("BOOL tensors are named and laid out as torch.nn.utils.prune has them", () => {
  saveMask(file, net, example);
  const { tensors } = checkpoints.readSafetensors(file);
  expect(tensors.get("conv1.weight_mask")).toMatchObject({ dtype: "BOOL", shape: [4, 2, 3, 3] });
  // linear [3, 5] in memory -> [5, 3]: rows 1 0 0 1 1 | 0 1 1 0 1 | 0 0 0 0 1 become columns
  expect([...tensors.get("fc.weight_mask")!.data]).toEqual([1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1]);
});

test("packed bits: the same order, eight a byte, the first highest", () => {
  saveMask(file, net, example, { packed: true });
  const { tensors } = checkpoints.readSafetensors(file);
  expect([...tensors.get("fc.weight_mask_bits")!.data]).toEqual([0b10001001, 0b01001110]);
});

test("a bit that only fills the last byte must be 0", () => {
  saveMask(file, net, example, { packed: true });
  forge((tensors) => {
    tensors.get("fc.weight_mask_bits")!.data[1] = 0b01001111;
  });
  expect(() => loadMask(file, net)).toThrow(/"fc\.weight_mask_bits": the bits that fill the last byte must be 0/);
});

test("packed, a mask of 100,000 weights takes 12.5 kB and a header", () => {
  const wide: Net = { ...net, params: { w: { shape: [250, 400], role: "linearWeight" } }, prunable: ["w"] };
  saveMask(file, wide, masks.fullMask(wide), { packed: true });
  expect(statSync(file).size).toBeGreaterThan(12_500);
  expect(statSync(file).size).toBeLessThan(13_000);
});

test("the hash tells masks and shapes apart, and does not depend on the order of keys", () => {
  const { "conv1.weight": first, ...rest } = example;
  expect(maskHash(net, { ...rest, "conv1.weight": first! })).toBe(maskHash(net, example));
  expect(maskHash(net, masks.fullMask(net))).not.toBe(maskHash(net, example));
  const turned: Net = { ...net, params: { ...net.params, "fc.weight": { shape: [5, 3], role: "linearWeight" } } };
  expect(maskHash(turned, masks.fullMask(net))).not.toBe(maskHash(net, masks.fullMask(net)));
});

test("saving refuses a mask of another net and metadata that would lie", () => {
  expect(() => saveMask(file, net, { a: Uint8Array.of(1) })).toThrow(/only in mask: \[a\]/);
  expect(() => saveMask(file, net, example, { metadata: { kept: "3" } })).toThrow(/metadata cannot set "kept"/);
});
