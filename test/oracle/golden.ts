/** What PyTorch computes for two small nets (test/fixtures/torch, made by make.py), compared with the library on any backend. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Batch, backend, checkpoints, curvature, type Model, type Net, nets, tree } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";
import { everyLayer } from "../support/tiny-nets";

const { tf } = backend;

type Numbers = Readonly<Record<string, readonly number[]>>;

interface Golden {
  readonly made_with: { readonly torch: string; readonly numpy: string };
  readonly input: readonly [number, number, number];
  readonly classes: number;
  readonly images: readonly number[];
  readonly labels: readonly number[];
  /** weight [classes, features] */
  readonly head: { readonly weight: readonly number[]; readonly bias: readonly number[] };
  readonly shapes: Numbers;
  readonly params: Numbers;
  readonly features: readonly number[];
  readonly outputs: readonly number[];
  readonly loss: number;
  readonly gradients: Numbers;
  readonly gnDiagonal: Numbers;
  readonly gnBlockProduct: Numbers;
  readonly hessianDiagonal: Numbers;
}

/** torchvision's ResNet, cut down: stem, max pool, one block that shrinks, one that does not. */
function smallResNet(): Net {
  const b = new nets.NetBuilder();
  const block = (key: string, input: string, from: number, to: number, stride: number): string => {
    let main = b.relu(
      `${key}.relu1`,
      b.batchNorm(`${key}.bn1`, b.conv2d(`${key}.conv1`, input, from, to, 3, stride), to),
    );
    main = b.batchNorm(`${key}.bn2`, b.conv2d(`${key}.conv2`, main, to, to, 3, 1), to);
    const side =
      from === to
        ? input
        : b.batchNorm(`${key}.downsample.1`, b.conv2d(`${key}.downsample.0`, input, from, to, 1, stride), to);
    return b.relu(`${key}.relu`, b.add(`${key}.add`, main, side));
  };
  const stem = b.relu("relu", b.batchNorm("bn1", b.conv2d("conv1", "x", 2, 3, 3, 2), 3));
  const pooled = b.maxPool("maxpool", stem, 3, 2, 1);
  b.globalAvgPool("avgpool", block("layer1.1", block("layer1.0", pooled, 3, 4, 2), 4, 4, 1));
  return b.build("small-resnet", [14, 12, 2], 4);
}

function load(name: string, net: Net): { golden: Golden; model: Model; data: Batch } {
  const golden: Golden = JSON.parse(readFileSync(join(__dirname, `../fixtures/torch/${name}.json`), "utf8"));
  const params = Object.fromEntries(
    Object.entries(net.params).map(([key, spec]) => {
      const values = checkpoints.fromTorchLayout(spec, Float64Array.from(golden.params[key]!));
      return [key, tf.tensor(Float32Array.from(values), [...spec.shape])];
    }),
  );
  const head = {
    weight: tf.transpose(tf.tensor2d([...golden.head.weight], [golden.classes, net.features])),
    bias: tf.tensor1d([...golden.head.bias]),
  };
  const x = tf.tensor4d([...golden.images], [golden.labels.length, ...net.input]);
  return { golden, model: { net, params, head }, data: { x, labels: Int32Array.from(golden.labels) } };
}

/** Torch's numbers in the library's layout. */
const inMemoryOrder = (net: Net, values: Numbers): Record<string, Float64Array> =>
  Object.fromEntries(
    Object.entries(values).map(([key, list]) => [
      key,
      checkpoints.fromTorchLayout(net.params[key]!, Float64Array.from(list)),
    ]),
  );

/** @param rtol relative to the largest entry of a tensor */
export function goldenTests({ rtol }: { rtol: number }): void {
  describe.each([
    { name: "resnet", make: smallResNet },
    { name: "every-layer", make: everyLayer },
  ])("PyTorch's $name", ({ name, make }) => {
    const { golden, model, data } = load(name, make());
    const { net } = model;
    const expected = (values: Numbers): Record<string, Float64Array> => inMemoryOrder(net, values);

    test("has the same images, keys and shapes", () => {
      expect(golden.made_with.torch).toMatch(/^\d+\.\d+/);
      expect(golden.input).toEqual(net.input);
      expect(Object.keys(golden.params).sort()).toEqual(Object.keys(net.params).sort());
      const shapes = Object.entries(net.params).map(([key, spec]) => [key, checkpoints.torchShape(spec)]);
      expect(Object.fromEntries(shapes)).toEqual(golden.shapes);
      expect(Object.keys(golden.gnDiagonal).sort()).toEqual([...net.prunable].sort());
    });

    test("forward pass", () => {
      const { features, outputs } = curvature.forward(model, data.x);
      expect({ features: features.dataSync(), outputs: outputs.dataSync() }).toBeNearTree(
        { features: golden.features, outputs: golden.outputs },
        { rtol },
      );
    });

    test("MSELoss(mean) and its gradient for every parameter", () => {
      const { loss, gradient } = curvature.lossGradient(model, data);
      expect({ loss: [loss] }).toBeNearTree({ loss: [golden.loss] }, { rtol });
      const weights = Object.fromEntries(net.prunable.map((key) => [key, golden.gradients[key]!]));
      expect(gradient).toBeNearTree(expected(weights), { rtol });
      const trace = curvature.forward(model, data.x);
      const residual = tf.sub(trace.outputs, curvature.oneHot(data.labels, golden.classes));
      const all = tree.mapTree(curvature.vjp(trace, residual), (g) => tf.mul(g, 2 / residual.size));
      expect(all).toBeNearTree(expected(golden.gradients), { rtol });
    });

    test("diagonal of the Gauss-Newton matrix", () => {
      expect(curvature.gnDiag(model, data)).toBeNearTree(expected(golden.gnDiagonal), { rtol });
    });

    test("block products", () => {
      expect(curvature.gnBlockProduct(model, data)).toBeNearTree(expected(golden.gnBlockProduct), { rtol });
    });

    if (name === "resnet")
      test("diagonal of the Hessian: the same as that of Gauss-Newton", () => {
        expect(curvature.gnDiag(model, data)).toBeNearTree(expected(golden.hessianDiagonal), { rtol });
      });
    else
      test("diagonal of the Hessian: not that of Gauss-Newton, GELU bends", () => {
        const apart = net.prunable.map((key) => {
          const [h, g] = [golden.hessianDiagonal[key]!, golden.gnDiagonal[key]!];
          return Math.max(...h.map((value, j) => Math.abs(value - g[j]!))) / Math.max(...g);
        });
        expect(Math.max(...apart)).toBeGreaterThan(0.1);
        expect(Math.min(...net.prunable.flatMap((key) => golden.hessianDiagonal[key]!))).toBeLessThan(0);
      });
  });
}
