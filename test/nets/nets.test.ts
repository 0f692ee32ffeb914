import { backend, layers, type Net, nets } from "secateur";
import { describe, expect, test } from "vitest";
import { everyLayer, tinyModel, tinyNets } from "../support/tiny-nets";

const { tf } = backend;
const classifier = (net: Net, classes = 1000): number => (net.features + 1) * classes;

describe("torchvision's ResNets", () => {
  test("ResNet-50: 25,557,032 parameters and 4.089 GMAC at 224 with the 1000-class layer", () => {
    const net = nets.resnet50();
    expect(nets.parameterCount(net) + classifier(net)).toBe(25_557_032);
    expect((nets.macs(net) + 2048 * 1000) / 1e9).toBeCloseTo(4.089, 3);
    expect(net.features).toBe(2048);
  });

  test("ResNet-18: 11,689,512 parameters and 1.814 GMAC", () => {
    const net = nets.resnet18();
    expect(nets.parameterCount(net) + classifier(net)).toBe(11_689_512);
    expect((nets.macs(net) + 512 * 1000) / 1e9).toBeCloseTo(1.814, 3);
  });

  // state_dict: 320 and 122 entries, less num_batches_tracked of every norm (53, 20) and the classifier's two
  test.each([
    [nets.resnet50(), 320 - 53 - 2, 53],
    [nets.resnet18(), 122 - 20 - 2, 20],
  ])("$name has torchvision's entries", (net, entries, convolutions) => {
    expect(Object.keys(net.params).length).toBe(entries);
    expect(net.prunable.length).toBe(convolutions);
    expect(nets.outputShapes(net)[net.nodes[net.nodes.length - 1]!.id]).toEqual([net.features]);
  });

  test("keys and shapes as torchvision names them, layer by layer", () => {
    const shapes = (net: Net, keys: string[]) => keys.map((key) => net.params[key]?.shape);
    const fifty = ["conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer1.0.conv3.weight"];
    expect(shapes(nets.resnet50(), fifty)).toEqual([[7, 7, 3, 64], [64], [1, 1, 64, 64], [1, 1, 64, 256]]);
    const deeper = ["layer1.0.downsample.0.weight", "layer3.5.conv2.weight", "layer4.0.downsample.1.bias"];
    expect(shapes(nets.resnet50(), deeper)).toEqual([[1, 1, 64, 256], [3, 3, 256, 256], [2048]]);
    expect(shapes(nets.resnet50(), ["layer4.2.bn3.running_mean"])).toEqual([[2048]]);
    const eighteen = ["layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.bn2.weight"];
    expect(shapes(nets.resnet18(), eighteen)).toEqual([[3, 3, 64, 64], [1, 1, 64, 128], [512]]);
    expect(Object.keys(nets.resnet18().params)).not.toContain("layer1.0.downsample.0.weight");
  });

  test("the bottleneck's stride is in its 3x3 convolution, stages halve 56 to 7 pixels", () => {
    const shapes = nets.outputShapes(nets.resnet50());
    const ids = ["conv1", "maxpool", "layer2.0.conv1", "layer2.0.conv2", "layer4.2.relu"];
    expect(ids.map((id) => shapes[id])).toEqual([
      [112, 112, 64],
      [56, 56, 64],
      [56, 56, 128],
      [28, 28, 128],
      [7, 7, 2048],
    ]);
  });
});

describe("timm's Vision Transformers", () => {
  test("ViT-B/16: 86,567,656 parameters and 17.564 GMAC at 224 with the 1000-class layer", () => {
    const net = nets.vitBase16();
    expect(nets.parameterCount(net) + classifier(net)).toBe(86_567_656);
    expect((nets.macs(net) + 768 * 1000) / 1e9).toBeCloseTo(17.564, 3);
  });

  test("ViT-S/16: 22,050,664 parameters with the 1000-class layer, 150 entries without", () => {
    const net = nets.vitSmall16();
    expect(nets.parameterCount(net) + classifier(net)).toBe(22_050_664);
    expect(Object.keys(net.params).length).toBe(150);
    expect(net.prunable.length).toBe(1 + 4 * 12);
  });

  test("keys and shapes as timm names them", () => {
    const shape = (key: string) => nets.vitSmall16().params[key]?.shape;
    expect(shape("cls_token")).toEqual([1, 1, 384]);
    expect(shape("pos_embed")).toEqual([1, 197, 384]);
    expect(shape("patch_embed.proj.weight")).toEqual([16, 16, 3, 384]);
    expect(shape("blocks.11.attn.qkv.weight")).toEqual([384, 1152]);
    expect(shape("blocks.0.mlp.fc2.bias")).toEqual([384]);
    expect(shape("norm.weight")).toEqual([384]);
  });

  test("the embedded vh128x4: 888,320 parameters, 878,880 prunable, 16 tokens and the class", () => {
    const net = nets.vitHybrid();
    expect(nets.parameterCount(net)).toBe(888_320);
    expect(nets.prunableCount(net)).toBe(878_880);
    expect(nets.outputShapes(net).pos_embed).toEqual([17, 128]);
  });

  test("sizes that do not fit are refused by name", () => {
    expect(() => nets.vitSmall16([225, 224, 3])).toThrow(/vits16: height and width must be multiples of 16, got 225/);
    expect(() => nets.vitHybrid(100)).toThrow(/dim must be a multiple of 32, got 100/);
    expect(() => nets.vitHybrid(128, 0)).toThrow(/depth must be a positive integer, got 0/);
    expect(() => nets.netByName("vit")).toThrow(/vhDxL/);
  });
});

describe("the embedded net rs64x1", () => {
  const net = nets.resnetSmall();

  test("1,207,264 parameters, 1,204,512 prunable, 20.4 MFLOP", () => {
    expect([net.name, nets.parameterCount(net), nets.prunableCount(net)]).toEqual(["rs64x1", 1_207_264, 1_204_512]);
    expect((2 * nets.macs(net)) / 1e6).toBeCloseTo(20.4, 1);
  });

  test("28 pixels shrink to 14, 7, 4, 2", () => {
    const shapes = nets.outputShapes(net);
    const ids = ["relu", "layer1.0.relu", "layer2.0.relu", "layer3.0.relu", "avgpool"];
    expect(ids.map((id) => shapes[id])).toEqual([[14, 14, 32], [7, 7, 64], [4, 4, 128], [2, 2, 256], [256]]);
  });

  test("MACs of one layer: positions times weights", () => {
    expect(nets.macsByLayer(net)["layer1.0.conv1.weight"]).toBe(7 * 7 * 3 * 3 * 32 * 64);
    expect(Object.keys(nets.macsByLayer(net))).toEqual([...net.prunable]);
  });

  test.each([
    [3, 1, /width must be an even integer, got 3/],
    [0, 1, /width must be an even integer, got 0/],
    [64, 0, /blocks must be a positive integer, got 0/],
    [64, 1.5, /blocks must be a positive integer, got 1.5/],
  ])("width %d, %d blocks is refused", (width, blocks, message) => {
    expect(() => nets.resnetSmall(width, blocks)).toThrow(message);
  });
});

describe("netByName", () => {
  test.each(["resnet18", "resnet50", "rs64x1", "rs16x2"])("%s", (name) => {
    expect(nets.netByName(name).name).toBe(name);
  });

  test.each(["resnet34", "rs64", "rs64x", "vh128", "", "xrs64x1"])("'%s' is refused", (name) => {
    expect(() => nets.netByName(name)).toThrow(`got '${name}'`);
  });
});

test.each(tinyNets)("shapes told from the definition are those of the forward pass: $name", ({ make }) => {
  const model = tinyModel(make());
  const shapes = nets.outputShapes(model.net);
  const values: Record<string, ReturnType<typeof tf.zeros>> = { x: tf.zeros([2, ...model.net.input]) };
  for (const node of model.net.nodes) {
    const params = Object.entries(node.params).map(([role, key]) => [role, model.params[key]!]);
    const inputs = node.inputs.map((id) => values[id]!);
    values[node.id] = layers.ruleOf(node).forward(inputs, Object.fromEntries(params), node.attributes);
    expect(values[node.id]!.shape, node.id).toEqual([2, ...shapes[node.id]!]);
  }
});

describe("initialise", () => {
  const net = nets.resnetSmall(16, 1);
  const params = nets.initialise(net, 3);
  const host = (key: string) => params[key]!.dataSync<"float32">();

  test("convolutions N(0, 2 / (kh kw out)); norms the identity", () => {
    const values = host("layer3.0.conv2.weight"); // 3 x 3 x 64 x 64
    const variance = values.reduce((sum, v) => sum + v * v, 0) / values.length;
    const expected = 2 / (9 * 64);
    expect(Math.abs(variance / expected - 1)).toBeLessThan(5 * Math.sqrt(2 / values.length)); // 5 standard errors
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(5 * Math.sqrt(expected / values.length));
    expect(["weight", "bias", "running_mean", "running_var"].map((role) => host(`bn1.${role}`)[7])).toEqual([
      1, 0, 0, 1,
    ]);
  });

  test("linear layers U(+-1 / sqrt(in)), biases 0", () => {
    const tiny = nets.initialise(everyLayer(), 0);
    const values = tiny["fc2.weight"]!.dataSync();
    expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(10));
    expect(Math.max(...values.map(Math.abs))).toBeGreaterThan(0.9 / Math.sqrt(10));
    expect(Array.from(tiny["fc1.bias"]!.dataSync())).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("in a net with embeddings linear weights and embeddings are N(0, .02^2) between -2 and 2 sd, convolutions as ever", () => {
    const vit = nets.initialise(nets.vitHybrid(64, 1), 0);
    const sdOf = (values: ArrayLike<number>) =>
      Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0) / values.length);
    const linear = vit["blocks.0.mlp.fc1.weight"]!.dataSync();
    // 0.8796: sd of a normal cut off at 2; 5 standard errors of 16,384 values, their fourth moment being 2.36
    expect(Math.abs(sdOf(linear) / 0.02 - 0.8796)).toBeLessThan((5 * 0.8796 * Math.sqrt(1.36 / linear.length)) / 2);
    for (const key of ["blocks.0.mlp.fc1.weight", "cls_token", "pos_embed"])
      expect(Math.max(...vit[key]!.dataSync().map(Math.abs)), key).toBeLessThanOrEqual(0.04 + 1e-9);
    expect(sdOf(vit.pos_embed!.dataSync())).toBeGreaterThan(0.015);
    expect(sdOf(vit["stem.conv3.weight"]!.dataSync())).toBeCloseTo(Math.sqrt(2 / (9 * 64)), 2);
    expect([...vit["blocks.0.attn.qkv.bias"]!.dataSync()].every((v) => v === 0)).toBe(true);

    const glorot = nets.initialise(nets.vitHybrid(64, 1), 0, { transformerLinear: "glorot" });
    // the same numbers on another scale: 64 inputs, 256 outputs
    const times = Math.sqrt(2 / (64 + 256)) / 0.02;
    glorot["blocks.0.mlp.fc1.weight"]!.dataSync().forEach((v, i) => {
      if (Math.abs(v - times * linear[i]!) > 1e-6) expect.fail(`${i}: ${v} is not ${times} x ${linear[i]}`);
    });
    expect(glorot.pos_embed!.dataSync()).toEqual(vit.pos_embed!.dataSync());
    expect(() => nets.initialise(net, 0, { transformerLinear: "he" as never })).toThrow(
      /transformerLinear must be '0\.02' or 'glorot', got 'he'/,
    );
    backend.tf.dispose([vit, glorot] as never);
  });

  test("the same seed gives the same numbers, another seed others, and every layer has its own", () => {
    const [again, other] = [nets.initialise(net, 3), nets.initialise(net, 4)];
    expect(again["conv1.weight"]!.dataSync()).toEqual(host("conv1.weight"));
    expect(other["conv1.weight"]!.dataSync()).not.toEqual(host("conv1.weight"));
    const same = host("layer2.0.conv2.weight").subarray(0, 9);
    expect(host("layer3.0.conv2.weight").subarray(0, 9)).not.toEqual(same);
  });
});

describe("models", () => {
  const model = tinyModel(everyLayer());

  test("prunableWeights are the model's own tensors in order of execution", () => {
    const weights = nets.prunableWeights(model);
    expect(Object.keys(weights)).toEqual(
      ["conv1", "conv2", "conv3", "down.0", "conv4", "fc1", "fc2"].map((id) => `${id}.weight`),
    );
    for (const [key, tensor] of Object.entries(weights)) expect(tensor).toBe(model.params[key]);
  });

  test("withParams replaces some parameters and shares the rest", () => {
    const replaced = tf.zeros([3]);
    const other = nets.withParams(model, { "conv1.bias": replaced });
    expect(other.params["conv1.bias"]).toBe(replaced);
    expect(other.params["conv1.weight"]).toBe(model.params["conv1.weight"]);
    expect(other.head).toBe(model.head);
    expect(model.params["conv1.bias"]).not.toBe(replaced);
  });

  test("withParams refuses unknown names and other shapes", () => {
    expect(() => nets.withParams(model, { conv1: tf.zeros([3]) })).toThrow(
      "withParams: every-layer has no parameter 'conv1'",
    );
    expect(() => nets.withParams(model, { "conv1.bias": tf.zeros([4]) })).toThrow("'conv1.bias' must be [3], got [4]");
  });
});

describe("NetBuilder", () => {
  const start = () => {
    const b = new nets.NetBuilder();
    b.conv2d("conv", "x", 1, 2, 3, 1);
    return b;
  };

  test("refuses an id twice, a parameter twice and an input that no earlier node makes", () => {
    expect(() => start().relu("conv", "x")).toThrow("net: the id 'conv' is taken");
    expect(() => start().relu("x", "conv")).toThrow("net: the id 'x' is taken");
    expect(() => start().conv2d("conv", "conv", 2, 2, 3, 1)).toThrow("'conv.weight' is there already");
    expect(() => start().relu("relu", "later")).toThrow("net: 'relu' reads 'later', which no earlier node makes");
  });

  test("only weights of convolutions and linear layers are prunable", () => {
    const { prunable, params } = everyLayer();
    const roles = Object.entries(params).filter(([key]) => prunable.includes(key));
    expect(new Set(roles.map(([, { role }]) => role))).toEqual(new Set(["convWeight", "linearWeight"]));
    expect(Object.values(params).filter(({ role }) => /Weight$/.test(role)).length).toBe(prunable.length);
  });
});
