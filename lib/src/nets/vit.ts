/** Vision Transformers with timm's (and DINO's) key names, pre-norm, class token, without the classifier. */
import type { Net } from "../types";
import { NetBuilder } from "./builder";

/** `depth` blocks [norm - attention - add, norm - MLP of 4 dim with GELU - add], the last norm, the class token. */
function encoder(b: NetBuilder, input: string, tokens: number, dim: number, depth: number, heads: number): string {
  let last = b.classToken(input, tokens, dim);
  for (let i = 0; i < depth; i++) {
    const key = `blocks.${i}`;
    const qkv = b.linear(`${key}.attn.qkv`, b.layerNorm(`${key}.norm1`, last, dim), dim, 3 * dim);
    const mixed = b.linear(`${key}.attn.proj`, b.attention(`${key}.attn`, qkv, heads), dim, dim);
    last = b.add(`${key}.add1`, last, mixed);
    const hidden = b.linear(`${key}.mlp.fc1`, b.layerNorm(`${key}.norm2`, last, dim), dim, 4 * dim);
    const out = b.linear(`${key}.mlp.fc2`, b.gelu(`${key}.mlp.act`, hidden), 4 * dim, dim);
    last = b.add(`${key}.add2`, last, out);
  }
  return b.takeClass("class", b.layerNorm("norm", last, dim));
}

function patchTransformer(
  name: string,
  [height, width, channels]: readonly [number, number, number],
  patch: number,
  dim: number,
  depth: number,
  heads: number,
): Net {
  if (height % patch !== 0 || width % patch !== 0)
    throw new RangeError(`${name}: height and width must be multiples of ${patch}, got ${height} and ${width}`);
  const b = new NetBuilder();
  const patches = b.conv2d("patch_embed.proj", "x", channels, dim, patch, patch, true, 0);
  encoder(b, b.tokens("tokens", patches), (height / patch) * (width / patch), dim, depth, heads);
  return b.build(name, [height, width, channels], dim);
}

/** ViT-S/16: 384 features, 12 blocks, 6 heads. */
export const vitSmall16 = (input: readonly [number, number, number] = [224, 224, 3]): Net =>
  patchTransformer("vits16", input, 16, 384, 12, 6);

/** ViT-B/16: 768 features, 12 blocks, 12 heads. */
export const vitBase16 = (input: readonly [number, number, number] = [224, 224, 3]): Net =>
  patchTransformer("vitb16", input, 16, 768, 12, 12);

/**
 * The embedded ViT for 28 x 28 grey images, with a convolutional stem: three 3x3 convolutions at stride 2 to dim / 4, dim / 2 and dim
 * channels with GELU between them make 4 x 4 tokens; heads of 32. vh128x4 (dimension 128, 4 blocks): 888,320 parameters.
 */
export function vitHybrid(dim = 128, depth = 4): Net {
  if (!(Number.isInteger(dim) && dim >= 32 && dim % 32 === 0))
    throw new RangeError(`dim must be a multiple of 32, got ${dim}`);
  if (!(Number.isInteger(depth) && depth >= 1)) throw new RangeError(`depth must be a positive integer, got ${depth}`);
  const b = new NetBuilder();
  let last = b.gelu("stem.act1", b.conv2d("stem.conv1", "x", 1, dim / 4, 3, 2, true));
  last = b.gelu("stem.act2", b.conv2d("stem.conv2", last, dim / 4, dim / 2, 3, 2, true));
  last = b.tokens("tokens", b.conv2d("stem.conv3", last, dim / 2, dim, 3, 2, true));
  encoder(b, last, 16, dim, depth, dim / 32);
  return b.build(`vh${dim}x${depth}`, [28, 28, 1], dim);
}
