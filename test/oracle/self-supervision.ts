/** Plain loops of MoCo and DINO for the net of support/tiny-training: tfjs's own gradients, everything else on host arrays. */
import { backend, type Tensor, type Tree, type train } from "secateur";
import { adamwStep, features, gradientOf, type Host, hostOf, isStatistic, shapesOf, step } from "./training";

const { stream, tf } = backend;

interface Run {
  readonly params: Host;
  readonly losses: readonly number[];
}

/** Views of a step as the library draws them: [first, second], each a list of images. */
function views(
  source: train.ViewSource,
  settings: train.MocoSettings | train.DinoSettings,
  epoch: number,
  k: number,
): [number[][], number[][]] {
  const { seed, epochs, stepsPerEpoch, batchSize, strength } = settings;
  const order: number[] = [];
  for (let round = 0; order.length < stepsPerEpoch * batchSize; round++)
    order.push(...stream(seed, "shuffle", epoch, round).permutation(source.instances));
  const share = (epoch * stepsPerEpoch + k) / (epochs * stepsPerEpoch);
  const now = strength.from + (strength.to - strength.from) * Math.min(1, share / strength.until);
  const side = (which: number) =>
    Array.from({ length: batchSize }, (_, i) => {
      const place = k * batchSize + i;
      const out = new Float32Array(source.side ** 2);
      source.view(order[place]!, now, stream(seed, "view", epoch, place, which), out);
      return [...out];
    });
  return [side(0), side(1)];
}

const images = (list: readonly number[][], side: number): Tensor =>
  tf.tensor(list.flat(), [list.length, side, side, 1]);
const unit = (t: Tensor): Tensor => tf.div(t, tf.sqrt(tf.sum(tf.square(t), -1, true)));

/** Two linear layers, `between` between them. */
const head = (p: Tree, f: Tensor, between: (t: Tensor) => Tensor): Tensor => {
  const layer = (t: Tensor, i: number): Tensor =>
    tf.add(tf.matMul(t as never, p[`head.${i}.weight`] as never), p[`head.${i}.bias`]!);
  return layer(between(layer(f, 0)), 1);
};
const gelu = (t: Tensor): Tensor => tf.mul(tf.mul(t, 0.5), tf.add(1, tf.erf(tf.mul(t, Math.SQRT1_2))));

const rateAt = ({ rate, warmup }: train.TrainingRecipe, share: number): number =>
  rate * Math.min(1, share / warmup) * Math.cos((Math.PI * share) / 2) ** 2;

const average = (slow: Host, fast: Host, momentum: number): void => {
  for (const [key, values] of Object.entries(slow))
    slow[key] = values.map((old, j) => momentum * old + (1 - momentum) * fast[key]![j]!);
};

const moveStatistics = (host: Host, seen: Record<string, number[]>): void => {
  for (const [key, values] of Object.entries(seen))
    host[key] = host[key]!.map((old, c) => 0.9 * old + 0.1 * values[c]!);
};

const tensorsOf = (host: Host, shapes: Record<string, number[]>): Tree =>
  Object.fromEntries(Object.entries(host).map(([key, values]) => [key, tf.tensor(values as never, shapes[key]!)]));

/** Two encoders, the second an average of the first; keys of groups of images in random order; a list of old keys. */
export function plainMoco(
  start: Tree,
  queue: Tensor,
  source: train.ViewSource,
  settings: train.MocoSettings & train.SgdSettings,
): Run {
  const { seed, epochs, stepsPerEpoch, batchSize, normGroup, temperature } = settings;
  const shapes = shapesOf(start);
  const host = hostOf(start);
  const keys = Object.keys(host).filter((key) => !isStatistic(key));
  const slow: Host = Object.fromEntries(keys.map((key) => [key, host[key]!.slice()]));
  const velocity: Host = Object.fromEntries(keys.map((key) => [key, new Float64Array(host[key]!.length)]));
  const old = queue.arraySync() as number[][];
  const losses: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    let total = 0;
    for (let k = 0; k < stepsPerEpoch; k++) {
      const done = epoch * stepsPerEpoch + k;
      const share = done / (epochs * stepsPerEpoch);
      const [first, second] = views(source, settings, epoch, k);
      average(slow, host, settings.keyMomentum);
      const order = [...stream(seed, "groups", epoch, k).permutation(batchSize)];
      const own: number[][] = [];
      tf.tidy(() => {
        const p = tensorsOf({ ...host, ...slow }, shapes);
        for (let from = 0; from < batchSize; from += normGroup) {
          const chosen = order.slice(from, from + normGroup);
          const x = images(
            chosen.map((i) => second[i]!),
            source.side,
          );
          const rows = unit(head(p, features(p, x, {}), tf.relu)).arraySync() as number[][];
          for (const [j, i] of chosen.entries()) own[i] = rows[j]!;
        }
      });
      const seen: Record<string, number[]> = {};
      const { loss, gradient } = gradientOf(host, shapes, keys, (p) => {
        const q = unit(head(p, features(p, images(first, source.side), seen), tf.relu));
        const near = tf.exp(tf.div(tf.sum(tf.mul(q, tf.tensor2d(own)), 1), temperature));
        const far = tf.exp(tf.div(tf.matMul(q as never, tf.tensor2d(old), false, true), temperature));
        return tf.neg(tf.mean(tf.log(tf.div(near, tf.add(near, tf.sum(far, 1))))));
      });
      total += loss;
      for (const key of keys)
        step(host[key]!, velocity[key]!, gradient[key]!, rateAt(settings, share), {
          momentum: settings.momentum,
          weightDecay: shapes[key]!.length > 1 ? settings.weightDecay : 0,
          nesterov: true,
        });
      moveStatistics(host, seen);
      for (const [i, row] of own.entries()) old[(done * batchSize + i) % settings.queue] = row;
    }
    losses.push(total / stepsPerEpoch);
  }
  return { params: host, losses };
}

/** A student and its average; AdamW, gradients cut together; the last layer waits for the frozen epochs. */
export function plainDino(
  start: Tree,
  source: train.ViewSource,
  settings: train.DinoSettings & train.AdamWSettings,
): Run {
  const { epochs, stepsPerEpoch, batchSize, frozenEpochs, studentTemperature, teacherTemperature } = settings;
  const last = "prototypes.weight";
  const shapes = shapesOf(start);
  const host = hostOf(start);
  const keys = Object.keys(host).filter((key) => !isStatistic(key));
  const zeros = (): Host => Object.fromEntries(keys.map((key) => [key, new Float64Array(host[key]!.length)]));
  const [mean, square] = [zeros(), zeros()];
  const slow: Host = Object.fromEntries(keys.map((key) => [key, host[key]!.slice()]));
  const slowStatistics: Host = Object.fromEntries(
    Object.keys(host)
      .filter(isStatistic)
      .map((key) => [key, host[key]!.slice()]),
  );
  let centre = Array.from({ length: settings.prototypes }, () => 0);
  const outputs = (p: Tree, x: Tensor, seen: Record<string, number[]>): Tensor =>
    tf.matMul(unit(head(p, features(p, x, seen), gelu)) as never, unit(p[last]!) as never, false, true);
  const losses: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    let total = 0;
    for (let k = 0; k < stepsPerEpoch; k++) {
      const done = epoch * stepsPerEpoch + k;
      const share = done / (epochs * stepsPerEpoch);
      const both = views(source, settings, epoch, k).flat();
      const { from, to } = settings.teacherMomentum;
      average(slow, host, from + (to - from) * Math.sin((Math.PI * share) / 2) ** 2);
      const ramp = Math.min(1, share / teacherTemperature.until);
      const sharp = teacherTemperature.from + (teacherTemperature.to - teacherTemperature.from) * ramp;
      const taught: Record<string, number[]> = {};
      let targets: number[][] = [];
      tf.tidy(() => {
        const p = tensorsOf({ ...host, ...slow }, shapes);
        const told = outputs(p, images(both, source.side), taught);
        targets = tf.softmax(tf.div(tf.sub(told, tf.tensor1d(centre)), sharp)).arraySync() as number[][];
        const now = tf.mean(told, 0).arraySync() as number[];
        centre = centre.map((c, j) => settings.centreMomentum * c + (1 - settings.centreMomentum) * now[j]!);
      });
      moveStatistics(slowStatistics, taught);
      const swapped = [...targets.slice(batchSize), ...targets.slice(0, batchSize)];
      const seen: Record<string, number[]> = {};
      const { loss, gradient } = gradientOf(host, shapes, keys, (p) => {
        const told = tf.softmax(tf.div(outputs(p, images(both, source.side), seen), studentTemperature) as never);
        return tf.neg(tf.mean(tf.sum(tf.mul(tf.tensor2d(swapped), tf.log(told)), 1)));
      });
      total += loss;
      const moving = keys.filter((key) => key !== last || epoch >= frozenEpochs);
      const norm = Math.hypot(...moving.map((key) => Math.hypot(...gradient[key]!)));
      const factor = Math.min(1, settings.clip! / (norm + 1e-6));
      for (const key of moving)
        adamwStep(
          host[key]!,
          mean[key]!,
          square[key]!,
          gradient[key]!.map((g) => factor * g),
          rateAt(settings, share),
          shapes[key]!.length > 1 ? settings.weightDecay : 0,
          done + 1 - (key === last ? frozenEpochs * stepsPerEpoch : 0),
        );
      moveStatistics(host, seen);
    }
    losses.push(total / stepsPerEpoch);
  }
  return { params: { ...slow, ...slowStatistics }, losses };
}
