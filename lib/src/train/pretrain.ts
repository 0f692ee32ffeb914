/** Supervised pre-training of a backbone from scratch, resumable, with a validation curve. */
import { stream, tf } from "../backend";
import { forward, oneHot, vjp } from "../curvature";
import { initialise } from "../nets";
import type { ImageSet, Net, Tensor, Tensor2D, Tree } from "../types";
import { checkRecipe, type EpochRecord, type PretrainOptions, type TrainingRecipe, trainLoop } from "./loop";
import type { AdamWSettings, SgdSettings } from "./optimiser";
import { affineView, checkViews, LIGHT_VIEWS, type ViewOptions } from "./views";

export type PretrainRecipe = TrainingRecipe & { readonly views: ViewOptions };
export type PretrainSettings = PretrainRecipe & { readonly seed: number };

/** The recipe of the shipped supervised ResNets: SGD with Nesterov momentum, cross-entropy, light views. */
export const SUPERVISED_RESNET: PretrainRecipe & SgdSettings = {
  epochs: 14,
  batchSize: 128,
  rate: 0.2,
  warmup: 0.05,
  momentum: 0.9,
  weightDecay: 5e-4,
  views: LIGHT_VIEWS,
};

/** The recipe of the shipped supervised ViT: AdamW, gradients cut to length 3, cross-entropy, light views. */
export const SUPERVISED_VIT: PretrainRecipe & AdamWSettings = {
  epochs: 20,
  batchSize: 128,
  rate: 1e-3,
  warmup: 0.05,
  optimiser: "adamw",
  weightDecay: 0.05,
  clip: 3,
  views: LIGHT_VIEWS,
};

export interface PretrainEpoch extends EpochRecord {
  /** share of the epoch's images classified right, percent */
  readonly trainAccuracy: number;
}

export interface PretrainResult {
  /** every parameter of the net, running statistics included; belongs to the caller */
  readonly params: Tree;
  readonly history: readonly PretrainEpoch[];
}

const CLASSIFIER = ["classifier.weight", "classifier.bias"] as const;

/**
 * Trains net + a linear classifier on the set's classes with softmax cross-entropy; the classifier is dropped at the end.
 * The same settings give the same order, views and initial weights; a run that was killed goes on from its last epoch.
 * @param set square grey images of the net's size
 * @throws RangeError for settings out of range; Error when the state file is damaged or of other settings, net or images;
 * Error when the loss is not finite
 */
export async function pretrainSupervised(
  net: Net,
  set: ImageSet,
  settings: PretrainSettings,
  options: PretrainOptions = {},
): Promise<PretrainResult> {
  const { seed, batchSize } = settings;
  const [n, side] = set.shape;
  if (set.shape.slice(1).join() !== [side, side, 1].join() || net.input.join() !== [side, side, 1].join())
    throw new RangeError(
      `${set.name}: views are made of square grey images of the net's size [${net.input}], got [${set.shape}]`,
    );
  checkRecipe(settings, seed, n);
  checkViews(settings.views);
  const images = normalised(set);
  const stepsPerEpoch = Math.floor(n / batchSize);
  return trainLoop(
    {
      net,
      identity: { what: "pretrain-supervised", set: set.hash, ...settings },
      start: () => ({
        params: { ...initialise(net, seed, settings), ...initialClassifier(net.features, set.classes, seed) },
      }),
      backbone: "params",
      stepsPerEpoch,
      epoch(epoch) {
        const order = stream(seed, "shuffle", epoch).permutation(n);
        return ({ params }, { step }) => {
          const index = order.subarray(step * batchSize, (step + 1) * batchSize);
          const { loss, right, gradient, running } = classifierGradient(
            net,
            params!,
            viewsOf(images, set, index, seed, epoch, settings.views),
            index.map((i) => set.labels[i]!),
            set.classes,
          );
          return { loss, gradient, replaced: { params: running }, counts: { right } };
        };
      },
      summary: ({ right }) => ({ trainAccuracy: (100 * right!) / (stepsPerEpoch * batchSize) }),
    },
    settings,
    options,
  );
}

interface Step {
  readonly loss: number;
  readonly right: number;
  readonly gradient: Tree;
  readonly running: Tree;
}

/** Loss (mean over the batch), gradients of backbone and classifier, and moved running statistics. */
function classifierGradient(net: Net, params: Tree, x: Tensor, labels: Int32Array, classes: number): Step {
  let loss = 0;
  let right = 0;
  const kept = tf.tidy(() => {
    const [weight, bias] = CLASSIFIER.map((key) => params[key]!) as [Tensor, Tensor];
    const trace = forward({ net, params }, x, { training: true });
    const logits = tf.add(tf.matMul(trace.features, weight as Tensor2D), bias);
    const targets = oneHot(labels, classes);
    const logProbabilities = tf.logSoftmax(logits);
    loss = -tf.sum(tf.mul(targets, logProbabilities)).dataSync()[0]! / labels.length;
    right = tf.sum(tf.equal(tf.argMax(logits, 1), tf.tensor1d(labels, "int32"))).dataSync()[0]!;
    const dlogits = tf.div(tf.sub(tf.exp(logProbabilities), targets), labels.length) as Tensor2D;
    const gradient = vjp(trace, tf.matMul(dlogits, weight as Tensor2D, false, true));
    return {
      gradient: {
        ...gradient,
        [CLASSIFIER[0]]: tf.matMul(trace.features, dlogits, true),
        [CLASSIFIER[1]]: tf.sum(dlogits, 0),
      },
      running: trace.running,
    } as never;
  }) as unknown as { gradient: Tree; running: Tree };
  x.dispose();
  return { loss, right, ...kept };
}

function initialClassifier(features: number, classes: number, seed: number): Tree {
  const numbers = stream(seed, "initialise", "classifier");
  const bound = 1 / Math.sqrt(features);
  const values = Float32Array.from({ length: features * classes }, () => numbers.uniform(-bound, bound));
  return { [CLASSIFIER[0]]: tf.tensor2d(values, [features, classes]), [CLASSIFIER[1]]: tf.zeros([classes]) };
}

function normalised({ pixels, normalise }: ImageSet): Float32Array {
  const [mean, std] = [normalise.mean[0]!, normalise.std[0]!];
  return Float32Array.from(pixels, (p) => (p / normalise.levels - mean) / std);
}

/** One view of each image, [index.length, side, side, 1]. */
function viewsOf(
  images: Float32Array,
  { shape }: ImageSet,
  index: Int32Array,
  seed: number,
  epoch: number,
  options: ViewOptions,
): Tensor {
  const side = shape[1];
  const size = side * side;
  const out = new Float32Array(index.length * size);
  index.forEach((image, i) => {
    affineView(
      images.subarray(image * size, (image + 1) * size),
      side,
      stream(seed, "view", epoch, image),
      options,
      out.subarray(i * size, (i + 1) * size),
    );
  });
  return tf.tensor4d(out, [index.length, side, side, 1]);
}
