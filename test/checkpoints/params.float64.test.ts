import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backend, checkpoints, type Net } from "secateur";
import { afterAll, expect, test } from "vitest";

// Float32Array means eight bytes a value in this process: files must not notice.
const fixtures = join(__dirname, "../fixtures/safetensors");
const folder = mkdtempSync(join(tmpdir(), "params64-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the float64 process reads and writes the same bytes", () => {
  const golden = join(fixtures, "golden.safetensors");
  const { tensors, metadata } = checkpoints.readSafetensors(golden);
  const copy = join(folder, "copy.safetensors");
  checkpoints.writeSafetensors(copy, tensors, Object.fromEntries(metadata));
  expect(readFileSync(copy).equals(readFileSync(golden))).toBe(true);
  const facts = JSON.parse(readFileSync(join(fixtures, "golden.json"), "utf8")).golden;
  for (const name of ["conv.weight", "half", "brain"])
    expect(Array.from(tensors.get(name)!.data as Float32Array), name).toEqual(facts[name].values);
});

test("float64 parameters keep all their digits on the way to the device and back", () => {
  const net: Net = {
    name: "one",
    input: [1, 1, 1],
    features: 3,
    nodes: [],
    params: { w: { shape: [2, 3], role: "linearWeight" } },
    prunable: ["w"],
  };
  const w = Float64Array.of(1 / 3, Math.PI, 1e-9, Math.E, 1 + 2 ** -50, 0.1);
  const path = join(folder, "w.safetensors");
  checkpoints.saveParams(path, net, { w }, { dtype: "F64" });
  const loaded = checkpoints.loadParams(path, net);
  expect(Array.from(loaded.w!.dataSync())).toEqual(Array.from(w));
  backend.tf.dispose(loaded as never);
});
