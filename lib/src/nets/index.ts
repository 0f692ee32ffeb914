/** A net is data: a list of named nodes with torchvision's (ResNet) or timm's (ViT) parameter names. */
import type { Model, Net, Tree } from "../types";
import { resnet18, resnet50, resnetSmall } from "./resnet";
import { vitBase16, vitHybrid, vitSmall16 } from "./vit";

export { NetBuilder } from "./builder";
export { macs, macsByLayer, outputShapes, parameterCount, prunableCount } from "./counts";
export { foldBatchNorm } from "./fold";
export { initialise, type TransformerLinear } from "./initialise";
export { resnet18, resnet50, resnetSmall } from "./resnet";
export { vitBase16, vitHybrid, vitSmall16 } from "./vit";

/**
 * The net with this name: "resnet18", "resnet50", "vits16", "vitb16", or one of the embedded ones: "rsWxB" (ResNet, width W, B blocks
 * a stage), "vhDxL" (ViT with a convolutional stem, dimension D, L blocks).
 */
export function netByName(name: string): Net {
  if (name === "resnet18") return resnet18();
  if (name === "resnet50") return resnet50();
  if (name === "vits16") return vitSmall16();
  if (name === "vitb16") return vitBase16();
  const hybrid = /^vh(\d+)x(\d+)$/.exec(name);
  if (hybrid) return vitHybrid(Number(hybrid[1]), Number(hybrid[2]));
  const small = /^rs(\d+)x(\d+)$/.exec(name);
  if (small) return resnetSmall(Number(small[1]), Number(small[2]));
  throw new RangeError(
    `net must be resnet18, resnet50, vits16, vitb16, rsWxB (for instance rs64x1) or vhDxL (vh128x4), got '${name}'`,
  );
}

/** The prunable weights of a model: the same tensors, not copies. */
export function prunableWeights(model: Model): Tree {
  return Object.fromEntries(model.net.prunable.map((key) => [key, model.params[key]!]));
}

/** The model with some parameters replaced; tensors are shared, nothing is copied. */
export function withParams(model: Model, params: Tree): Model {
  for (const [key, tensor] of Object.entries(params)) {
    const spec = model.net.params[key];
    if (spec === undefined) throw new Error(`withParams: ${model.net.name} has no parameter '${key}'`);
    if (spec.shape.join() !== tensor.shape.join())
      throw new Error(`withParams: '${key}' must be [${spec.shape}], got [${tensor.shape}]`);
  }
  return { ...model, params: { ...model.params, ...params } };
}
