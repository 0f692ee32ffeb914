/**
 * Loads tfjs once, in the way the process needs it:
 *   tensorflow  real TensorFlow through tfjs-node-gpu (default)
 *   cpu         plain JavaScript, when the addon is not built (slow, announced loudly)
 *   float64     plain JavaScript whose "float32" storage is really float64: the oracle of the tests
 * Chosen by SECATEUR_BACKEND; without it, tensorflow if its addon is there.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import type * as TensorFlow from "@tensorflow/tfjs";

export type BackendKind = "tensorflow" | "cpu" | "float64";

function setDefault(variable: string, value: string): void {
  process.env[variable] ??= value;
}

function addonIsBuilt(): boolean {
  try {
    const folder = path.dirname(require.resolve("@tensorflow/tfjs-node-gpu/package.json"));
    return fs.existsSync(path.join(folder, "lib", "napi-v8", "tfjs_binding.node"));
  } catch {
    return false;
  }
}

function chooseKind(): BackendKind {
  const asked = process.env.SECATEUR_BACKEND;
  if (asked === undefined || asked === "") return addonIsBuilt() ? "tensorflow" : "cpu";
  if (asked === "tensorflow" || asked === "cpu" || asked === "float64") return asked;
  throw new RangeError(`SECATEUR_BACKEND must be tensorflow, cpu or float64, got '${asked}'`);
}

function loadTensorFlow(): typeof TensorFlow {
  // oneDNN is off by default on some processors: its convolutions are several times faster
  setDefault("TF_ENABLE_ONEDNN_OPTS", "1");
  setDefault("TF_CPP_MIN_LOG_LEVEL", "2");
  setDefault("TF_FORCE_GPU_ALLOW_GROWTH", "true");
  if (!addonIsBuilt()) throw new Error("the TensorFlow addon is not built: type `npm run setup`");
  // the shim package: it repairs util for Node >= 23 and is the copy that danfojs-node uses too
  return require("@tensorflow/tfjs-node");
}

function loadPlain(): typeof TensorFlow {
  const tfjs: typeof TensorFlow = require("@tensorflow/tfjs");
  void tfjs.setBackend("cpu"); // ready at once: it has nothing to wait for
  // biome-ignore lint/suspicious/noExplicitAny: no other way to silence its advertisement for the native package
  (tfjs.backend() as any).firstUse = false;
  return tfjs;
}

export const kind: BackendKind = chooseKind();

function load(): typeof TensorFlow {
  if (kind === "tensorflow") return loadTensorFlow();
  if (kind === "float64") {
    // every Float32Array that tfjs makes from here on holds float64
    globalThis.Float32Array = Float64Array as unknown as typeof Float32Array;
    const tfjs = loadPlain();
    acceptFloat64Arrays(tfjs);
    registerExactErf(tfjs);
    return tfjs;
  }
  console.warn(
    "secateur: the TensorFlow addon is not built, plain JavaScript is used (about 100 times slower): type `npm run setup`",
  );
  return loadPlain();
}

/** tfjs asks Node what a typed array is, and Node does not see Float64Array as the Float32Array that it stands for here. */
function acceptFloat64Arrays(tfjs: typeof TensorFlow): void {
  const { platform } = tfjs.env();
  const isTypedArray = platform.isTypedArray.bind(platform);
  platform.isTypedArray = (a: unknown): a is Float32Array | Int32Array | Uint8Array | Uint8ClampedArray =>
    a instanceof Float64Array || isTypedArray(a);
}

/**
 * erf to the last bits: below 3 a series of positive terms, 2 / sqrt(pi) e^(-z^2) sum_n 2^n z^(2n+1) / (2n+1)!!, above it a
 * continued fraction. tfjs's cpu kernel is off by 1.5e-7.
 */
function exactErf(z: number): number {
  const a = Math.abs(z);
  let value: number;
  if (a < 3) {
    let term = a;
    let sum = a;
    for (let n = 1; n < 90; n++) {
      term *= (2 * a * a) / (2 * n + 1);
      sum += term;
    }
    value = (2 * sum * Math.exp(-a * a)) / Math.sqrt(Math.PI);
  } else {
    let fraction = 0;
    for (let k = 60; k > 0; k--) fraction = k / 2 / (a + fraction);
    value = 1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction);
  }
  return z < 0 ? -value : value;
}

function registerExactErf(tfjs: typeof TensorFlow): void {
  tfjs.unregisterKernel("Erf", "cpu");
  tfjs.registerKernel({
    kernelName: "Erf",
    backendName: "cpu",
    kernelFunc: ({ inputs, backend }) => {
      const x = inputs.x!;
      // biome-ignore lint/suspicious/noExplicitAny: the cpu backend's storage has no public type
      const cpu = backend as any;
      const values: ArrayLike<number> = cpu.data.get(x.dataId).values;
      return cpu.makeTensorInfo(x.shape, "float32", Float32Array.from(values, exactErf));
    },
  });
}

export const tf: typeof TensorFlow = load();

/** Device that runs the operations: "GPU" or "CPU". */
export function device(): "GPU" | "CPU" {
  // biome-ignore lint/suspicious/noExplicitAny: only tfjs-node's backend knows
  return kind === "tensorflow" && (tf.backend() as any).isUsingGpuDevice ? "GPU" : "CPU";
}

/** Version of the TensorFlow library behind the addon, or of tfjs. */
export function engineVersion(): string {
  // biome-ignore lint/suspicious/noExplicitAny: only tfjs-node's backend knows
  return kind === "tensorflow" ? `TensorFlow ${(tf.backend() as any).binding.TF_Version}` : `tfjs ${tf.version.tfjs}`;
}

/** Tensors that TensorFlow itself holds; tf.memory() does not see native handles. */
export function nativeHandles(): number {
  // biome-ignore lint/suspicious/noExplicitAny: only tfjs-node's backend knows
  return kind === "tensorflow" ? (tf.backend() as any).getNumOfTFTensors() : tf.memory().numTensors;
}
