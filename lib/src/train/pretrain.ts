/** Supervised pre-training of a backbone from scratch, resumable, with a validation curve. */
import { stream, tf } from "../backend";
import { forward, oneHot, vjp } from "../curvature";
import { initialise } from "../nets";
import { disposeTree, pickTree } from "../tree";
import type { ImageSet, Model, Net, Progress, Tensor, Tensor2D, Tree } from "../types";
import { cosineSchedule } from "./schedule";
import { checkSgd, learnable, sgdStep, zeros } from "./sgd";
import { loadState, netIdentity, saveState } from "./state-file";
import { affineView, checkViews, LIGHT_VIEWS, type ViewOptions } from "./views";

export interface PretrainSettings {
  readonly seed: number;
  readonly epochs: number;
  readonly batchSize: number;
  /** peak of the cosine schedule */
  readonly rate: number;
  /** share of training with linearly rising rate */
  readonly warmup: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly views: ViewOptions;
}

/** The recipe of the shipped supervised ResNets: SGD with Nesterov momentum, cross-entropy, light views. */
export const SUPERVISED_RESNET: Omit<PretrainSettings, "seed"> = {
  epochs: 14,
  batchSize: 128,
  rate: 0.2,
  warmup: 0.05,
  momentum: 0.9,
  weightDecay: 5e-4,
  views: LIGHT_VIEWS,
};

export interface PretrainEpoch {
  readonly epoch: number;
  /** cross-entropy, mean over the epoch's images, nats */
  readonly loss: number;
  /** share of the epoch's images classified right, percent */
  readonly trainAccuracy: number;
  readonly seconds: number;
  /** whatever `evaluate` returned */
  readonly evaluation: Readonly<Record<string, number>>;
}

export interface PretrainOptions {
  /** file that an interrupted run goes on from, to the same result; written after every epoch, for the caller to remove */
  readonly stateFile?: string;
  readonly progress?: Progress;
  /** called after every epoch with the backbone as it is (norms frozen); it must not dispose anything */
  readonly evaluate?: (model: Model, epoch: number) => Readonly<Record<string, number>>;
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
  const { seed, epochs, batchSize, momentum, weightDecay } = settings;
  const [n, side] = set.shape;
  if (set.shape.slice(1).join() !== [side, side, 1].join() || net.input.join() !== [side, side, 1].join())
    throw new RangeError(
      `${set.name}: views are made of square grey images of the net's size [${net.input}], got [${set.shape}]`,
    );
  if (!(Number.isInteger(epochs) && epochs >= 1))
    throw new RangeError(`epochs must be a positive integer, got ${epochs}`);
  if (!(Number.isInteger(batchSize) && batchSize >= 2 && batchSize <= n))
    throw new RangeError(`batchSize must be 2 to ${n}, got ${batchSize}`);
  if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be an integer, got ${seed}`);
  checkSgd(settings);
  checkViews(settings.views);
  const schedule = cosineSchedule(settings.rate, settings.warmup);
  const identity = { what: "pretrain-supervised", net: netIdentity(net), set: set.hash, ...settings };
  const keys = [...learnable(net), ...CLASSIFIER];
  const shapes: Record<string, readonly number[]> = {
    ...Object.fromEntries(Object.entries(net.params).map(([key, { shape }]) => [key, shape])),
    [CLASSIFIER[0]]: [net.features, set.classes],
    [CLASSIFIER[1]]: [set.classes],
  };
  const moving = Object.fromEntries(keys.map((key) => [key, shapes[key]!]));
  const resumed = options.stateFile
    ? loadState(options.stateFile, identity, { params: shapes, velocity: moving })
    : undefined;
  let params = resumed?.trees.params ?? {
    ...initialise(net, seed),
    ...initialClassifier(net.features, set.classes, seed),
  };
  let velocity = resumed?.trees.velocity ?? zeros(params, keys);
  const history = [...((resumed?.history ?? []) as PretrainEpoch[])];
  const images = normalised(set);
  const steps = Math.floor(n / batchSize);

  try {
    for (let epoch = resumed?.epoch ?? 0; epoch < epochs; epoch++) {
      const start = Date.now();
      const order = stream(seed, "shuffle", epoch).permutation(n);
      let loss = 0;
      let right = 0;
      for (let step = 0; step < steps; step++) {
        const done = epoch * steps + step;
        const index = order.subarray(step * batchSize, (step + 1) * batchSize);
        const result = classifierGradient(
          net,
          params,
          viewsOf(images, set, index, seed, epoch, settings.views),
          index.map((i) => set.labels[i]!),
          set.classes,
        );
        loss += result.loss;
        right += result.right;
        if (!Number.isFinite(result.loss)) {
          tf.dispose([result.gradient, result.running] as never);
          throw new Error(
            `pretrain: the loss is ${result.loss} in epoch ${epoch + 1}, step ${step + 1}: lower the rate`,
          );
        }
        const next = sgdStep({ params, velocity }, result.gradient, schedule(done / (epochs * steps)), {
          momentum,
          weightDecay,
          nesterov: true,
        });
        tf.dispose([params, velocity, result.gradient] as never);
        params = { ...next.params, ...result.running };
        velocity = next.velocity;
        await options.progress?.step(done + 1, `epoch ${epoch + 1}/${epochs}, loss ${(loss / (step + 1)).toFixed(3)}`);
      }
      const evaluation =
        options.evaluate?.({ net, params: pickTree(params, Object.keys(net.params)) }, epoch + 1) ?? {};
      history.push({
        epoch: epoch + 1,
        loss: loss / steps,
        trainAccuracy: (100 * right) / (steps * batchSize),
        seconds: (Date.now() - start) / 1000,
        evaluation,
      });
      if (options.stateFile)
        saveState(options.stateFile, identity, { epoch: epoch + 1, trees: { params, velocity }, history });
    }
  } catch (error) {
    tf.dispose([params, velocity] as never);
    throw error;
  }
  disposeTree(velocity);
  for (const key of CLASSIFIER) params[key]!.dispose();
  return { params: pickTree(params, Object.keys(net.params)), history };
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
