/** Fine-tuning of a pruned backbone on one task: masks fixed, norm statistics frozen, head frozen. */
import * as fs from "node:fs";
import { stream, tf } from "../backend";
import { paramsHash } from "../checkpoints";
import { forward, oneHot, vjp } from "../curvature";
import { toBatch } from "../datasets";
import { checkMask, maskHash, maskTensors } from "../masks";
import { withParams } from "../nets";
import { disposeTree, mapTree, pickTree } from "../tree";
import type { ImageSet, Mask, Model, Progress, Tensor, Tree } from "../types";
import { stepSchedule } from "./schedule";
import { checkSgd, learnable, sgdStep, zeros } from "./sgd";
import { digest, loadState, netIdentity, saveState } from "./state-file";

export interface FinetuneOptions {
  readonly epochs?: number;
  readonly batchSize?: number;
  /** learning rate; the loss is a mean over images AND classes, so it is larger than for a sum */
  readonly rate?: number;
  readonly momentum?: number;
  /** on every trained parameter, as in the authors' code */
  readonly weightDecay?: number;
  /** shares of the training after which the rate falls by 10 */
  readonly milestones?: readonly number[];
  /** of the order of the images */
  readonly seed?: number;
  /** file that an interrupted run goes on from, to the same result; written after every epoch and removed at the end */
  readonly stateFile?: string;
  readonly progress?: Progress;
}

export interface FinetuneEpoch {
  readonly epoch: number;
  /** mean over the epoch's batches of the squared error, mean over images and classes */
  readonly loss: number;
}

export interface FinetuneResult {
  /** all learnable parameters, new tensors that belong to the caller; use `nets.withParams` */
  readonly params: Tree;
  /** finished epochs */
  readonly history: readonly FinetuneEpoch[];
  /** the loss or a parameter stopped being finite; `params` are those before */
  readonly diverged: boolean;
}

/**
 * SGD on the squared error to one-hot targets, mean over images and classes: every weight, bias and norm scale and shift of the
 * backbone learns; norm statistics and the head do not; removed weights stay exactly zero (checked after every step).
 * Batches are whole: what is left of an epoch's images is dropped.
 * @param model with the task's head
 * @throws RangeError for options out of range; Error when the state file is damaged or of other settings, model, mask or set;
 * Error when a removed weight is not zero after a step
 */
export async function finetune(
  model: Model,
  mask: Mask,
  set: ImageSet,
  options: FinetuneOptions = {},
): Promise<FinetuneResult> {
  const {
    epochs = 10,
    batchSize = 64,
    rate = 0.3,
    momentum = 0.9,
    weightDecay = 1e-4,
    seed = 0,
    milestones,
    stateFile,
    progress,
  } = options;
  const n = set.shape[0];
  const classes = model.head?.bias.shape[0];
  if (classes !== set.classes)
    throw new Error(
      `finetune: ${set.name} has ${set.classes} classes, the model's head has ${classes ?? "none (no head)"}`,
    );
  if (!(Number.isInteger(epochs) && epochs >= 0)) throw new RangeError(`epochs must be an integer >= 0, got ${epochs}`);
  if (!(Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= n))
    throw new RangeError(`batchSize must be 1 to ${n} (the images of ${set.name}), got ${batchSize}`);
  if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be an integer, got ${seed}`);
  checkSgd({ momentum, weightDecay });
  const schedule = stepSchedule(rate, milestones);
  checkMask(model.net, mask);
  const keys = learnable(model.net);
  const start = pickTree(model.params, keys);
  const training = { epochs, batchSize, rate, momentum, weightDecay, milestones: milestones ?? null, seed };
  const settings = stateFile ? { ...identityOf(model, mask, set), ...training } : undefined;
  const shapes = Object.fromEntries(keys.map((key) => [key, model.net.params[key]!.shape]));
  const resumed = stateFile
    ? loadState(stateFile, settings, { params: shapes, velocity: shapes, previous: shapes })
    : undefined;

  const flags = maskTensors(model.net, mask);
  let params =
    resumed?.trees.params ??
    masked(
      mapTree(start, (t) => tf.clone(t)),
      flags,
    );
  let velocity = resumed?.trees.velocity ?? zeros(params, keys);
  const history = [...((resumed?.history ?? []) as FinetuneEpoch[])];
  const whole = toBatch(set);
  const targets = oneHot(whole.labels, set.classes);
  const steps = Math.floor(n / batchSize);
  // the parameters a step ago: those are left when the loss of the present ones is not finite
  let previous: Tree | undefined = resumed?.trees.previous;
  let diverged = false;
  try {
    for (let epoch = resumed?.epoch ?? 0; epoch < epochs; epoch++) {
      const order = stream(seed, "shuffle", epoch).permutation(n);
      let total = 0;
      for (let step = 0; step < steps; step++) {
        const done = epoch * steps + step;
        const index = order.subarray(step * batchSize, (step + 1) * batchSize);
        const { loss, gradient } = batchGradient(withParams(model, params), whole.x, targets, index, keys);
        if (!Number.isFinite(loss)) {
          disposeTree(gradient);
          if (previous) {
            disposeTree(params);
            params = previous;
            previous = undefined;
          }
          diverged = true;
          break;
        }
        total += loss;
        const next = sgdStep({ params, velocity }, gradient, schedule(done / (epochs * steps)), {
          momentum,
          weightDecay,
          decayAll: true,
        });
        const moved = masked(next.params, flags);
        tf.dispose([velocity, gradient] as never);
        velocity = next.velocity;
        if (!allFinite(moved)) {
          disposeTree(moved);
          diverged = true;
          break;
        }
        if (previous) disposeTree(previous);
        previous = params;
        params = moved;
        assertZero(params, flags);
        await progress?.step(done + 1, `loss ${loss.toFixed(4)}`);
      }
      if (diverged) break;
      history.push({ epoch: epoch + 1, loss: total / steps });
      if (stateFile)
        saveState(stateFile, settings, {
          epoch: epoch + 1,
          trees: { params, velocity, previous: previous as Tree },
          history,
        });
    }
    if (stateFile) fs.rmSync(stateFile, { force: true });
    return { params, history, diverged };
  } catch (error) {
    disposeTree(params);
    throw error;
  } finally {
    tf.dispose([previous ?? {}, velocity, flags, whole.x, targets] as never);
  }
}

/** What a state file belongs to: net, start, head, mask and images. */
function identityOf({ net, params, head }: Model, mask: Mask, set: ImageSet): Readonly<Record<string, string>> {
  return {
    what: "finetune",
    net: netIdentity(net),
    start: paramsHash(net, params),
    head: digest(String(head!.weight.dataSync()), String(head!.bias.dataSync())),
    mask: maskHash(net, mask),
    set: set.hash,
  };
}

function batchGradient(
  model: Model,
  images: Tensor,
  targets: Tensor,
  index: Int32Array,
  keys: readonly string[],
): { loss: number; gradient: Tree } {
  let loss = 0;
  const gradient = tf.tidy(() => {
    const rows = tf.tensor1d(index, "int32");
    const trace = forward(model, tf.gather(images, rows));
    const difference = tf.sub(trace.outputs, tf.gather(targets, rows));
    loss = tf.mean(tf.square(difference)).dataSync()[0]!;
    return vjp(trace, tf.mul(difference, 2 / difference.size), keys) as never;
  });
  return { loss, gradient };
}

/** Removed weights to zero; entries that are not prunable are passed on. The given tree's masked tensors are disposed. */
function masked(params: Tree, flags: Tree): Tree {
  return mapTree(params, (weight, key) => {
    const flag = flags[key];
    if (flag === undefined) return weight;
    const kept = tf.tidy(() => tf.add(tf.mul(weight, flag), 0)); // adding 0 makes -0 a plain 0
    weight.dispose();
    return kept;
  });
}

/** One number tells: a sum is finite only if every term is. */
function allFinite(params: Tree): boolean {
  const sum = tf.tidy(() => tf.addN(Object.values(params).map((t) => tf.sum(t))).dataSync()[0]!);
  return Number.isFinite(sum);
}

function assertZero(params: Tree, flags: Tree): void {
  const left = tf.tidy(() => {
    const counts = Object.entries(flags).map(([key, flag]) => tf.sum(tf.mul(tf.sub(1, flag), tf.abs(params[key]!))));
    return tf.addN(counts).dataSync()[0]!;
  });
  if (left !== 0) throw new Error(`finetune: removed weights must be zero after the step, their sizes sum to ${left}`);
}
