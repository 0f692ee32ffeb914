/** DINO (Caron et al. 2021): a student tells what its own moving average says of another view. */
import { stream, tf } from "../backend";
import { forward, vjp } from "../curvature";
import { initialise } from "../nets";
import { mapTree, pickTree } from "../tree";
import type { Net, Tensor, Tensor1D, Tensor2D, Tree } from "../types";
import { movedAverage } from "./ema";
import {
  checkRecipe,
  type EpochRecord,
  FIRST_ALARM,
  type PretrainOptions,
  type TrainingRecipe,
  trainLoop,
} from "./loop";
import type { AdamWSettings } from "./optimiser";
import { withProjection } from "./projection";
import { cosineRampSchedule, type Ramp, rampSchedule } from "./schedule";
import { learnable } from "./sgd";
import { spreadOf, unitRows, unitRowsGrad } from "./unit-rows";
import { checkViewPairs, sourceIdentity, type ViewPairSettings, type ViewSource, viewPairs } from "./view-pairs";

export type DinoRecipe = TrainingRecipe &
  Omit<ViewPairSettings, "seed"> & {
    /** widths of the MLP head, GELU between them; the last is the bottleneck, whose outputs get length 1 */
    readonly head: readonly number[];
    /** prototypes: outputs of the last layer, whose weight rows have length 1 */
    readonly prototypes: number;
    /** epochs at the start in which the last layer does not move */
    readonly frozenEpochs: number;
    readonly studentTemperature: number;
    readonly teacherTemperature: Ramp;
    /** of the moving average of the teacher's outputs, which is taken off them */
    readonly centreMomentum: number;
    /** of the moving average that the teacher is: a half cosine from one to the other */
    readonly teacherMomentum: { readonly from: number; readonly to: number };
    /** the run stops when the teacher's outputs tell less than so many nats about the image, after three epochs or later */
    readonly leastInformation: number;
  };
export type DinoSettings = DinoRecipe & { readonly seed: number };

export const DINO_RESNET: DinoRecipe & AdamWSettings = {
  epochs: 20,
  stepsPerEpoch: 240,
  batchSize: 128,
  rate: 1e-3,
  warmup: 0.1,
  optimiser: "adamw",
  weightDecay: 0.05,
  clip: 3,
  strength: { from: 0.1, to: 0.9, until: 0.6 },
  head: [256, 256, 64],
  prototypes: 1024,
  frozenEpochs: 1,
  studentTemperature: 0.1,
  teacherTemperature: { from: 0.04, to: 0.04, until: 0 },
  centreMomentum: 0.9,
  teacherMomentum: { from: 0.99, to: 1 },
  leastInformation: 0.05,
};

/**
 * What keeps this small Vision Transformer from a collapse. With linear weights of sd .02, 1024 prototypes and a teacher temperature of
 * .04 its teacher is uniform after three epochs and the alarm stops it; with these settings it is not, but what it learns is not good
 * enough either (decision 07).
 */
export const DINO_VIT: DinoRecipe & AdamWSettings = {
  ...DINO_RESNET,
  transformerLinear: "glorot",
  epochs: 20,
  batchSize: 64,
  warmup: 0.05,
  prototypes: 256,
  teacherTemperature: { from: 0.02, to: 0.02, until: 0 },
};

export interface DinoEpoch extends EpochRecord {
  /** mean entropy of the teacher's distribution for one view, nats; ln(prototypes) when it is uniform */
  readonly teacherEntropy: number;
  /** entropy of the batch's mean distribution minus `teacherEntropy`, nats: 0 when all images are told the same (collapsed) */
  readonly teacherInformation: number;
  /** of the student's bottleneck, 0 (all the same) to 1; see `spreadOf` */
  readonly featureSpread: number;
}

export interface DinoResult {
  /** every parameter of the teacher's backbone, running statistics included; belongs to the caller */
  readonly params: Tree;
  readonly history: readonly DinoEpoch[];
}

export interface DinoLoss {
  /** nats */
  readonly loss: number;
  readonly teacherEntropy: number;
  readonly teacherInformation: number;
  /** d loss / d student, as `student`; belongs to the caller */
  readonly cotangent: Tensor2D;
}

/**
 * Mean over rows of -sum_k P_k log softmax_k(student / Ts), P = softmax((teacher - centre) / Tt) of the other view.
 * @param student [2 n, K], the first view of each image, then the second
 * @param teacher [2 n, K], likewise; constants
 * @param centre  [K]
 */
export function dinoLoss(
  student: Tensor2D,
  teacher: Tensor2D,
  centre: Tensor1D,
  { studentTemperature, teacherTemperature }: { studentTemperature: number; teacherTemperature: number },
): DinoLoss {
  for (const [name, value] of Object.entries({ studentTemperature, teacherTemperature }))
    if (!(value > 0)) throw new RangeError(`${name} must be a positive number, got ${value}`);
  const rows = student.shape[0];
  if (rows % 2 !== 0) throw new RangeError(`dinoLoss: two views of each image expected, got ${rows} rows`);
  const told = { loss: 0, teacherEntropy: 0, teacherInformation: 0 };
  const cotangent = tf.tidy(() => {
    const teacherLog = tf.logSoftmax(tf.div(tf.sub(teacher, centre), teacherTemperature)) as Tensor2D;
    const probabilities = tf.exp(teacherLog) as Tensor2D;
    told.teacherEntropy = -tf.sum(tf.mul(probabilities, teacherLog)).dataSync()[0]! / rows;
    const mean = tf.mean(probabilities, 0);
    const meanEntropy = -tf.sum(tf.mul(mean, tf.log(tf.maximum(mean, 1e-30)))).dataSync()[0]!;
    told.teacherInformation = meanEntropy - told.teacherEntropy;
    const [first, second] = tf.split(probabilities, 2, 0) as [Tensor2D, Tensor2D];
    const targets = tf.concat2d([second, first], 0);
    const studentLog = tf.logSoftmax(tf.div(student, studentTemperature));
    told.loss = -tf.sum(tf.mul(targets, studentLog)).dataSync()[0]! / rows;
    return tf.div(tf.sub(tf.exp(studentLog), targets), rows * studentTemperature) as Tensor2D;
  });
  return { ...told, cotangent };
}

/** Weight [prototypes, bottleneck] of the last layer; only the directions of its rows count. */
const LAST = "prototypes.weight";

/**
 * Trains net + head as the student of its own moving average, from pairs of corruptions of a glyph; the teacher's backbone is what is
 * returned. The same settings give the same bytes; a run that was killed goes on from its last epoch.
 * @throws RangeError for settings out of range; Error when the state file is damaged or of other settings, when the loss is not
 * finite, when the teacher collapses
 */
export async function pretrainDino(
  net: Net,
  source: ViewSource,
  settings: DinoSettings,
  options: PretrainOptions = {},
): Promise<DinoResult> {
  const { seed, stepsPerEpoch, prototypes } = settings;
  checkRecipe(settings, seed, source.instances);
  checkViewPairs(net, source, settings);
  checkDino(settings);
  const whole = withProjection(net, settings.head, "gelu");
  const moving = [...learnable(whole), LAST];
  const momentum = cosineRampSchedule(settings.teacherMomentum);
  const temperature = rampSchedule(settings.teacherTemperature);
  const firstOfLast = settings.frozenEpochs * stepsPerEpoch;
  return trainLoop(
    {
      net,
      identity: { what: "pretrain-dino", ...sourceIdentity(source), ...settings },
      start() {
        const params = {
          ...initialise(whole, seed, settings),
          [LAST]: initialPrototypes(prototypes, whole.features, seed),
        };
        return { params, teacher: mapTree(params, (t) => tf.clone(t)), centre: { centre: tf.zeros([prototypes]) } };
      },
      backbone: "teacher",
      stepsPerEpoch,
      firstStep: (key) => (key === LAST ? firstOfLast : 0),
      epoch(epoch) {
        const pairs = viewPairs(source, settings, epoch);
        return ({ params, teacher, centre }, { step, done, share }) => {
          const told = { loss: 0, teacherEntropy: 0, teacherInformation: 0, featureSpread: 0 };
          const kept = tf.tidy(() => {
            const images = tf.concat4d(pairs(step, share), 0);
            // the average of the students so far; before the first step the two are the same
            const moved = movedAverage(pickTree(teacher!, moving), params!, momentum(share));
            const taught = tf.tidy(() => {
              const { features, running } = forward({ net: whole, params: { ...teacher, ...moved } }, images, {
                training: true,
              });
              return { outputs: prototypeOutputs(features as Tensor2D, moved[LAST]!), running } as never;
            }) as unknown as { outputs: Tensor2D; running: Tree };
            const trace = forward({ net: whole, params: params! }, images, { training: true });
            const last = params![LAST] as Tensor2D;
            const old = centre!.centre as Tensor1D;
            const { cotangent, ...numbers } = dinoLoss(prototypeOutputs(trace.features, last), taught.outputs, old, {
              studentTemperature: settings.studentTemperature,
              teacherTemperature: temperature(share),
            });
            const back = prototypeGrads(trace.features, last, cotangent);
            Object.assign(told, numbers, { featureSpread: spreadOf(unitRows(trace.features)) });
            const { centreMomentum } = settings;
            const nextCentre = tf.add(
              tf.mul(old, centreMomentum),
              tf.mul(tf.mean(taught.outputs, 0), 1 - centreMomentum),
            );
            return {
              gradient: {
                ...vjp(trace, back.features),
                ...(done >= firstOfLast ? { [LAST]: back.weight } : {}),
              },
              replaced: {
                params: trace.running,
                teacher: { ...moved, ...taught.running },
                centre: { centre: nextCentre },
              },
            } as never;
          }) as unknown as { gradient: Tree; replaced: { params: Tree; teacher: Tree; centre: Tree } };
          const { loss, ...counts } = told;
          return { ...kept, loss, counts };
        };
      },
      summary: ({ teacherEntropy, teacherInformation, featureSpread }) => ({
        teacherEntropy: teacherEntropy! / stepsPerEpoch,
        teacherInformation: teacherInformation! / stepsPerEpoch,
        featureSpread: featureSpread! / stepsPerEpoch,
      }),
      alarm: ({ teacherEntropy, teacherInformation }, epoch) =>
        epoch >= FIRST_ALARM && teacherInformation < settings.leastInformation
          ? `the teacher collapses: its outputs tell ${teacherInformation.toFixed(3)} nats about the image, at least ${settings.leastInformation} are asked for; its entropy is ${teacherEntropy.toFixed(2)} of ${Math.log(prototypes).toFixed(2)} (all: uniform, 0: one prototype for every image); lower the rate, the teacher's temperature or the strength at the start`
          : undefined,
    },
    settings,
    options,
  );
}

/** Cosines of features and prototypes, [n, prototypes]. */
const prototypeOutputs = (features: Tensor2D, weight: Tensor): Tensor2D =>
  tf.tidy(() => tf.matMul(unitRows(features), unitRows(weight as Tensor2D), false, true));

function prototypeGrads(
  features: Tensor2D,
  weight: Tensor2D,
  cotangent: Tensor2D,
): Record<"features" | "weight", Tensor2D> {
  return {
    features: unitRowsGrad(features, tf.matMul(cotangent, unitRows(weight))),
    weight: unitRowsGrad(weight, tf.matMul(cotangent, unitRows(features), true)),
  };
}

function initialPrototypes(prototypes: number, bottleneck: number, seed: number): Tensor2D {
  const numbers = stream(seed, "initialise", LAST);
  const bound = 1 / Math.sqrt(bottleneck);
  const values = Float32Array.from({ length: prototypes * bottleneck }, () => numbers.uniform(-bound, bound));
  return tf.tensor2d(values, [prototypes, bottleneck]);
}

function checkDino(settings: DinoSettings): void {
  const { head, prototypes, frozenEpochs, studentTemperature, teacherTemperature, centreMomentum } = settings;
  if (head.length === 0 || head.some((width) => !(Number.isInteger(width) && width >= 1)))
    throw new RangeError(`head must be a list of positive integers, got [${head}]`);
  if (!(Number.isInteger(prototypes) && prototypes >= 2))
    throw new RangeError(`prototypes must be an integer >= 2, got ${prototypes}`);
  if (!(Number.isInteger(frozenEpochs) && frozenEpochs >= 0))
    throw new RangeError(`frozenEpochs must be an integer >= 0, got ${frozenEpochs}`);
  rampSchedule(teacherTemperature);
  const temperatures = { studentTemperature, from: teacherTemperature.from, to: teacherTemperature.to };
  for (const [name, value] of Object.entries(temperatures))
    if (!(value > 0 && Number.isFinite(value)))
      throw new RangeError(
        `${name === "studentTemperature" ? name : `teacherTemperature.${name}`} must be a positive number, got ${value}`,
      );
  if (!(centreMomentum >= 0 && centreMomentum < 1))
    throw new RangeError(`centreMomentum must be in [0, 1), got ${centreMomentum}`);
  for (const [name, value] of Object.entries(settings.teacherMomentum))
    if (!(value >= 0 && value <= 1)) throw new RangeError(`teacherMomentum.${name} must be in [0, 1], got ${value}`);
  if (!(settings.leastInformation >= 0 && Number.isFinite(settings.leastInformation)))
    throw new RangeError(`leastInformation must be a number >= 0, got ${settings.leastInformation}`);
}
