import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { checkpoints } from "secateur";
import { afterAll, describe, expect, test } from "vitest";

const { readSafetensors, readSafetensorsHeader, writeSafetensors } = checkpoints;
type StoredTensor = checkpoints.StoredTensor;

const fixtures = join(__dirname, "../fixtures/safetensors");
const facts = JSON.parse(readFileSync(join(fixtures, "golden.json"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "file.safetensors");

/** A file with this header (bytes, text or object) and `dataBytes` zeros. */
function forge(header: unknown, dataBytes: number, headerLength?: bigint): string {
  const json = Buffer.isBuffer(header)
    ? header
    : Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerLength ?? BigInt(json.length));
  writeFileSync(file, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return file;
}
const one = { dtype: "F32", shape: [1], data_offsets: [0, 4] };

describe("files of the reference implementation", () => {
  const golden = join(fixtures, "golden.safetensors");

  test("every dtype is read as Python wrote it", () => {
    const { tensors, metadata } = readSafetensors(golden);
    expect([...metadata]).toEqual([["format", "pt"]]);
    expect([...tensors.keys()].sort()).toEqual(Object.keys(facts.golden).sort());
    for (const [name, { shape, values }] of Object.entries<{ shape: number[]; values: (number | string)[] }>(
      facts.golden,
    )) {
      const tensor = tensors.get(name)!;
      expect(tensor.shape, name).toEqual(shape);
      expect(
        Array.from(tensor.data as ArrayLike<unknown>, (v) => (typeof v === "bigint" ? String(v) : v)),
        name,
      ).toEqual(values);
    }
    expect(tensors.get("bn1.num_batches_tracked")!.data[0]).toBe(2n ** 53n + 1n);
    expect(tensors.get("half")!.data[1], "the sign of zero").toBe(-0);
  });

  test("written again, the bytes are the same", () => {
    const { tensors, metadata } = readSafetensors(golden);
    writeSafetensors(file, new Map([...tensors].reverse()), Object.fromEntries(metadata));
    expect(readFileSync(file).equals(readFileSync(golden))).toBe(true);
  });

  test("float32 narrows to float16 and bfloat16 as NumPy and ml_dtypes do: ties, subnormals, overflow", () => {
    const { tensors } = readSafetensors(join(fixtures, "narrowed.safetensors"));
    const raw = readFileSync(join(fixtures, "narrowed.safetensors"));
    const { tensors: infos, dataStart } = readSafetensorsHeader(join(fixtures, "narrowed.safetensors"));
    const bits = (name: string): Uint16Array => {
      const [begin, end] = infos.get(name)!.offsets;
      return new Uint16Array(Uint8Array.from(raw.subarray(dataStart + begin, dataStart + end)).buffer);
    };
    const values = tensors.get("float32")!.data as Float32Array;
    expect(values.length).toBeGreaterThan(2000);
    expect(checkpoints.float32ToFloat16(values)).toEqual(bits("float16"));
    expect(checkpoints.float32ToBfloat16(values)).toEqual(bits("bfloat16"));
  });

  test("all 65536 float16 and bfloat16 patterns widen as NumPy and ml_dtypes widen them", () => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const hash = (wide: Float32Array): string =>
      createHash("sha256")
        .update(wide.filter((v) => !Number.isNaN(v)))
        .digest("hex");
    expect(hash(checkpoints.float16ToFloat32(patterns))).toBe(facts.widened.float16);
    expect(hash(checkpoints.bfloat16ToFloat32(patterns))).toBe(facts.widened.bfloat16);
  });
});

describe("float16 and bfloat16", () => {
  test("narrowing undoes widening for every pattern that is a number", () => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const finite = (wide: Float32Array) => patterns.filter((_, i) => !Number.isNaN(wide[i]));
    const half = checkpoints.float16ToFloat32(patterns);
    expect(checkpoints.float32ToFloat16(half.filter((v) => !Number.isNaN(v)))).toEqual(finite(half));
    const brain = checkpoints.bfloat16ToFloat32(patterns);
    expect(checkpoints.float32ToBfloat16(brain.filter((v) => !Number.isNaN(v)))).toEqual(finite(brain));
  });

  test("not a number stays not a number", () => {
    const nan = Float32Array.of(Number.NaN);
    expect(checkpoints.float16ToFloat32(checkpoints.float32ToFloat16(nan))[0]).toBeNaN();
    expect(checkpoints.bfloat16ToFloat32(checkpoints.float32ToBfloat16(nan))[0]).toBeNaN();
  });
});

const shapes = fc.array(fc.nat(4), { maxLength: 4 });
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const filled = <T>(value: fc.Arbitrary<T>) =>
  shapes.chain((shape) =>
    fc.array(value, { minLength: sizeOf(shape), maxLength: sizeOf(shape) }).map((values) => ({ shape, values })),
  );
const half = fc.integer({ min: 0, max: 65535 }).filter((bits) => (bits & 0x7fff) <= 0x7c00);
const storedTensor: fc.Arbitrary<StoredTensor> = fc.oneof(
  filled(fc.double()).map(({ shape, values }) => ({ dtype: "F64" as const, shape, data: Float64Array.from(values) })),
  filled(fc.float()).map(({ shape, values }) => ({ dtype: "F32" as const, shape, data: Float32Array.from(values) })),
  filled(half).map(({ shape, values }) => ({
    dtype: "F16" as const,
    shape,
    data: checkpoints.float16ToFloat32(Uint16Array.from(values)),
  })),
  filled(half).map(({ shape, values }) => ({
    dtype: "BF16" as const,
    shape,
    data: checkpoints.bfloat16ToFloat32(Uint16Array.from(values)),
  })),
  filled(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map(({ shape, values }) => ({
    dtype: "I64" as const,
    shape,
    data: BigInt64Array.from(values),
  })),
  filled(fc.nat(255)).map(({ shape, values }) => ({ dtype: "U8" as const, shape, data: Uint8Array.from(values) })),
  filled(fc.nat(1)).map(({ shape, values }) => ({ dtype: "BOOL" as const, shape, data: Uint8Array.from(values) })),
);
const key = fc.string({ unit: "grapheme" }).filter((name) => !["__proto__", "__metadata__"].includes(name));
const contents = fc.tuple(
  fc.dictionary(key, storedTensor, { noNullPrototype: true }),
  fc.dictionary(key, fc.string(), { noNullPrototype: true }),
);

describe("any contents", () => {
  test("come back as they were written", () => {
    fc.assert(
      fc.property(contents, ([tensors, metadata]) => {
        writeSafetensors(file, new Map(Object.entries(tensors)), metadata);
        const back = readSafetensors(file);
        expect(Object.fromEntries(back.metadata)).toEqual(metadata);
        expect([...back.tensors.keys()].sort()).toEqual(Object.keys(tensors).sort());
        for (const [name, tensor] of Object.entries(tensors)) expect(back.tensors.get(name)).toEqual(tensor);
      }),
      { numRuns: 200 },
    );
  });

  test("cut anywhere or with a byte added: refused, naming the file", () => {
    writeSafetensors(file, new Map([["a", { dtype: "F32", shape: [3], data: Float32Array.of(1, 2, 3) }]]));
    const whole = readFileSync(file);
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(file, whole.subarray(0, length));
      expect(() => readSafetensors(file), `${length} bytes`).toThrow(file);
    }
    writeFileSync(file, Buffer.concat([whole, Buffer.alloc(1)]));
    expect(() => readSafetensors(file)).toThrow(/file has 13 \(truncated/);
  });

  test("any byte changed in length or header: another readable file or an error that names the file", () => {
    writeSafetensors(file, new Map([["a", { dtype: "F32", shape: [3], data: Float32Array.of(1, 2, 3) }]]), { b: "c" });
    const whole = readFileSync(file);
    let refused = 0;
    for (let at = 0; at < whole.length - 12; at++)
      for (const value of [0, 0x22, 0x30, 0x7b, 0xff, whole[at]! ^ 1]) {
        const changed = Buffer.from(whole);
        changed[at] = value;
        writeFileSync(file, changed);
        try {
          readSafetensors(file);
        } catch (error) {
          refused++;
          expect((error as Error).message.startsWith(file), `byte ${at} = ${value}: ${error}`).toBe(true);
        }
      }
    expect(refused).toBeGreaterThan(300);
  });
});

describe("hostile headers are refused by name and rule", () => {
  const tensor = (changes: object) => forge({ a: { ...one, ...changes } }, 4);
  test.each<[string, () => string, RegExp]>([
    [
      "length above 100 MB",
      () => forge({ a: one }, 4, 100_000_001n),
      /at most 100000000 bytes, this file says 100000001/,
    ],
    ["length of 2^64 - 1", () => forge({ a: one }, 4, 2n ** 64n - 1n), /at most 100000000 bytes/],
    ["length beyond the file", () => forge({ a: one }, 4, 1000n), /header of 1000 bytes does not fit in a file of \d+/],
    ["not UTF-8", () => forge(Buffer.from('{"a":"\xff"}', "latin1"), 0), /header is not UTF-8/],
    ["not JSON", () => forge("{oops}", 0), /header is not JSON/],
    ["an array", () => forge("[]        ", 0), /must be a JSON object/],
    ["null", () => forge("null      ", 0), /must be a JSON object/],
    [
      "deeply nested",
      () => forge(`{"a":${"[".repeat(200_000)}${"]".repeat(200_000)}}`, 0),
      /header is not JSON|must be an object/,
    ],
    [
      "duplicate key",
      () => forge(`{"a":${JSON.stringify(one)},"\\u0061":${JSON.stringify(one)}}`, 4),
      /duplicate key "a"/,
    ],
    [
      "duplicate field",
      () => forge('{"a":{"dtype":"F64","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      /duplicate key "dtype"/,
    ],
    [
      "__proto__ as tensor",
      () => forge('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      /"__proto__"/,
    ],
    [
      "__proto__ as field",
      () => forge('{"a":{"__proto__":1,"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      /"__proto__"/,
    ],
    ["__proto__ as metadata", () => forge('{"__metadata__":{"__proto__":"x"}}', 0), /"__proto__"/],
    [
      "metadata of numbers",
      () => forge({ __metadata__: { a: 1 } }, 0),
      /__metadata__ must be an object of strings, "a"/,
    ],
    ["metadata null", () => forge({ __metadata__: null }, 0), /__metadata__ must be an object of strings/],
    ["tensor null", () => forge({ a: null }, 0), /tensor "a" must be an object/],
    ["unknown field", () => tensor({ stride: [1] }), /unknown field "stride"/],
    ["unknown dtype", () => tensor({ dtype: "F8_E4M3" }), /dtype must be one of .*BOOL, got "F8_E4M3"/],
    ["dtype from the prototype", () => tensor({ dtype: "constructor" }), /got "constructor"/],
    ["dtype missing", () => tensor({ dtype: undefined }), /dtype must be one of/],
    ["negative axis", () => tensor({ shape: [-1] }), /shape must be .* got \[-1\]/],
    ["fractional axis", () => tensor({ shape: [0.5] }), /shape must be/],
    ["axis as text", () => tensor({ shape: ["1"] }), /shape must be/],
    ["huge axis", () => forge(`{"a":{"dtype":"F32","shape":[1e30],"data_offsets":[0,4]}}`, 4), /shape must be/],
    [
      "product that overflows to 0",
      () => tensor({ shape: [2 ** 32, 2 ** 32], data_offsets: [0, 0] }),
      /takes 73786976294838206464 bytes/,
    ],
    ["product that overflows float64", () => tensor({ shape: Array(40).fill(2 ** 50) }), /takes \d{600,} bytes/],
    ["offsets missing", () => tensor({ data_offsets: undefined }), /data_offsets must be two whole numbers/],
    ["three offsets", () => tensor({ data_offsets: [0, 4, 8] }), /data_offsets must be two/],
    ["negative offset", () => tensor({ data_offsets: [-4, 0] }), /data_offsets must be two/],
    ["offsets backwards", () => tensor({ data_offsets: [4, 0] }), /data_offsets say -4/],
    [
      "size that does not fit the shape",
      () => tensor({ shape: [2] }),
      /\[2\] in F32 takes 8 bytes, data_offsets say 4/,
    ],
    [
      "tensor beyond the file",
      () => forge({ a: { ...one, shape: [9], data_offsets: [0, 36] } }, 4),
      /take 36 bytes, the file has 4/,
    ],
    ["overlap", () => forge({ a: one, b: { ...one, dtype: "U8", data_offsets: [3, 4] } }, 4), /"b" overlaps/],
    ["same bytes twice", () => forge({ a: one, b: one }, 4), /"b" overlaps/],
    [
      "gap",
      () => forge({ a: one, b: { ...one, data_offsets: [8, 12] } }, 12),
      /4 bytes before tensor "b" belong to no tensor/,
    ],
    ["data left over", () => forge({ a: one }, 5), /take 4 bytes, the file has 5/],
  ])("%s", (_, make, rule) => {
    const path = make();
    expect(() => readSafetensors(path)).toThrow(rule);
    expect(() => readSafetensors(path)).toThrow(path);
  });

  test("a BOOL byte other than 0 and 1", () => {
    forge({ a: { dtype: "BOOL", shape: [2], data_offsets: [0, 2] } }, 2);
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] = 2;
    writeFileSync(file, bytes);
    expect(() => readSafetensors(file)).toThrow(/tensor "a": BOOL must be 0 or 1, got 2 at 1/);
  });

  test("a string of 30 MB in the header does not exhaust the checker", () => {
    forge({ __metadata__: { a: '\\"{'.repeat(10_000_000) }, b: one }, 4);
    expect(readSafetensorsHeader(file).tensors.size).toBe(1);
  });
});

describe("PyTorch files are named, with the command that converts them", () => {
  const pickle = Buffer.from([0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8]);
  const zip = Buffer.concat([Buffer.from("PK\u0003\u0004"), Buffer.from([0, 0, 8, 8, 0, 0, 0, 0])]);
  test.each([
    ["resnet50.pth", zip, /zip archive \(a PyTorch/],
    ["moco.pth.tar", pickle, /pickle \(a PyTorch .pth file of the old form/],
  ])("%s", (name, bytes, what) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    expect(() => readSafetensors(path)).toThrow(what);
    expect(() => readSafetensors(path)).toThrow(
      new RegExp(`python -c ".*" ${path} ${join(folder, name.split(".")[0]!)}\\.safetensors`),
    );
  });

  test("a header of 640 bytes begins like a pickle and is read all the same", () => {
    const json = JSON.stringify({ a: one });
    forge(json.padEnd(0x280), 4);
    expect(readSafetensors(file).tensors.get("a")!.shape).toEqual([1]);
  });
});

describe("writing", () => {
  const ones = (dtype: "F16" | "BF16" | "F32", value = 1): Map<string, StoredTensor> =>
    new Map([["a", { dtype, shape: [1], data: Float32Array.of(value) }]]);
  test.each<[string, () => void, RegExp]>([
    [
      "a value float16 cannot hold",
      () => writeSafetensors(file, ones("F16", 70000)),
      /"a": 70000 at 0 is too large for F16/,
    ],
    ["a value bfloat16 cannot hold", () => writeSafetensors(file, ones("BF16", 3.4e38)), /too large for BF16/],
    [
      "a shape that is not filled",
      () => writeSafetensors(file, new Map([["a", { dtype: "U8", shape: [2], data: Uint8Array.of(1) }]])),
      /\[2\] takes 2 values, got 1/,
    ],
    [
      "a wrong array",
      () => writeSafetensors(file, new Map([["a", { dtype: "F64", shape: [1], data: Uint8Array.of(1) } as never]])),
      /F64 takes a Float64Array/,
    ],
    [
      "an unknown dtype",
      () => writeSafetensors(file, new Map([["a", { dtype: "F8", shape: [1], data: Uint8Array.of(1) } as never]])),
      /dtype must be one of/,
    ],
    [
      "BOOL of 2",
      () => writeSafetensors(file, new Map([["a", { dtype: "BOOL", shape: [1], data: Uint8Array.of(2) }]])),
      /BOOL must be 0 or 1/,
    ],
    [
      "a tensor named __metadata__",
      () => writeSafetensors(file, new Map([["__metadata__", ones("F32").get("a")!]])),
      /cannot be named/,
    ],
    [
      "metadata that is no text",
      () => writeSafetensors(file, ones("F32"), { keep: 0.1 as never }),
      /metadata "keep" must be a string/,
    ],
  ])("refuses %s and leaves the old file alone", (_, write, rule) => {
    writeFileSync(file, "old");
    expect(write).toThrow(rule);
    expect(readFileSync(file, "utf8")).toBe("old");
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("infinities and NaN survive in every floating type", () => {
    const values = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
    for (const dtype of ["F16", "BF16", "F32"] as const) {
      writeSafetensors(file, new Map([["a", { dtype, shape: [3], data: Float32Array.from(values) }]]));
      expect(Array.from(readSafetensors(file).tensors.get("a")!.data as Float32Array)).toEqual(values);
    }
  });

  test("reads only what is asked for", () => {
    writeSafetensors(file, new Map([...ones("F32"), ["b", ones("F32").get("a")!]]));
    expect([...readSafetensors(file, (name) => name === "b").tensors.keys()]).toEqual(["b"]);
  });
});
