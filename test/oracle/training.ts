/** Plain training loops for the net of support/tiny-training: tfjs's own gradients, arithmetic of the steps on host arrays. */
import {
  backend,
  datasets,
  type ImageSet,
  type Mask,
  type Model,
  type Tensor,
  type Tensor4D,
  type Tree,
  train,
} from "secateur";

const { stream, tf } = backend;

export type Host = Record<string, Float64Array>;

const EPSILON = 1e-5;

/** Features [n, 6]. With `seen`, norms take the batch's own statistics and leave mean and unbiased variance there. */
export function features(p: Tree, x: Tensor, seen?: Record<string, number[]>): Tensor {
  const norm = (t: Tensor, key: string): Tensor => {
    let [mean, variance]: Tensor[] = [p[`${key}.running_mean`]!, p[`${key}.running_var`]!];
    if (seen) {
      const axes = [0, 1, 2];
      mean = tf.mean(t, axes);
      variance = tf.mean(tf.square(tf.sub(t, mean)), axes);
      const count = t.size / t.shape[3]!;
      seen[`${key}.running_mean`] = [...mean.dataSync()];
      seen[`${key}.running_var`] = [...variance.dataSync()].map((v) => (v * count) / (count - 1));
    }
    const normal = tf.div(tf.sub(t, mean!), tf.sqrt(tf.add(variance!, EPSILON)));
    return tf.add(tf.mul(normal, p[`${key}.weight`]!), p[`${key}.bias`]!);
  };
  const conv = (t: Tensor, key: string, stride: number): Tensor =>
    tf.conv2d(t as Tensor4D, p[`${key}.weight`] as Tensor4D, stride, 1);
  const first = tf.relu(norm(tf.add(conv(x, "conv1", 1), p["conv1.bias"]!), "bn1"));
  return tf.mean(tf.relu(norm(conv(first, "conv2", 2), "bn2")), [1, 2]);
}

/** The loss and its gradient for the parameters with these keys. */
export function gradientOf(
  host: Host,
  shapes: Readonly<Record<string, readonly number[]>>,
  keys: readonly string[],
  loss: (p: Tree) => Tensor,
): { loss: number; gradient: Host } {
  const gradient: Host = {};
  let value = 0;
  tf.tidy(() => {
    const all = Object.fromEntries(
      Object.entries(host).map(([key, values]) => [key, tf.tensor(values as never, shapes[key] as number[])]),
    );
    const f = (...moving: Tensor[]): Tensor =>
      loss({ ...all, ...Object.fromEntries(moving.map((t, i) => [keys[i]!, t])) });
    const result = tf.valueAndGrads(f as never)(keys.map((key) => all[key]!));
    value = result.value.dataSync()[0]!;
    result.grads.forEach((g, i) => {
      gradient[keys[i]!] = Float64Array.from(g.dataSync());
    });
  });
  return { loss: value, gradient };
}

export const hostOf = (tree: Tree): Host =>
  Object.fromEntries(Object.entries(tree).map(([key, t]) => [key, Float64Array.from(t.dataSync())]));
export const shapesOf = (tree: Tree): Record<string, number[]> =>
  Object.fromEntries(Object.entries(tree).map(([key, t]) => [key, t.shape]));
export const isStatistic = (key: string): boolean => key.includes("running_");

/** v <- momentum v + g + decay w; w <- w - rate (v, or g + decay w + momentum v). */
export function step(w: Float64Array, v: Float64Array, g: Float64Array, rate: number, options: train.SgdOptions): void {
  for (let j = 0; j < w.length; j++) {
    const slope = g[j]! + options.weightDecay * w[j]!;
    v[j] = options.momentum * v[j]! + slope;
    w[j] = w[j]! - rate * (options.nesterov ? slope + options.momentum * v[j]! : v[j]!);
  }
}

interface Trained {
  readonly params: Host;
  readonly losses: readonly number[];
}

/** Squared error to one-hot targets, mean over images and classes; rate a tenth at 1/3, 2/3 and 8/9 of the steps. */
export function plainFinetune(
  model: Model,
  mask: Mask,
  set: ImageSet,
  options: { epochs: number; batchSize: number; rate: number; seed: number; momentum: number; weightDecay: number },
): Trained {
  const { x, labels } = datasets.toBatch(set);
  const shapes = shapesOf(model.params);
  const host = hostOf(model.params);
  const keys = Object.keys(host).filter((key) => !isStatistic(key));
  const velocity: Host = Object.fromEntries(keys.map((key) => [key, new Float64Array(host[key]!.length)]));
  const applyMask = (): void => {
    for (const [key, flags] of Object.entries(mask)) host[key] = host[key]!.map((w, j) => (flags[j] ? w : 0));
  };
  applyMask();
  const steps = Math.floor(labels.length / options.batchSize);
  const losses: number[] = [];
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    const order = [...stream(options.seed, "shuffle", epoch).permutation(labels.length)];
    let total = 0;
    for (let k = 0; k < steps; k++) {
      const chosen = order.slice(k * options.batchSize, (k + 1) * options.batchSize);
      const { loss, gradient } = gradientOf(host, shapes, keys, (p) => {
        const outputs = tf.add(
          tf.matMul(features(p, tf.gather(x, chosen)) as never, model.head!.weight),
          model.head!.bias,
        );
        const targets = chosen.map((i) => Array.from({ length: set.classes }, (_, c) => (c === labels[i] ? 1 : 0)));
        return tf.mean(tf.square(tf.sub(outputs, tf.tensor2d(targets))));
      });
      total += loss;
      const share = (epoch * steps + k) / (options.epochs * steps);
      const rate = options.rate * [1, 0.1, 0.01, 0.001][[1 / 3, 2 / 3, 8 / 9].filter((m) => share >= m).length]!;
      for (const key of keys) step(host[key]!, velocity[key]!, gradient[key]!, rate, options);
      applyMask();
    }
    losses.push(total / steps);
  }
  x.dispose();
  return { params: Object.fromEntries(keys.map((key) => [key, host[key]!])), losses };
}

/** AdamW as in the paper (Loshchilov and Hutter 2019, algorithm 2), k from 1. */
export function adamwStep(
  w: Float64Array,
  m: Float64Array,
  v: Float64Array,
  g: Float64Array,
  rate: number,
  weightDecay: number,
  k: number,
): void {
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
  for (let j = 0; j < w.length; j++) {
    m[j] = beta1 * m[j]! + (1 - beta1) * g[j]!;
    v[j] = beta2 * v[j]! + (1 - beta2) * g[j]! ** 2;
    const [mean, square] = [m[j]! / (1 - beta1 ** k), v[j]! / (1 - beta2 ** k)];
    w[j] = w[j]! - rate * (mean / (Math.sqrt(square) + epsilon)) - rate * weightDecay * w[j]!;
  }
}

/**
 * Softmax cross-entropy of a linear classifier on views; Nesterov or AdamW, cosine with warm-up, decay on matrices and
 * convolutions alone.
 */
export function plainPretraining(
  start: Tree,
  set: ImageSet,
  settings: train.PretrainSettings,
): Trained & { accuracy: number[] } {
  const { seed, epochs, batchSize } = settings;
  const [n, side] = set.shape;
  const shapes = shapesOf(start);
  const host = hostOf(start);
  const keys = Object.keys(host).filter((key) => !isStatistic(key));
  const zeros = (): Host => Object.fromEntries(keys.map((key) => [key, new Float64Array(host[key]!.length)]));
  const [velocity, square] = [zeros(), zeros()];
  const { levels, mean, std } = set.normalise;
  const steps = Math.floor(n / batchSize);
  const losses: number[] = [];
  const accuracy: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = [...stream(seed, "shuffle", epoch).permutation(n)];
    let [total, right] = [0, 0];
    for (let k = 0; k < steps; k++) {
      const chosen = order.slice(k * batchSize, (k + 1) * batchSize);
      const views = chosen.map((i) => {
        const image = Float32Array.from(
          set.pixels.subarray(i * side * side, (i + 1) * side * side),
          (p) => (p / levels - mean[0]!) / std[0]!,
        );
        const view = new Float32Array(side * side);
        train.affineView(image, side, stream(seed, "view", epoch, i), settings.views, view);
        return [...view];
      });
      const seen: Record<string, number[]> = {};
      const { loss, gradient } = gradientOf(host, shapes, keys, (p) => {
        const f = features(p, tf.tensor(views.flat(), [batchSize, side, side, 1]), seen);
        const logits = tf.add(tf.matMul(f as never, p["classifier.weight"] as never), p["classifier.bias"]!);
        const guesses = [...tf.argMax(logits, 1).dataSync()];
        right += guesses.filter((guess, i) => guess === set.labels[chosen[i]!]).length;
        const targets = chosen.map((i) => Array.from({ length: set.classes }, (_, c) => (c === set.labels[i] ? 1 : 0)));
        const probabilities = tf.sum(tf.mul(tf.softmax(logits as never), tf.tensor2d(targets)), 1);
        return tf.neg(tf.mean(tf.log(probabilities)));
      });
      total += loss;
      const share = (epoch * steps + k) / (epochs * steps);
      const warm = share < settings.warmup ? share / settings.warmup : 1;
      const rate = settings.rate * warm * Math.cos((Math.PI * share) / 2) ** 2;
      const norm = Math.hypot(...keys.map((key) => Math.hypot(...gradient[key]!)));
      const factor = settings.clip === undefined ? 1 : Math.min(1, settings.clip / (norm + 1e-6));
      for (const key of keys) {
        const weightDecay = shapes[key]!.length > 1 ? settings.weightDecay : 0;
        const cut = gradient[key]!.map((g) => factor * g);
        if (settings.optimiser === "adamw")
          adamwStep(host[key]!, velocity[key]!, square[key]!, cut, rate, weightDecay, epoch * steps + k + 1);
        else step(host[key]!, velocity[key]!, cut, rate, { momentum: settings.momentum, weightDecay, nesterov: true });
      }
      for (const [key, values] of Object.entries(seen))
        host[key] = host[key]!.map((old, c) => 0.9 * old + 0.1 * values[c]!);
    }
    losses.push(total / steps);
    accuracy.push((100 * right) / (steps * batchSize));
  }
  return { params: host, losses, accuracy };
}
