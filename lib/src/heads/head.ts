import { tf } from "../backend";
import { paramsHash } from "../checkpoints";
import { predict } from "../curvature";
import { batches } from "../datasets";
import type { Head, ImageSet, Model, Tensor2D } from "../types";
import { fitRidge, type RidgeFit } from "./ridge";

export interface StreamOptions {
  /** images on the device at a time; default 100 */
  readonly batchSize?: number;
}

/** Heads already fitted, by backbone, image set and alpha; an ordinary Map on the host, so it owns no tensors. */
export type HeadCache = Map<string, RidgeFit>;

export interface FitHeadOptions extends StreamOptions {
  /** penalty of `fitRidge`; default 1 */
  readonly alpha?: number;
  readonly cache?: HeadCache;
}

/** The fit as tensors; the caller disposes them. */
export function headOf({ weight, bias, features, classes }: RidgeFit): Head {
  return {
    weight: tf.tensor2d(new Float32Array(weight), [features, classes]),
    bias: tf.tensor1d(new Float32Array(bias)),
  };
}

/**
 * Features of the net for every image of the set (a head is not used), [n, features] on the host; streamed, nothing is left
 * on the device.
 */
export function featuresOf({ net, params }: Model, set: ImageSet, options: StreamOptions = {}): Float32Array {
  const features = new Float32Array(set.shape[0] * net.features);
  stream({ net, params }, set, options, (values, from) => features.set(values, from * net.features));
  return features;
}

/**
 * The ridge head of a task, fitted on features of this backbone: fit it on the clean one, then put it on the pruned one.
 * @returns tensors that the caller disposes, also when the fit comes out of the cache
 */
export function fitHead(model: Model, set: ImageSet, options: FitHeadOptions = {}): Head {
  const { alpha = 1, cache, ...streaming } = options;
  const fit = (): RidgeFit => fitRidge(featuresOf(model, set, streaming), set.labels, { classes: set.classes, alpha });
  if (cache === undefined) return headOf(fit());
  const key = `${model.net.name} ${paramsHash(model.net, model.params)} ${set.hash} alpha=${alpha}`;
  if (!cache.has(key)) cache.set(key, fit());
  return headOf(cache.get(key)!);
}

/**
 * Percent of images whose highest output is that of their label; of equal outputs the first counts.
 * @param outputs [n, classes]
 * @throws RangeError for an output that is not finite, naming image and class
 */
export function accuracy(outputs: Float32Array | Float64Array | Tensor2D, labels: ArrayLike<number>): number {
  const values = "dataSync" in outputs ? outputs.dataSync<"float32">() : outputs;
  if (labels.length === 0 || values.length % labels.length !== 0)
    throw new RangeError(`outputs must be [n, classes] for ${labels.length} labels, got ${values.length} values`);
  return (100 * countCorrect(values, labels)) / labels.length;
}

/**
 * Accuracy in percent of a model with a head on a set; streamed, nothing is left on the device.
 * @throws Error when the model has no head, or one for another number of classes
 */
export function accuracyOf(model: Model, set: ImageSet, options: StreamOptions = {}): number {
  const classes = model.head?.bias.shape[0];
  if (classes !== set.classes)
    throw new Error(
      `accuracyOf: ${set.name} has ${set.classes} classes, the model's head has ${classes ?? "none (no head)"}`,
    );
  let correct = 0;
  stream(model, set, options, (outputs, from) => {
    correct += countCorrect(outputs, set.labels.subarray(from, from + outputs.length / classes), from);
  });
  return (100 * correct) / set.shape[0];
}

function stream(
  model: Model,
  set: ImageSet,
  { batchSize = 100 }: StreamOptions,
  use: (outputs: Float32Array, firstImage: number) => void,
): void {
  let from = 0;
  for (const { x, labels } of batches(set, batchSize)) {
    try {
      tf.tidy(() => use(predict(model, x).dataSync<"float32">(), from));
    } finally {
      x.dispose();
    }
    from += labels.length;
  }
}

function countCorrect(outputs: Float32Array | Float64Array, labels: ArrayLike<number>, firstImage = 0): number {
  const classes = outputs.length / labels.length;
  let correct = 0;
  for (let i = 0; i < labels.length; i++) {
    let best = 0;
    for (let c = 0; c < classes; c++) {
      const output = outputs[i * classes + c]!;
      if (!Number.isFinite(output))
        throw new RangeError(`outputs must be finite, got ${output} at image ${firstImage + i}, class ${c}`);
      if (output > outputs[i * classes + best]!) best = c;
    }
    if (best === labels[i]) correct++;
  }
  return correct;
}
