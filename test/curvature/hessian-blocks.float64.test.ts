import { backend, curvature, type Net, nets, tree } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";
import { owned } from "../support/owned";
import {
  everyLayer,
  geluNet,
  randomTensor,
  reluResidual,
  tinyBatch,
  tinyModel,
  tinyNets,
  tinyViT,
} from "../support/tiny-nets";

const { tf } = backend;
const exact = { rtol: 1e-11 };
const losses = [curvature.squaredErrorMeanOverNC(), curvature.crossEntropyMeanOverN({ temperature: 0.7 })];

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);
  const weights = nets.prunableWeights(model);
  /** the whole product with one layer moved, that layer's part */
  const twin = (v: typeof weights, options: curvature.LossOptions) =>
    tree.mapTree(v, (t, name) => curvature.hessianProduct(model, data, { [name]: t }, options)[name]!);

  test.each(losses)("hessianBlockProduct is H_BB theta_B for every layer: $name", (loss) => {
    const expected = twin(weights, { loss });
    expect(curvature.hessianBlockProduct(model, data, { loss })).toBeNearTree(expected, exact);
    expect(curvature.hessianBlockProduct(model, data, { loss, memoryBytes: 1 })).toBeNearTree(expected, exact);
  });

  test("for the layers and directions that are asked for", () => {
    const names = model.net.prunable.slice(-2);
    const v = tree.mapTree(tree.pickTree(weights, names), (w, name) => randomTensor(w.shape, 3, name));
    expect(curvature.hessianBlockProduct(model, data, { v })).toBeNearTree(twin(v, {}), exact);
  });

  test("H_BB = G_BB for a layer exactly where hessianEqualsGaussNewton says so", () => {
    const loss = losses[1]!;
    const gn = curvature.gnBlockProduct(model, data, { loss });
    const h = twin(weights, { loss });
    for (const name of model.net.prunable) {
      const { equal } = curvature.hessianEqualsGaussNewton(model.net, [name]);
      const apart = tf.max(tf.abs(tf.sub(h[name]!, gn[name]!))).dataSync()[0]!;
      const size = tf.max(tf.abs(gn[name]!)).dataSync()[0]!;
      if (equal) expect(apart / size, name).toBeLessThan(1e-12);
      else expect(apart / size, name).toBeGreaterThan(1e-3);
    }
  });

  test("leaves nothing behind", () => {
    owned(() => curvature.hessianBlockProduct(model, data, { memoryBytes: 1 }) as never);
  });
});

describe("hessianEqualsGaussNewton", () => {
  const answer = (net: Net, keys?: readonly string[]) => curvature.hessianEqualsGaussNewton(net, keys);

  test("is true of ReLU nets, the ResNets of this library among them", () => {
    for (const net of [reluResidual(), nets.resnetSmall(16, 1), nets.resnet18(), nets.resnet50()])
      expect(answer(net)).toEqual({
        equal: true,
        because: "every operation between these weights and the outputs is piecewise linear",
      });
  });

  test.each([
    [geluNet(), "'act1' (gelu) lies between 'conv1.weight' and the outputs"],
    [tinyViT(), "'blocks.0.norm1' (layerNorm) lies between 'patch_embed.proj.weight' and the outputs"],
    [everyLayer(), "'act1' (gelu) lies between 'conv2.weight' and the outputs"],
  ])("is false of nets with curved operations, and names the first: %#", (net, because) => {
    const curved = net.name === "every-layer" ? net.prunable.filter((key) => key !== "conv1.weight") : undefined;
    expect(answer(net, curved)).toEqual({ equal: false, because });
  });

  test("asks for what lies above each layer only", () => {
    const b = new nets.NetBuilder();
    const bent = b.gelu("act", b.linear("fc1", b.flatten("flat", "x"), 4, 3));
    b.relu("out", b.linear("fc2", bent, 3, 2));
    const net = b.build("bent-below", [2, 2, 1], 2);
    expect(answer(net, ["fc2.weight"]).equal).toBe(true);
    expect(answer(net, ["fc1.weight"]).equal).toBe(false);
  });

  test("is false of a weight that two nodes use, and no block product is made of it", () => {
    const b = new nets.NetBuilder();
    b.linear("fc2", b.relu("act", b.linear("fc1", b.flatten("flat", "x"), 4, 4, false)), 4, 4, false);
    const net = b.build("tied", [2, 2, 1], 4);
    const tied: Net = {
      ...net,
      nodes: net.nodes.map((node) =>
        node.id === "fc2" ? { ...node, params: { weight: "fc1.weight" } } : node,
      ) as never,
      prunable: ["fc1.weight"],
    };
    expect(answer(tied)).toEqual({ equal: false, because: "'fc1.weight' is used by 2 nodes" });
    const model = tinyModel(tied);
    expect(() => curvature.hessianBlockProduct(model, tinyBatch(tied))).toThrow(
      /'fc1.weight' must be the weight of one layer/,
    );
  });

  test("an unknown weight is named", () => {
    expect(() => answer(geluNet(), ["conv9.weight"])).toThrow("hessian: gelu has no prunable weight 'conv9.weight'");
  });
});
