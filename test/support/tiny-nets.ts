/** Nets small enough for brute force, and parameters and images for them from named streams. */
import { type Batch, backend, type Model, type Net, nets, type ParamSpec, type Tensor } from "secateur";

const { stream, tf } = backend;

/** Every layer kind but those of transformers; maps of 9x8, 5x4, 3x2 and 2x1 pixels, so that rows and columns cannot be confused. */
export function everyLayer(): Net {
  const b = new nets.NetBuilder();
  const stem = b.relu("relu", b.batchNorm("bn1", b.conv2d("conv1", "x", 2, 3, 3, 1, true), 3));
  const pooled = b.maxPool("maxpool", stem, 3, 2, 1);
  let main = b.gelu("act1", b.batchNorm("bn2", b.conv2d("conv2", pooled, 3, 4, 3, 2), 4));
  main = b.batchNorm("bn3", b.conv2d("conv3", main, 4, 4, 3, 1), 4);
  const side = b.batchNorm("down.1", b.conv2d("down.0", pooled, 3, 4, 1, 2), 4);
  const joined = b.relu("act2", b.add("add", main, side));
  const small = b.conv2d("conv4", b.avgPool("avgpool", joined, 3, 2, 1), 4, 5, 1, 1, true);
  const direct = b.linear("fc1", b.globalAvgPool("gap", small), 5, 6);
  const spread = b.linear("fc2", b.flatten("flat", b.gelu("act3", small)), 10, 6, false);
  b.gelu("act4", b.add("sum", direct, spread));
  return b.build("every-layer", [9, 8, 2], 6);
}

/** Residual, ReLU and max pooling only: piecewise linear in one layer's weights. */
export function reluResidual(): Net {
  const b = new nets.NetBuilder();
  const stem = b.relu("relu", b.batchNorm("bn1", b.conv2d("conv1", "x", 2, 3, 3, 2), 3));
  const pooled = b.maxPool("maxpool", stem, 3, 2, 1);
  let main = b.relu("0.relu", b.batchNorm("0.bn1", b.conv2d("0.conv1", pooled, 3, 4, 3, 1), 4));
  main = b.batchNorm("0.bn2", b.conv2d("0.conv2", main, 4, 4, 3, 1), 4);
  const side = b.batchNorm("0.down.1", b.conv2d("0.down.0", pooled, 3, 4, 1, 1), 4);
  const first = b.relu("0.out", b.add("0.add", main, side));
  main = b.relu("1.relu", b.batchNorm("1.bn1", b.conv2d("1.conv1", first, 4, 3, 3, 1), 3));
  main = b.batchNorm("1.bn2", b.conv2d("1.conv2", main, 3, 4, 3, 1), 4);
  b.linear("fc", b.globalAvgPool("gap", b.relu("1.out", b.add("1.add", main, first))), 4, 4);
  return b.build("relu-residual", [8, 7, 2], 4);
}

/** The smooth counterpart: its Hessian has terms that Gauss-Newton leaves out. */
export function geluNet(): Net {
  const b = new nets.NetBuilder();
  const stem = b.gelu("act1", b.conv2d("conv1", "x", 1, 3, 3, 2, true));
  const main = b.add("add", b.gelu("act2", b.conv2d("conv2", stem, 3, 3, 3, 1)), stem);
  b.gelu("act3", b.linear("fc", b.flatten("flat", main), 27, 4));
  return b.build("gelu", [5, 6, 1], 4);
}

/** A Vision Transformer of one block: two heads of 3, 2 x 3 patches. */
export function tinyViT(): Net {
  const b = new nets.NetBuilder();
  const patches = b.tokens("tokens", b.conv2d("patch_embed.proj", "x", 2, 6, 3, 3, true, 0));
  const input = b.classToken(patches, 6, 6);
  const qkv = b.linear("blocks.0.attn.qkv", b.layerNorm("blocks.0.norm1", input, 6), 6, 18);
  const mixed = b.linear("blocks.0.attn.proj", b.attention("blocks.0.attn", qkv, 2), 6, 6);
  const middle = b.add("blocks.0.add1", input, mixed);
  const hidden = b.linear("blocks.0.mlp.fc1", b.layerNorm("blocks.0.norm2", middle, 6), 6, 8);
  const out = b.linear("blocks.0.mlp.fc2", b.gelu("blocks.0.mlp.act", hidden), 8, 6);
  const last = b.add("blocks.0.add2", middle, out);
  b.takeClass("class", b.layerNorm("norm", last, 6));
  return b.build("tiny-vit", [6, 9, 2], 6);
}

export const tinyNets = [everyLayer, reluResidual, geluNet, tinyViT].map((make) => ({ name: make().name, make }));

/** Parameters that make every term count: norms with statistics of their own, biases not zero, some scales negative. */
export function tinyModel(net: Net, { classes = 3, seed = 1 } = {}): Model {
  const params = Object.fromEntries(
    Object.entries(net.params).map(([key, spec]) => [key, tinyParam(spec, stream(seed, net.name, key))]),
  );
  const numbers = stream(seed, net.name, "head");
  const weight = tf.tensor2d(
    Float32Array.from({ length: net.features * classes }, () => numbers.normal() / Math.sqrt(net.features)),
    [net.features, classes],
  );
  const bias = tf.tensor1d(Float32Array.from({ length: classes }, () => numbers.uniform(-0.5, 0.5)));
  return { net, params, head: { weight, bias } };
}

function tinyParam({ role, shape }: ParamSpec, numbers: backend.Stream): Tensor {
  const fanIn = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const draw: Record<ParamSpec["role"], () => number> = {
    convWeight: () => numbers.normal() * Math.sqrt(2 / fanIn),
    linearWeight: () => numbers.normal() * Math.sqrt(2 / fanIn),
    bias: () => numbers.uniform(-0.5, 0.5),
    normScale: () => numbers.uniform(0.5, 1.5) * (numbers.uniform() < 0.2 ? -1 : 1),
    normShift: () => numbers.uniform(-0.5, 0.5),
    normMean: () => 0.3 * numbers.normal(),
    normVariance: () => numbers.uniform(0.5, 2),
    embedding: () => numbers.normal(),
  };
  return tf.tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, draw[role]), shape as number[]);
}

/** n random images for the net, with random labels. */
export function tinyBatch(net: Net, { n = 3, classes = 3, seed = 2 } = {}): Batch {
  const x = randomTensor([n, ...net.input], seed, net.name, "images") as Batch["x"];
  const numbers = stream(seed, net.name, "labels");
  return { x, labels: Int32Array.from({ length: n }, () => numbers.integer(classes)) };
}

/** N(0, 1) entries from a named stream. */
export function randomTensor(shape: readonly number[], seed: number, ...name: (string | number)[]): Tensor {
  const numbers = stream(seed, ...name);
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => numbers.normal()),
    shape as number[],
  );
}
