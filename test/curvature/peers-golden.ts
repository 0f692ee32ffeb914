/** What curvlinops, BackPACK and timm compute for two small nets (test/fixtures/peers, made by make.py), and the library's twins of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Batch, backend, checkpoints, type Model, type Net, nets, type Tree } from "secateur";

const { tf } = backend;

export type Numbers = readonly number[];
export type NumberTree = Readonly<Record<string, Numbers>>;

export const losses = ["mse", "crossEntropy"] as const;
export type LossName = (typeof losses)[number];

/** One loss's numbers; trees are over the prunable weights, in torch's layout. */
export interface PeerLoss {
  readonly loss: number;
  readonly gradient: NumberTree;
  readonly hessianProduct: NumberTree;
  readonly gnProduct: NumberTree;
  readonly gnDiagonal: NumberTree;
  readonly hessianDiagonal: NumberTree;
  readonly fisherDiagonal: NumberTree;
  readonly gnBlockProduct: NumberTree;
  readonly hessianBlockProduct: NumberTree;
  /** input covariance [K, K] of each layer, K in torch's order (in, kh, kw) */
  readonly kfacInput: NumberTree;
  /** output cotangent covariance [out, out] of each layer */
  readonly kfacOutput: NumberTree;
  /** (B x A) theta */
  readonly kfacProduct: NumberTree;
  /** of the whole matrix, ascending */
  readonly hessianEigenvalues: Numbers;
  readonly gnEigenvalues: Numbers;
}

interface Golden {
  readonly made_with: Readonly<Record<string, string>>;
  readonly sources: Readonly<Record<string, string>>;
  readonly input: Net["input"];
  readonly classes: number;
  readonly images: Numbers;
  readonly labels: Numbers;
  readonly shapes: NumberTree;
  readonly params: NumberTree;
  readonly v: NumberTree;
  readonly outputs: Numbers;
  readonly losses: Readonly<Record<LossName, PeerLoss>>;
}

/** Stem with stride 2, a residual block that shrinks, one that does not. */
function convNet(): Net {
  const b = new nets.NetBuilder();
  const block = (key: string, input: string, from: number, stride: number): string => {
    const first = b.relu(
      `${key}.relu1`,
      b.batchNorm(`${key}.bn1`, b.conv2d(`${key}.conv1`, input, from, 4, 3, stride), 4),
    );
    const main = b.batchNorm(`${key}.bn2`, b.conv2d(`${key}.conv2`, first, 4, 4, 3, 1), 4);
    const down = (): string => b.conv2d(`${key}.downsample.0`, input, from, 4, 1, stride);
    const side = stride === 1 ? input : b.batchNorm(`${key}.downsample.1`, down(), 4);
    return b.relu(`${key}.relu`, b.add(`${key}.add`, main, side));
  };
  const stem = b.relu("relu", b.batchNorm("bn1", b.conv2d("conv1", "x", 2, 3, 3, 2, true), 3));
  b.globalAvgPool("avgpool", block("layer1.1", block("layer1.0", stem, 3, 2), 4, 1));
  return b.build("peers-conv-net", [9, 7, 2], 4);
}

/** timm's VisionTransformer: 2 x 3 patches, dimension 6, 3 heads, 2 blocks, MLP of 18. */
function vit(): Net {
  const b = new nets.NetBuilder();
  const patches = b.conv2d("patch_embed.proj", "x", 2, 6, 3, 3, true, 0);
  let last = b.classToken(b.tokens("tokens", patches), 6, 6);
  for (const key of ["blocks.0", "blocks.1"]) {
    const qkv = b.linear(`${key}.attn.qkv`, b.layerNorm(`${key}.norm1`, last, 6), 6, 18);
    last = b.add(`${key}.add1`, last, b.linear(`${key}.attn.proj`, b.attention(`${key}.attn`, qkv, 3), 6, 6));
    const hidden = b.linear(`${key}.mlp.fc1`, b.layerNorm(`${key}.norm2`, last, 6), 6, 18);
    last = b.add(`${key}.add2`, last, b.linear(`${key}.mlp.fc2`, b.gelu(`${key}.mlp.act`, hidden), 18, 6));
  }
  b.takeClass("class", b.layerNorm("norm", last, 6));
  return b.build("peers-vit", [6, 9, 2], 6);
}

export const peerNets = [
  { name: "conv-net", make: convNet },
  { name: "vit", make: vit },
] as const;

export interface Subject {
  readonly golden: Golden;
  readonly model: Model;
  readonly data: Batch;
  /** a direction in the space of all prunable weights */
  readonly v: Tree;
}

/** Torch's numbers in the library's layout. */
export const inMemoryOrder = (net: Net, values: NumberTree): Record<string, Float64Array> =>
  Object.fromEntries(
    Object.entries(values).map(([key, list]) => [
      key,
      checkpoints.fromTorchLayout(net.params[key]!, Float64Array.from(list)),
    ]),
  );

export function loadPeers(name: (typeof peerNets)[number]["name"]): Subject {
  const golden: Golden = JSON.parse(readFileSync(join(__dirname, `../fixtures/peers/${name}.json`), "utf8"));
  const net = peerNets.find((entry) => entry.name === name)!.make();
  const tensors = (values: NumberTree, keys: readonly string[]): Tree =>
    Object.fromEntries(
      Object.entries(inMemoryOrder(net, Object.fromEntries(keys.map((key) => [key, values[key]!])))).map(
        ([key, list]) => [key, tf.tensor(Float32Array.from(list), [...net.params[key]!.shape])],
      ),
    );
  const { params } = golden;
  const head = {
    weight: tf.transpose(tf.tensor2d([...params["head.weight"]!], [golden.classes, net.features])),
    bias: tf.tensor1d([...params["head.bias"]!]),
  };
  const x = tf.tensor4d([...golden.images], [golden.labels.length, ...net.input]);
  return {
    golden,
    model: { net, params: tensors(params, Object.keys(net.params)), head },
    data: { x, labels: Int32Array.from(golden.labels) },
    v: tensors(golden.v, net.prunable),
  };
}
