/** The loop that all pre-trainings share: epochs of steps, an optimiser, a state file, a curve. */
import { tf } from "../backend";
import type { TransformerLinear } from "../nets";
import { disposeTree, mapTree, pickTree } from "../tree";
import type { Model, Net, Progress, Tensor, Tree } from "../types";
import { clipByGlobalNorm } from "./clip";
import { type Optimiser, type OptimiserSettings, optimiserOf, type Trees } from "./optimiser";
import { cosineSchedule } from "./schedule";
import { learnable, zeros } from "./sgd";
import { loadState, netIdentity, saveState } from "./state-file";

/** What every recipe of pre-training says. */
export type TrainingRecipe = OptimiserSettings & {
  readonly epochs: number;
  readonly batchSize: number;
  /** peak of the cosine schedule */
  readonly rate: number;
  /** share of training with linearly rising rate */
  readonly warmup: number;
  /** what the linear weights of a Vision Transformer start from, see `nets.initialise`; default "0.02" */
  readonly transformerLinear?: TransformerLinear;
};

export interface PretrainOptions {
  /** file that an interrupted run goes on from, to the same result; written after every epoch, for the caller to remove */
  readonly stateFile?: string;
  readonly progress?: Progress;
  /** called after every epoch with the backbone as it is (norms frozen); it must not dispose anything */
  readonly evaluate?: (model: Model, epoch: number) => Readonly<Record<string, number>>;
}

export interface EpochRecord {
  readonly epoch: number;
  /** mean over the epoch's steps, nats */
  readonly loss: number;
  readonly seconds: number;
  /** whatever `evaluate` returned */
  readonly evaluation: Readonly<Record<string, number>>;
}

/** Where a run is. */
export interface Moment {
  /** of this epoch, from 0 */
  readonly step: number;
  /** steps before this one */
  readonly done: number;
  /** share of the training before this step */
  readonly share: number;
}

export interface StepResult {
  readonly loss: number;
  /** entries that are missing do not move */
  readonly gradient: Tree;
  /** entries that the step itself gives new values, by tree: moved statistics, a teacher, a queue; new tensors */
  readonly replaced: Trees;
  /** numbers whose means over the epoch `summary` receives */
  readonly counts: Readonly<Record<string, number>>;
}

/** What one kind of pre-training adds to the loop. */
export interface Method<Summary extends object> {
  readonly net: Net;
  /** what a state file belongs to, beside net and recipe */
  readonly identity: Readonly<Record<string, unknown>>;
  /** trees at the start: "params", what learns by gradient and its statistics, and whatever else must be kept from step to step */
  start(): Trees & { readonly params: Tree };
  /** the tree that has the backbone's parameters: "params" or a teacher */
  readonly backbone: string;
  readonly stepsPerEpoch: number;
  /** the first step that moves a parameter; default 0 */
  readonly firstStep?: (key: string) => number;
  /** what to do in each step of an epoch (from 0); nothing given is disposed */
  epoch(epoch: number): (trees: Trees, at: Moment) => StepResult;
  /** what an epoch's record says beside the loss, from the sums of `counts` */
  summary(sums: Readonly<Record<string, number>>): Summary;
  /** what is wrong after an epoch (from 1), if anything: the run stops with it */
  readonly alarm?: (summary: Summary, epoch: number) => string | undefined;
}

/** Epoch from which on outputs that are all alike are a collapse; at the start they are close together in healthy runs too. */
export const FIRST_ALARM = 3;

/** @throws RangeError naming the setting that is out of range */
export function checkRecipe({ epochs, batchSize }: TrainingRecipe, seed: number, images: number): void {
  if (!(Number.isInteger(epochs) && epochs >= 1))
    throw new RangeError(`epochs must be a positive integer, got ${epochs}`);
  if (!(Number.isInteger(batchSize) && batchSize >= 2 && batchSize <= images))
    throw new RangeError(`batchSize must be 2 to ${images}, got ${batchSize}`);
  if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be an integer, got ${seed}`);
}

/**
 * Runs a method to its end; a run that was killed goes on from its last epoch, to the same bytes.
 * @returns the backbone's parameters, which belong to the caller, and a record of every epoch
 * @throws Error when the state file is damaged or of other settings, when the loss is not finite, when the method raises its alarm
 */
export async function trainLoop<Summary extends object>(
  method: Method<Summary>,
  recipe: TrainingRecipe,
  { stateFile, progress, evaluate }: PretrainOptions,
): Promise<{ readonly params: Tree; readonly history: readonly (EpochRecord & Summary)[] }> {
  const { epochs } = recipe;
  const { net, stepsPerEpoch } = method;
  const rate = cosineSchedule(recipe.rate, recipe.warmup);
  const optimiser = optimiserOf(recipe, net);
  const identity = { ...method.identity, net: netIdentity(net) };
  const backboneOf = (all: Trees): Tree => pickTree(all[method.backbone]!, Object.keys(net.params));
  const begun = begin(method, optimiser, stateFile, identity);
  let { trees } = begun;
  const history = [...(begun.history as (EpochRecord & Summary)[])];
  try {
    for (let epoch = begun.epoch; epoch < epochs; epoch++) {
      const start = Date.now();
      const step = method.epoch(epoch);
      const sums: Record<string, number> = {};
      let loss = 0;
      for (let k = 0; k < stepsPerEpoch; k++) {
        const done = epoch * stepsPerEpoch + k;
        const share = done / (epochs * stepsPerEpoch);
        const result = step(trees, { step: k, done, share });
        if (!Number.isFinite(result.loss)) {
          tf.dispose([result.gradient, result.replaced] as never);
          throw new Error(`pretrain: the loss is ${result.loss} in epoch ${epoch + 1}, step ${k + 1}: lower the rate`);
        }
        loss += result.loss;
        for (const [name, value] of Object.entries(result.counts)) sums[name] = (sums[name] ?? 0) + value;
        const count = (key: string): number => done + 1 - (method.firstStep?.(key) ?? 0);
        trees = advanced(trees, result, optimiser, rate(share), recipe.clip, count);
        await progress?.step(done + 1, `epoch ${epoch + 1}/${epochs}, loss ${(loss / (k + 1)).toFixed(3)}`);
      }
      const summary = method.summary(sums);
      const alarm = method.alarm?.(summary, epoch + 1);
      if (alarm !== undefined) throw new Error(`pretrain: epoch ${epoch + 1}: ${alarm}`);
      history.push({
        epoch: epoch + 1,
        loss: loss / stepsPerEpoch,
        ...summary,
        seconds: (Date.now() - start) / 1000,
        evaluation: evaluate?.({ net, params: backboneOf(trees) }, epoch + 1) ?? {},
      });
      if (stateFile) saveState(stateFile, identity, { epoch: epoch + 1, trees, history });
    }
  } catch (error) {
    tf.dispose(trees as never);
    throw error;
  }
  const params = backboneOf(trees);
  const kept = new Set(Object.values(params));
  for (const tree of Object.values(trees)) disposeTree(without(tree, kept));
  return { params, history };
}

interface Begun {
  readonly epoch: number;
  readonly trees: Trees;
  readonly history: readonly unknown[];
}

/** The state in the file, or the method's start with moments of zero. */
function begin<Summary extends object>(
  method: Method<Summary>,
  optimiser: Optimiser,
  stateFile: string | undefined,
  identity: unknown,
): Begun {
  const start = method.start();
  const moving = Object.keys(start.params).filter((key) => isLearnt(method.net, key));
  const moments = Object.fromEntries(optimiser.moments.map((name) => [name, zeros(start.params, moving)]));
  const trees: Trees = { ...start, ...moments };
  if (stateFile === undefined) return { epoch: 0, trees, history: [] };
  const shapes = Object.fromEntries(
    Object.entries(trees).map(([name, tree]) => [
      name,
      Object.fromEntries(Object.entries(tree).map(([key, { shape }]) => [key, shape])),
    ]),
  );
  let resumed: Begun | undefined;
  try {
    resumed = loadState(stateFile, identity, shapes);
  } catch (error) {
    tf.dispose(trees as never);
    throw error;
  }
  if (!resumed) return { epoch: 0, trees, history: [] };
  tf.dispose(trees as never);
  return resumed;
}

const isLearnt = (net: Net, key: string): boolean => !(key in net.params) || learnable(net).includes(key);

/** The trees after a step; what is replaced is disposed, and so is the gradient. */
function advanced(
  trees: Trees,
  { gradient, replaced }: StepResult,
  optimiser: Optimiser,
  rate: number,
  clip: number | undefined,
  count: (key: string) => number,
): Trees {
  const used = clip === undefined ? gradient : clipByGlobalNorm(gradient, clip);
  const next = optimiser.step(trees.params!, trees, used, rate, count);
  const updates: Trees = { ...replaced, ...next.moments, params: { ...next.params, ...replaced.params } };
  tf.dispose([gradient, used] as never);
  return Object.fromEntries(
    Object.entries(trees).map(([name, tree]) => [
      name,
      mapTree(tree, (old, key) => {
        const now = updates[name]?.[key];
        if (now === undefined) return old;
        old.dispose();
        return now;
      }),
    ]),
  );
}

const without = (tree: Tree, kept: ReadonlySet<Tensor>): Tree =>
  Object.fromEntries(Object.entries(tree).filter(([, tensor]) => !kept.has(tensor)));
