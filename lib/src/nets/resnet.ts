/** Residual nets with torchvision's key names (convN, bnN, layerS.B.*, downsample.0/1), without the classifier. */
import type { Net } from "../types";
import { NetBuilder } from "./builder";

type Block = (b: NetBuilder, key: string, input: string, inChannels: number, width: number, stride: number) => string;

/** conv 3x3 - conv 3x3, and a 1x1 convolution on the shortcut where the shape changes. */
const basicBlock: Block = (b, key, input, inChannels, width, stride) => {
  let main = b.conv2d(`${key}.conv1`, input, inChannels, width, 3, stride);
  main = b.relu(`${key}.relu1`, b.batchNorm(`${key}.bn1`, main, width));
  main = b.batchNorm(`${key}.bn2`, b.conv2d(`${key}.conv2`, main, width, width, 3, 1), width);
  return joined(b, key, main, shortcut(b, key, input, inChannels, width, stride));
};

/** conv 1x1 - conv 3x3 (the stride is here) - conv 1x1 to four times the width. */
const bottleneck: Block = (b, key, input, inChannels, width, stride) => {
  let main = b.relu(
    `${key}.relu1`,
    b.batchNorm(`${key}.bn1`, b.conv2d(`${key}.conv1`, input, inChannels, width, 1, 1), width),
  );
  main = b.relu(
    `${key}.relu2`,
    b.batchNorm(`${key}.bn2`, b.conv2d(`${key}.conv2`, main, width, width, 3, stride), width),
  );
  main = b.batchNorm(`${key}.bn3`, b.conv2d(`${key}.conv3`, main, width, 4 * width, 1, 1), 4 * width);
  return joined(b, key, main, shortcut(b, key, input, inChannels, 4 * width, stride));
};

function shortcut(
  b: NetBuilder,
  key: string,
  input: string,
  inChannels: number,
  outChannels: number,
  stride: number,
): string {
  if (stride === 1 && inChannels === outChannels) return input;
  return b.batchNorm(
    `${key}.downsample.1`,
    b.conv2d(`${key}.downsample.0`, input, inChannels, outChannels, 1, stride),
    outChannels,
  );
}

const joined = (b: NetBuilder, key: string, main: string, side: string): string =>
  b.relu(`${key}.relu`, b.add(`${key}.add`, main, side));

interface Stage {
  readonly width: number;
  readonly blocks: number;
  readonly stride: number;
}

function stages(
  b: NetBuilder,
  input: string,
  inChannels: number,
  block: Block,
  expansion: number,
  list: readonly Stage[],
): string {
  let channels = inChannels;
  let last = input;
  list.forEach(({ width, blocks, stride }, s) => {
    for (let i = 0; i < blocks; i++) {
      last = block(b, `layer${s + 1}.${i}`, last, channels, width, i === 0 ? stride : 1);
      channels = width * expansion;
    }
  });
  return b.globalAvgPool("avgpool", last);
}

function imageNetResNet(
  name: string,
  block: Block,
  expansion: number,
  blocks: readonly number[],
  input: readonly [number, number, number],
): Net {
  const b = new NetBuilder();
  const stem = b.relu("relu", b.batchNorm("bn1", b.conv2d("conv1", "x", input[2], 64, 7, 2), 64));
  const pooled = b.maxPool("maxpool", stem, 3, 2, 1);
  stages(
    b,
    pooled,
    64,
    block,
    expansion,
    blocks.map((n, s) => ({ width: 64 << s, blocks: n, stride: s === 0 ? 1 : 2 })),
  );
  return b.build(name, input, 512 * expansion);
}

/** torchvision's resnet18 backbone: 512 features. */
export const resnet18 = (input: readonly [number, number, number] = [224, 224, 3]): Net =>
  imageNetResNet("resnet18", basicBlock, 1, [2, 2, 2, 2], input);

/** torchvision's resnet50 backbone: 2048 features. */
export const resnet50 = (input: readonly [number, number, number] = [224, 224, 3]): Net =>
  imageNetResNet("resnet50", bottleneck, 4, [3, 4, 6, 3], input);

/**
 * The embedded default for 28 x 28 grey images: a 3x3 stem of width / 2 at stride 2, then three stages of `blocks` basic
 * blocks at stride 2 with width, 2 width and 4 width channels. rs64x1 (width 64, 1 block): 1,207,264 parameters.
 */
export function resnetSmall(width = 64, blocks = 1): Net {
  if (!(Number.isInteger(width) && width >= 2 && width % 2 === 0))
    throw new RangeError(`width must be an even integer, got ${width}`);
  if (!(Number.isInteger(blocks) && blocks >= 1))
    throw new RangeError(`blocks must be a positive integer, got ${blocks}`);
  const b = new NetBuilder();
  const stem = b.relu("relu", b.batchNorm("bn1", b.conv2d("conv1", "x", 1, width / 2, 3, 2), width / 2));
  stages(
    b,
    stem,
    width / 2,
    basicBlock,
    1,
    [0, 1, 2].map((s) => ({ width: width << s, blocks, stride: 2 })),
  );
  return b.build(`rs${width}x${blocks}`, [28, 28, 1], width * 4);
}
