/** Training runs of about a second: what a test and the process that it kills have in common. */
import {
  backend,
  datasets,
  type ImageSet,
  type Mask,
  type Model,
  type Net,
  nets,
  type Progress,
  train,
} from "secateur";
import { tinyModel } from "./tiny-nets";

const SIDE = 8;
const CLASSES = 3;

/** conv - norm - relu - conv - norm - relu - mean on 8 x 8 grey images. */
export function trainingNet(): Net {
  const b = new nets.NetBuilder();
  const stem = b.relu("relu1", b.batchNorm("bn1", b.conv2d("conv1", "x", 1, 4, 3, 1, true), 4));
  b.globalAvgPool("gap", b.relu("relu2", b.batchNorm("bn2", b.conv2d("conv2", stem, 4, 6, 3, 2), 6)));
  return b.build("tiny-training", [SIDE, SIDE, 1], 6);
}

/** Bars along the rows, along the columns, and dots, in noise: three classes in turn. */
export function barsAndDots(n = 24, seed = 1): ImageSet {
  const numbers = backend.stream(seed, "bars and dots");
  const drawn = [
    (row: number, _: number) => row % 3 === 0,
    (_: number, column: number) => column % 3 === 0,
    (row: number, column: number) => row % 3 === 0 && column % 3 === 0,
  ];
  const pixels = Uint8Array.from({ length: n * SIDE * SIDE }, (_, i) => {
    const image = Math.floor(i / SIDE ** 2);
    const [row, column] = [Math.floor(i / SIDE) % SIDE, i % SIDE];
    return (drawn[image % CLASSES]!(row, column) ? 10 : 0) + numbers.integer(6);
  });
  return datasets.imageSet({
    name: `bars/${seed}`,
    pixels,
    shape: [n, SIDE, SIDE, 1],
    labels: Array.from({ length: n }, (_, i) => i % CLASSES),
    classes: CLASSES,
    normalise: { levels: 15, mean: [0.5], std: [0.3] },
  });
}

/** Keeps about half of the weights. */
export function halfMask(net: Net, seed = 1): Mask {
  return Object.fromEntries(
    net.prunable.map((key) => {
      const numbers = backend.stream(seed, "half", key);
      const size = net.params[key]!.shape.reduce((a, b) => a * b, 1);
      return [key, Uint8Array.from({ length: size }, () => (numbers.uniform() < 0.5 ? 1 : 0))];
    }),
  );
}

export const trainingModel = (seed = 1): Model => tinyModel(trainingNet(), { classes: CLASSES, seed });

export const FINETUNE = { epochs: 4, batchSize: 8, rate: 0.2, seed: 5 } as const;

export const PRETRAIN: train.PretrainSettings & train.SgdSettings = {
  seed: 5,
  epochs: 4,
  batchSize: 8,
  rate: 0.1,
  warmup: 0.1,
  momentum: 0.9,
  weightDecay: 5e-4,
  views: train.LIGHT_VIEWS,
};

/** The optimiser of the ViT's recipe. */
export const PRETRAIN_ADAMW: train.PretrainSettings = {
  seed: 5,
  epochs: 4,
  batchSize: 8,
  rate: 0.02,
  warmup: 0.1,
  optimiser: "adamw",
  weightDecay: 0.05,
  clip: 0.5,
  views: train.LIGHT_VIEWS,
};

const SHAPES = 16;

/** Sixteen random patterns of 8 x 8; a view is one of them in noise of the strength asked for. */
export function patterns(seed = 1): train.ViewSource {
  const numbers = backend.stream(seed, "patterns");
  const levels = Float32Array.from({ length: SHAPES * SIDE * SIDE }, () => numbers.sign());
  return {
    name: "patterns",
    hash: `seed${seed}`,
    instances: SHAPES,
    side: SIDE,
    view(instance, strength, random, out) {
      for (let k = 0; k < out.length; k++) out[k] = levels[instance * out.length + k]! + strength * random.normal();
    },
  };
}

export const MOCO: train.MocoSettings & train.SgdSettings = {
  seed: 5,
  epochs: 4,
  stepsPerEpoch: 3,
  batchSize: 8,
  rate: 0.1,
  warmup: 0.1,
  momentum: 0.9,
  weightDecay: 5e-4,
  strength: { from: 0.1, to: 0.9, until: 0.6 },
  head: [5, 4],
  queue: 24,
  keyMomentum: 0.9,
  temperature: 0.2,
  normGroup: 4,
  leastSpread: 0.01,
};

export const DINO: train.DinoSettings & train.AdamWSettings = {
  seed: 5,
  epochs: 4,
  stepsPerEpoch: 3,
  batchSize: 8,
  rate: 0.02,
  warmup: 0.1,
  optimiser: "adamw",
  weightDecay: 0.05,
  clip: 0.5,
  strength: { from: 0.1, to: 0.9, until: 0.6 },
  head: [5, 4],
  prototypes: 6,
  frozenEpochs: 1,
  studentTemperature: 0.1,
  teacherTemperature: { from: 0.04, to: 0.07, until: 0.5 },
  centreMomentum: 0.9,
  teacherMomentum: { from: 0.9, to: 1 },
  leastInformation: 0.001,
};

/** Steps of all runs: 24 images in batches of 8. */
export const STEPS_AN_EPOCH = 3;

export interface Run {
  readonly params: Model["params"];
  readonly history: readonly { readonly epoch: number; readonly loss: number }[];
}

export type Job = (options: { stateFile?: string; progress?: Progress }) => Promise<Run>;

export const jobs: Readonly<Record<"finetune" | "pretrain" | "pretrainAdamW" | "moco" | "dino", Job>> = {
  async finetune(options) {
    const model = trainingModel();
    try {
      return await train.finetune(model, halfMask(model.net), barsAndDots(), { ...FINETUNE, ...options });
    } finally {
      backend.tf.dispose([model.params, model.head] as never);
    }
  },
  pretrain: (options) => train.pretrainSupervised(trainingNet(), barsAndDots(), PRETRAIN, options),
  pretrainAdamW: (options) => train.pretrainSupervised(trainingNet(), barsAndDots(), PRETRAIN_ADAMW, options),
  moco: (options) => train.pretrainMoco(trainingNet(), patterns(), MOCO, options),
  dino: (options) => train.pretrainDino(trainingNet(), patterns(), DINO, options),
};
