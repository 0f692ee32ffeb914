import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { backend, checkpoints, type Net, type ParamSpec, type Tree } from "secateur";
import { afterAll, describe, expect, test } from "vitest";

const { loadParams, readParams, readSafetensors, saveParams, writeSafetensors } = checkpoints;
const { tf } = backend;
const folder = mkdtempSync(join(tmpdir(), "params-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "net.safetensors");

const params: Record<string, ParamSpec> = {
  "conv1.weight": { shape: [1, 2, 3, 2], role: "convWeight" },
  "bn1.weight": { shape: [2], role: "normScale" },
  "bn1.running_var": { shape: [2], role: "normVariance" },
  "mlp.weight": { shape: [2, 3], role: "linearWeight" },
  "mlp.bias": { shape: [3], role: "bias" },
};
const net: Net = {
  name: "tiny",
  input: [4, 4, 3],
  features: 3,
  nodes: [],
  params,
  prunable: ["conv1.weight", "mlp.weight"],
};
const sizeOf = (spec: ParamSpec): number => spec.shape.reduce((a, b) => a * b, 1);
const counting = (from = 0): Record<string, Float32Array> =>
  Object.fromEntries(
    Object.entries(params).map(([name, spec]) => [
      name,
      Float32Array.from({ length: sizeOf(spec) }, (_, i) => from + i),
    ]),
  );
type Stored = checkpoints.StoredTensor;
const f32 = (shape: number[]): Stored => ({
  dtype: "F32",
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1),
});
const torchEntries = (): Map<string, Stored> =>
  new Map(Object.entries(params).map(([name, spec]) => [name, f32([...checkpoints.torchShape(spec)])]));

describe("layout", () => {
  test("conv: torch[o, i, y, x] = memory[y, x, i, o]", () => {
    const spec = params["conv1.weight"]!;
    expect(checkpoints.torchShape(spec)).toEqual([2, 3, 1, 2]);
    // memory [1, 2, 3, 2] counts x, i, o; for o = 0: i = 0 at x = 0, 1 -> 0, 6; i = 1 -> 2, 8; i = 2 -> 4, 10; o = 1 adds 1
    expect([...checkpoints.toTorchLayout(spec, counting()["conv1.weight"]!)]).toEqual([
      0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11,
    ]);
  });

  test("linear: transposed; everything else: as it is", () => {
    expect([...checkpoints.toTorchLayout(params["mlp.weight"]!, Uint8Array.of(0, 1, 2, 3, 4, 5))]).toEqual([
      0, 3, 1, 4, 2, 5,
    ]);
    expect([...checkpoints.toTorchLayout(params["mlp.bias"]!, Float64Array.of(5, 6, 7))]).toEqual([5, 6, 7]);
  });

  test("agrees with tf.transpose, and from undoes to", () => {
    const side = fc.integer({ min: 1, max: 4 });
    fc.assert(
      fc.property(fc.tuple(side, side, side, side), (shape) => {
        const spec: ParamSpec = { shape, role: "convWeight" };
        const memory = Float32Array.from({ length: sizeOf(spec) }, (_, i) => i);
        const torch = checkpoints.toTorchLayout(spec, memory);
        const expected = tf.tidy(() => tf.transpose(tf.tensor(memory, shape), [3, 2, 0, 1]).dataSync());
        expect([...torch]).toEqual([...expected]);
        expect([...checkpoints.fromTorchLayout(spec, torch)]).toEqual([...memory]);
      }),
      { numRuns: 50 },
    );
  });

  test("wrong rank or length is refused", () => {
    expect(() => checkpoints.torchShape({ shape: [3], role: "convWeight" })).toThrow(
      /convWeight must have 4 axes, got \[3\]/,
    );
    expect(() => checkpoints.toTorchLayout(params["mlp.bias"]!, new Float32Array(2))).toThrow(
      /3 values for \[3\], got 2/,
    );
  });
});

describe("saveParams and loadParams", () => {
  test("what is saved is loaded: names, memory layout, tensors", () => {
    const saved = counting();
    saveParams(file, net, saved, { metadata: { seed: "0" } });
    const loaded = loadParams(file, net);
    expect(Object.keys(loaded)).toEqual(Object.keys(params));
    for (const [name, tensor] of Object.entries(loaded)) {
      expect(tensor.shape).toEqual(params[name]!.shape);
      expect([...tensor.dataSync()], name).toEqual([...saved[name]!]);
    }
    const again = join(folder, "again.safetensors");
    saveParams(again, net, loaded, { metadata: { seed: "0" } });
    expect(checkpoints.sha256File(again), "from tensors, the same bytes").toBe(checkpoints.sha256File(file));
    expect(Object.fromEntries(readSafetensors(file).metadata)).toEqual({ format: "pt", seed: "0" });
    expect(readSafetensors(file).tensors.get("conv1.weight")!.shape).toEqual([2, 3, 1, 2]);
    tf.dispose(loaded);
  });

  test.each(["F16", "BF16", "F64"] as const)("%s on disk, float32 in memory", (dtype) => {
    saveParams(file, net, counting(0.5), { dtype });
    expect(readSafetensors(file).tensors.get("mlp.bias")!.dtype).toBe(dtype);
    expect(readParams(file, net)).toEqual(counting(0.5));
  });

  test("loading leaves the tensors it returns and nothing else", () => {
    saveParams(file, net, counting());
    const before = tf.memory().numTensors;
    const loaded = loadParams(file, net);
    expect(tf.memory().numTensors - before).toBe(Object.keys(params).length);
    tf.dispose(loaded as Record<string, Tree[string]>);
    expect(tf.memory().numTensors).toBe(before);
  });

  test("a prefix is stripped, the head and other parts are ignored when asked for", () => {
    const entries = new Map<string, Stored>();
    for (const [name, tensor] of torchEntries()) entries.set(`module.encoder_q.${name}`, tensor);
    entries.set("module.encoder_q.fc.weight", f32([10, 3]));
    entries.set("module.encoder_q.bn1.num_batches_tracked", { dtype: "I64", shape: [], data: BigInt64Array.of(7n) });
    entries.set("module.encoder_k.conv1.weight", f32([2, 3, 1, 2]));
    entries.set("module.queue", f32([2, 2]));
    writeSafetensors(file, entries);
    const stripPrefix = "module.encoder_q.";
    const loaded = readParams(file, net, { stripPrefix, ignore: ["fc.", "module.encoder_k.", "module.queue"] });
    expect(Object.keys(loaded)).toEqual(Object.keys(params));
    expect(() => readParams(file, net, { stripPrefix })).toThrow(
      /unexpected \(3\):\n +module\.encoder_k\.conv1\.weight \[2,3,1,2\]\n +module\.encoder_q\.fc\.weight \[10,3\]\n +module\.queue \[2,2\]\n/,
    );
  });

  test("a key without the prefix does not stand in for one with it", () => {
    writeSafetensors(file, torchEntries());
    expect(() => readParams(file, net, { stripPrefix: "backbone." })).toThrow(/missing \(5\):[\s\S]*unexpected \(5\):/);
  });

  test("every misfit is in one message", () => {
    const entries = torchEntries();
    entries.delete("bn1.weight");
    entries.delete("mlp.bias");
    entries.set("fc.bias", f32([10]));
    entries.set("conv1.weight", f32([2, 3, 2, 1]));
    entries.set("bn1.running_var", { dtype: "I64", shape: [2], data: BigInt64Array.of(1n, 1n) });
    entries.set("bn1.num_batches_tracked", { dtype: "I64", shape: [], data: BigInt64Array.of(7n) });
    writeSafetensors(file, entries);
    let message = "";
    try {
      loadParams(file, net, { ignoreBatchCounters: false });
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message.split("\n").map((line) => line.trim())).toEqual([
      `${file}: keys do not fit tiny`,
      "missing (2):",
      "bn1.weight",
      "mlp.bias",
      "unexpected (2):",
      "bn1.num_batches_tracked []",
      "fc.bias [10]",
      "misshaped (2):",
      "bn1.running_var is I64, not floating point",
      "conv1.weight is [2,3,2,1], not [2,3,1,2]",
      'options used: {"stripPrefix":"","ignore":[],"ignoreBatchCounters":false}',
    ]);
  });

  test("a linear weight in our own layout is not taken for the checkpoint's", () => {
    const entries = torchEntries().set("mlp.weight", f32([2, 3]));
    writeSafetensors(file, entries);
    expect(() => readParams(file, net)).toThrow(/mlp\.weight is \[2,3\], not \[3,2\]/);
  });

  test("a value that is not finite is named", () => {
    const entries = torchEntries();
    (entries.get("mlp.bias")!.data as Float32Array)[1] = Number.NaN;
    writeSafetensors(file, entries);
    expect(() => readParams(file, net)).toThrow(`${file}: "mlp.bias" must be finite, got NaN at 1`);
  });

  test("saving other parameters than the net's is refused", () => {
    const { "mlp.bias": _, ...rest } = counting();
    expect(() => saveParams(file, net, { ...rest, fc: new Float32Array(1) })).toThrow(
      /missing mlp\.bias; unexpected fc/,
    );
    expect(() => saveParams(file, net, counting(), { dtype: "I64" as never })).toThrow(
      /dtype must be F32, F16, BF16 or F64/,
    );
    expect(() => saveParams(file, net, { ...counting(), "mlp.bias": new Float32Array(2) })).toThrow(
      /3 values for \[3\], got 2/,
    );
    const turned = tf.zeros([3, 2]);
    expect(() => saveParams(file, net, { ...counting(), "mlp.weight": turned } as never)).toThrow(
      /"mlp.weight" is \[3,2\], not \[2,3\]/,
    );
    turned.dispose();
  });

  test("a weight too large for the dtype is named", () => {
    const huge = { ...counting(), "mlp.bias": Float32Array.of(0, 1e6, 0) };
    expect(() => saveParams(file, net, huge, { dtype: "F16" })).toThrow(
      /"mlp.bias": 1000000 at 1 is too large for F16/,
    );
  });
});

describe("paramsHash", () => {
  const { paramsHash } = checkpoints;

  test("the same for arrays, tensors and a file's parameters, whatever the order of keys", () => {
    const hash = paramsHash(net, counting());
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(paramsHash(net, Object.fromEntries(Object.entries(counting()).reverse()))).toBe(hash);
    saveParams(file, net, counting());
    const loaded = loadParams(file, net);
    expect(paramsHash(net, loaded)).toBe(hash);
    tf.dispose(loaded as Record<string, Tree[string]>);
  });

  test("another value, shape or key gives another hash; a missing key is refused", () => {
    const hash = paramsHash(net, counting());
    const changed = counting();
    changed["mlp.bias"]![0] = 1e-30;
    expect(paramsHash(net, changed)).not.toBe(hash);
    const turned: Net = { ...net, params: { ...params, "mlp.weight": { shape: [3, 2], role: "linearWeight" } } };
    expect(paramsHash(turned, counting())).not.toBe(hash);
    const { "mlp.bias": _, ...rest } = counting();
    expect(() => paramsHash(net, rest)).toThrow(/params have no "mlp\.bias"/);
  });
});
