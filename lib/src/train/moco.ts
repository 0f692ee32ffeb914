/** MoCo v2 (Chen, Fan, Girshick and He 2020): a query finds the key of the same glyph among the keys of earlier batches. */
import { stream, tf } from "../backend";
import { forward, vjp } from "../curvature";
import { initialise } from "../nets";
import { mapTree, pickTree } from "../tree";
import type { Net, Tensor2D, Tensor4D, Tree } from "../types";
import { movedAverage } from "./ema";
import {
  checkRecipe,
  type EpochRecord,
  FIRST_ALARM,
  type PretrainOptions,
  type TrainingRecipe,
  trainLoop,
} from "./loop";
import type { AdamWSettings, SgdSettings } from "./optimiser";
import { withProjection } from "./projection";
import { enqueued, startQueue } from "./queue";
import { learnable } from "./sgd";
import { spreadOf, unitRows, unitRowsGrad } from "./unit-rows";
import { checkViewPairs, sourceIdentity, type ViewPairSettings, type ViewSource, viewPairs } from "./view-pairs";

export type MocoRecipe = TrainingRecipe &
  Omit<ViewPairSettings, "seed"> & {
    /** widths of the MLP head, ReLU between them */
    readonly head: readonly number[];
    /** keys of earlier batches; a multiple of the batch size */
    readonly queue: number;
    /** of the moving average that the key encoder is */
    readonly keyMomentum: number;
    readonly temperature: number;
    /** images whose batch norm statistics are taken together in the key encoder, after shuffling: a divisor of the batch size */
    readonly normGroup: number;
    /** the run stops when the spread of the queries is below this after three epochs or later; before, it may dip and recover */
    readonly leastSpread: number;
  };
export type MocoSettings = MocoRecipe & { readonly seed: number };

export const MOCO_RESNET: MocoRecipe & SgdSettings = {
  epochs: 28,
  stepsPerEpoch: 240,
  batchSize: 128,
  rate: 0.03,
  warmup: 0.07,
  momentum: 0.9,
  weightDecay: 1e-4,
  strength: { from: 0.1, to: 0.9, until: 0.6 },
  head: [256, 128],
  queue: 4096,
  keyMomentum: 0.99,
  temperature: 0.2,
  normGroup: 32,
  leastSpread: 0.02,
};

const { momentum: _, ...SHARED } = MOCO_RESNET;

/** Not known to be good enough: in the first epochs the heads rise much slower than those of the ResNet (decision 07). */
export const MOCO_VIT: MocoRecipe & AdamWSettings = {
  ...SHARED,
  optimiser: "adamw",
  transformerLinear: "glorot",
  epochs: 20,
  batchSize: 64,
  rate: 1e-3,
  warmup: 0.05,
  weightDecay: 0.05,
  clip: 3,
};

export interface MocoEpoch extends EpochRecord {
  /** share of queries that are nearer to their own key than to any in the queue, percent */
  readonly matched: number;
  /** of the queries, 0 (all the same: collapsed) to 1; see `spreadOf` */
  readonly featureSpread: number;
}

export interface MocoResult {
  /** every parameter of the net, running statistics included; belongs to the caller */
  readonly params: Tree;
  readonly history: readonly MocoEpoch[];
}

export interface MocoLoss {
  /** nats */
  readonly loss: number;
  /** queries nearer to their own key than to any in the queue */
  readonly matched: number;
  readonly spread: number;
  /** d loss / d outputs, as `outputs`; belongs to the caller */
  readonly cotangent: Tensor2D;
}

/**
 * Mean over the batch of -log softmax_0([q . k, q . Q_1, ..., q . Q_m] / T), q = outputs over their lengths.
 * @param outputs [n, d] of the query encoder
 * @param keys    [n, d], rows of length 1; constants
 * @param queue   [m, d], rows of length 1; constants
 */
export function mocoLoss(outputs: Tensor2D, keys: Tensor2D, queue: Tensor2D, temperature: number): MocoLoss {
  if (!(temperature > 0)) throw new RangeError(`temperature must be a positive number, got ${temperature}`);
  const n = outputs.shape[0];
  const told = { loss: 0, matched: 0, spread: 0 };
  const cotangent = tf.tidy(() => {
    const q = unitRows(outputs);
    const own = tf.sum(tf.mul(q, keys), 1, true) as Tensor2D;
    const others = tf.matMul(q, queue, false, true) as Tensor2D;
    const logProbabilities = tf.logSoftmax(tf.div(tf.concat2d([own, others], 1), temperature) as Tensor2D);
    const ownLog = tf.slice(logProbabilities, [0, 0], [n, 1]);
    told.loss = -tf.mean(ownLog).dataSync()[0]!;
    told.matched = tf.sum(tf.cast(tf.greater(own, tf.max(others, 1, true)), "int32")).dataSync()[0]!;
    told.spread = spreadOf(q);
    const share = tf.div(tf.exp(logProbabilities), n * temperature) as Tensor2D;
    const dOwn = tf.sub(tf.slice(share, [0, 0], [n, 1]), 1 / (n * temperature));
    const dOthers = tf.slice(share, [0, 1], [n, queue.shape[0]]) as Tensor2D;
    return unitRowsGrad(outputs, tf.add(tf.mul(dOwn, keys), tf.matMul(dOthers, queue)));
  });
  return { ...told, cotangent };
}

/**
 * Trains net + MLP head so that two corruptions of a glyph are near each other; the head is dropped at the end.
 * The same settings give the same bytes; a run that was killed goes on from its last epoch.
 * @throws RangeError for settings out of range; Error when the state file is damaged or of other settings, when the loss is not
 * finite, when the outputs collapse
 */
export async function pretrainMoco(
  net: Net,
  source: ViewSource,
  settings: MocoSettings,
  options: PretrainOptions = {},
): Promise<MocoResult> {
  const { seed, batchSize, stepsPerEpoch } = settings;
  checkRecipe(settings, seed, source.instances);
  checkViewPairs(net, source, settings);
  checkMoco(settings);
  const whole = withProjection(net, settings.head, "relu");
  const moving = learnable(whole);
  const group = net.nodes.some(({ kind }) => kind === "batchNorm") ? settings.normGroup : batchSize;
  return trainLoop(
    {
      net,
      identity: { what: "pretrain-moco", ...sourceIdentity(source), ...settings },
      start() {
        const params = initialise(whole, seed, settings);
        const key = mapTree(pickTree(params, moving), (t) => tf.clone(t));
        return { params, key, queue: { keys: startQueue(settings.queue, whole.features, seed) } };
      },
      backbone: "params",
      stepsPerEpoch,
      epoch(epoch) {
        const pairs = viewPairs(source, settings, epoch);
        return ({ params, key, queue }, { step, done, share }) => {
          const told = { loss: 0, matched: 0, spread: 0 };
          const kept = tf.tidy(() => {
            const [first, second] = pairs(step, share);
            const nextKey = movedAverage(key!, params!, settings.keyMomentum);
            const order = stream(seed, "groups", epoch, step).permutation(batchSize);
            const keys = shuffledKeys(whole, { ...params, ...nextKey }, second, order, group);
            const old = queue!.keys as Tensor2D;
            const trace = forward({ net: whole, params: params! }, first, { training: true });
            const { cotangent, ...numbers } = mocoLoss(trace.features, keys, old, settings.temperature);
            Object.assign(told, numbers);
            const gradient = vjp(trace, cotangent);
            const replaced = { params: trace.running, key: nextKey, queue: { keys: enqueued(old, keys, done) } };
            return { gradient, replaced } as never;
          }) as unknown as { gradient: Tree; replaced: { params: Tree; key: Tree; queue: Tree } };
          const { loss, matched, spread } = told;
          return { ...kept, loss, counts: { matched, spread } };
        };
      },
      summary: ({ matched, spread }) => ({
        matched: (100 * matched!) / (stepsPerEpoch * batchSize),
        featureSpread: spread! / stepsPerEpoch,
      }),
      alarm: ({ featureSpread }, epoch) =>
        epoch >= FIRST_ALARM && featureSpread < settings.leastSpread
          ? `the outputs collapse: their spread is ${featureSpread.toFixed(3)} (0: all the same), at least ${settings.leastSpread} is asked for; lower the rate or the strength at the start`
          : undefined,
    },
    settings,
    options,
  );
}

/**
 * Outputs of length 1 for the images, in their order; the images are shuffled and go through in groups of their own norm statistics,
 * so that a batch's statistics do not tell which key belongs to which query.
 */
function shuffledKeys(net: Net, params: Tree, images: Tensor4D, order: Int32Array, group: number): Tensor2D {
  const inverse = new Int32Array(order.length);
  order.forEach((image, place) => {
    inverse[image] = place;
  });
  return tf.tidy(() => {
    const outputs: Tensor2D[] = [];
    for (let from = 0; from < order.length; from += group)
      outputs.push(
        tf.tidy(() => {
          const chosen = tf.gather(images, tf.tensor1d(order.subarray(from, from + group), "int32"));
          return forward({ net, params }, chosen, { training: true }).features as Tensor2D;
        }),
      );
    return unitRows(tf.gather(tf.concat2d(outputs, 0), tf.tensor1d(inverse, "int32")));
  });
}

function checkMoco({ batchSize, head, queue, keyMomentum, temperature, normGroup, leastSpread }: MocoSettings): void {
  if (head.length === 0 || head.some((width) => !(Number.isInteger(width) && width >= 1)))
    throw new RangeError(`head must be a list of positive integers, got [${head}]`);
  if (!(Number.isInteger(queue) && queue >= batchSize && queue % batchSize === 0))
    throw new RangeError(`queue must be a multiple of the batch size ${batchSize}, got ${queue}`);
  if (!(keyMomentum >= 0 && keyMomentum < 1)) throw new RangeError(`keyMomentum must be in [0, 1), got ${keyMomentum}`);
  if (!(temperature > 0 && Number.isFinite(temperature)))
    throw new RangeError(`temperature must be a positive number, got ${temperature}`);
  if (!(Number.isInteger(normGroup) && normGroup >= 2 && batchSize % normGroup === 0))
    throw new RangeError(`normGroup must be at least 2 and divide the batch size ${batchSize}, got ${normGroup}`);
  if (!(leastSpread >= 0 && leastSpread < 1)) throw new RangeError(`leastSpread must be in [0, 1), got ${leastSpread}`);
}
