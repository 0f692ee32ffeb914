/** Three steps of a small net that PyTorch made in training mode (test/fixtures/torch-sgd, made by make.py), on any backend. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { backend, checkpoints, curvature, type Net, nets, type Tensor2D, type Tree, train } from "secateur";
import { expect, test } from "vitest";
import "../support/close-tree";

const { tf } = backend;

type Numbers = Readonly<Record<string, number[]>>;

interface Golden {
  readonly made_with: { readonly torch: string };
  readonly input: readonly [number, number, number];
  readonly classes: number;
  readonly options: train.SgdOptions;
  readonly start: Numbers;
  readonly images: readonly number[][];
  readonly labels: readonly number[][];
  readonly steps: readonly {
    readonly rate: number;
    readonly loss: number;
    readonly gradients: Numbers;
    readonly after: Numbers;
  }[];
}

function net(input: Golden["input"]): Net {
  const b = new nets.NetBuilder();
  const stem = b.relu("relu1", b.batchNorm("bn1", b.conv2d("conv1", "x", 2, 3, 3, 2, true), 3));
  b.globalAvgPool("gap", b.relu("relu2", b.batchNorm("bn2", b.conv2d("conv2", stem, 3, 4, 3, 1), 4)));
  return b.build("torch-training", input, 4);
}

/** @param rtol relative to the largest entry of a tensor */
export function trainingGoldenTests({ rtol }: { rtol: number }): void {
  const golden: Golden = JSON.parse(readFileSync(join(__dirname, "../fixtures/torch-sgd/training.json"), "utf8"));
  const backbone = net(golden.input);
  const specs: Net["params"] = {
    ...backbone.params,
    "classifier.weight": { role: "linearWeight", shape: [4, golden.classes] },
    "classifier.bias": { role: "bias", shape: [golden.classes] },
  };
  const inMemoryOrder = (values: Numbers): Record<string, Float64Array> =>
    Object.fromEntries(
      Object.entries(values).map(([key, list]) => [
        key,
        checkpoints.fromTorchLayout(specs[key]!, Float64Array.from(list)),
      ]),
    );

  test("training mode follows torch: losses, gradients, running statistics and parameters of three steps", () => {
    expect(golden.made_with.torch).toMatch(/^\d+\.\d+/);
    let params: Tree = Object.fromEntries(
      Object.entries(inMemoryOrder(golden.start)).map(([key, values]) => [
        key,
        tf.tensor(Float32Array.from(values), [...specs[key]!.shape]),
      ]),
    );
    let velocity: Tree = Object.fromEntries(Object.entries(params).map(([key, t]) => [key, tf.zerosLike(t)]));
    expect(Object.keys(params).sort()).toEqual(Object.keys(specs).sort());
    golden.steps.forEach(({ rate, loss, gradients, after }, k) => {
      const labels = Int32Array.from(golden.labels[k]!);
      const x = tf.tensor4d(golden.images[k]!, [labels.length, ...golden.input]);
      const head = { weight: params["classifier.weight"] as Tensor2D, bias: params["classifier.bias"] as never };
      const trace = curvature.forward({ net: backbone, params, head }, x, { training: true });
      const targets = curvature.oneHot(labels, golden.classes);
      const logProbabilities = tf.logSoftmax(trace.outputs);
      const crossEntropy = -tf.sum(tf.mul(targets, logProbabilities)).dataSync()[0]! / labels.length;
      const cotangent = tf.div(tf.sub(tf.softmax(trace.outputs), targets), labels.length) as Tensor2D;
      const gradient = {
        ...curvature.vjp(trace, cotangent),
        "classifier.weight": tf.matMul(trace.features, cotangent, true),
        "classifier.bias": tf.sum(cotangent, 0),
      };
      expect({ loss: [crossEntropy] }).toBeNearTree({ loss: [loss] }, { rtol });
      // the gradient of conv1's bias is zero up to rounding: the norm behind it takes any constant off
      const { "conv1.bias": nothing, ...expected } = inMemoryOrder(gradients);
      const { "conv1.bias": rounding, ...got } = gradient as Record<string, Tree[string]>;
      expect(got).toBeNearTree(expected, { rtol });
      expect({ bias: rounding! }).toBeNearTree({ bias: nothing! }, { rtol, atol: rtol });
      const next = train.sgdStep({ params, velocity }, gradient, rate, golden.options);
      params = { ...next.params, ...trace.running };
      velocity = next.velocity;
      expect(params).toBeNearTree(inMemoryOrder(after), { rtol });
    });
  });
}
