/** Fine-tuning of a pruned backbone on one task: masks fixed, norm statistics frozen, head frozen. */
import { stream, tf } from "../backend";
import { forward, oneHot, vjp } from "../curvature";
import { toBatch } from "../datasets";
import { maskTensors } from "../masks";
import { withParams } from "../nets";
import { disposeTree, mapTree, pickTree } from "../tree";
import type { ImageSet, Mask, Model, Progress, Tensor, Tree } from "../types";
import { stepSchedule } from "./schedule";
import { learnable, sgdStep, zeros } from "./sgd";
import { loadState, saveState } from "./state-file";

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
  /** file that an interrupted run goes on from, written after every epoch and removed at the end */
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
  readonly history: readonly FinetuneEpoch[];
  /** the loss stopped being finite; `params` are the last ones with a finite loss */
  readonly diverged: boolean;
}

/**
 * SGD on the squared error to one-hot targets, mean over images and classes: every weight, bias and norm scale and shift of the
 * backbone learns; norm statistics and the head do not; removed weights stay exactly zero (checked after every step).
 * Batches are whole: what is left of an epoch's images is dropped.
 * @param model with the task's head
 * @throws RangeError for options out of range; Error when a removed weight is not zero after a step
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
  if (model.head === undefined) throw new Error("finetune: the model needs the task's head");
  if (!(Number.isInteger(epochs) && epochs >= 0)) throw new RangeError(`epochs must be an integer >= 0, got ${epochs}`);
  if (!(Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= n))
    throw new RangeError(`batchSize must be 1 to ${n} (the images of ${set.name}), got ${batchSize}`);
  const schedule = stepSchedule(rate, milestones);
  const settings = {
    what: "finetune",
    net: model.net.name,
    set: set.hash,
    epochs,
    batchSize,
    rate,
    momentum,
    weightDecay,
    milestones: milestones ?? null,
    seed,
  };

  const keys = learnable(model.net);
  const flags = maskTensors(model.net, mask);
  const resumed = stateFile ? loadState(stateFile, settings) : undefined;
  let params =
    resumed?.trees.params ??
    masked(
      mapTree(pickTree(model.params, keys), (t) => tf.clone(t)),
      flags,
    );
  let velocity = resumed?.trees.velocity ?? zeros(params, keys);
  const history = [...((resumed?.history ?? []) as FinetuneEpoch[])];
  const whole = toBatch(set);
  const targets = oneHot(whole.labels, set.classes);
  const steps = Math.floor(n / batchSize);
  let previous: Tree | undefined;
  let diverged = false;
  try {
    for (let epoch = resumed?.epoch ?? 0; epoch < epochs && !diverged; epoch++) {
      const order = stream(seed, "shuffle", epoch).permutation(n);
      let total = 0;
      for (let step = 0; step < steps; step++) {
        const done = epoch * steps + step;
        const index = order.subarray(step * batchSize, (step + 1) * batchSize);
        const { loss, gradient } = batchGradient(withParams(model, params), whole.x, targets, index, keys);
        total += loss;
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
        const next = sgdStep({ params, velocity }, gradient, schedule(done / (epochs * steps)), {
          momentum,
          weightDecay,
          decayAll: true,
        });
        tf.dispose([previous ?? {}, velocity, gradient] as never);
        previous = params;
        params = masked(next.params, flags);
        velocity = next.velocity;
        assertZero(params, flags);
        await progress?.step(done + 1, `loss ${loss.toFixed(4)}`);
      }
      history.push({ epoch: epoch + 1, loss: total / steps });
      if (stateFile && !diverged)
        saveState(stateFile, settings, { epoch: epoch + 1, trees: { params, velocity }, history });
    }
    return { params, history, diverged };
  } catch (error) {
    disposeTree(params);
    throw error;
  } finally {
    tf.dispose([previous ?? {}, velocity, flags, whole.x, targets] as never);
  }
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
    const kept = tf.where(tf.cast(flag, "bool"), weight, tf.zerosLike(weight));
    weight.dispose();
    return kept;
  });
}

function assertZero(params: Tree, flags: Tree): void {
  const nonzero = tf.tidy(() => {
    const counts = Object.entries(flags).map(([key, flag]) =>
      tf.sum(tf.mul(tf.sub(1, flag), tf.cast(tf.notEqual(params[key]!, 0), "float32"))),
    );
    return tf.addN(counts).dataSync()[0]!;
  });
  if (nonzero !== 0) throw new Error(`finetune: ${nonzero} removed weights are not zero after the step`);
}
