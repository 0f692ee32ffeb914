/** Pairs of views for self-supervision: two independent corruptions of the same clean glyph. */
import { type Stream, stream, tf } from "../backend";
import { cleanGlyphs, corrupt, GLYPH_SIDE, IMAGE_SIDE, NORMALISE, tasks } from "../datasets";
import type { Net, Tensor4D } from "../types";
import { type Ramp, rampSchedule, type Schedule } from "./schedule";
import { canonicalJson, digest } from "./state-file";

/** Where views come from: anything that can be seen again and again, never twice alike. */
export interface ViewSource {
  /** for instance "glyphs" */
  readonly name: string;
  /** first 12 hex digits of the SHA-256 of what is seen */
  readonly hash: string;
  /** how many different things */
  readonly instances: number;
  /** pixels of a view's side */
  readonly side: number;
  /** Writes one view, normalised as in training: side x side values. @param strength of the corruption, 0 to 1 */
  view(instance: number, strength: number, random: Stream, out: Float32Array): void;
}

/** The clean glyphs of the training fonts of all pre-training scripts; distractors come from other faces of the same script. */
export function glyphViews(): ViewSource {
  const scripts = tasks()
    .filter(({ kind }) => kind === "pretraining")
    .map(({ name }) => ({ name, ...cleanGlyphs(name, "train") }));
  const characters = scripts[0]!.characters.length;
  const places = scripts.flatMap(({ levels, faces }) =>
    faces.flatMap((_, face) =>
      Array.from({ length: characters }, (_, character) => ({ levels, faces: faces.length, face, character })),
    ),
  );
  const cells = GLYPH_SIDE * GLYPH_SIDE;
  const glyph = (levels: Uint8Array, face: number, character: number): Uint8Array => {
    const start = (face * characters + character) * cells;
    return levels.subarray(start, start + cells);
  };
  const table = Float32Array.from(
    { length: NORMALISE.levels + 1 },
    (_, level) => (level / NORMALISE.levels - NORMALISE.mean[0]) / NORMALISE.std[0],
  );
  const corrupted = new Uint8Array(IMAGE_SIDE * IMAGE_SIDE);
  return {
    name: "glyphs",
    hash: digest(canonicalJson(scripts.map(({ name }) => name)), ...scripts.map(({ levels }) => levels)).slice(0, 12),
    instances: places.length,
    side: IMAGE_SIDE,
    view(instance, strength, random, out) {
      const { levels, faces, face, character } = places[instance]!;
      const other = (face + 1 + random.integer(Math.max(1, faces - 1))) % faces;
      const distractor = glyph(levels, other, random.integer(characters));
      corrupt(glyph(levels, face, character), distractor, random, strength, corrupted);
      corrupted.forEach((level, k) => {
        out[k] = table[level]!;
      });
    },
  };
}

export interface ViewPairSettings {
  readonly seed: number;
  readonly batchSize: number;
  readonly stepsPerEpoch: number;
  /** the curriculum: how strongly views are corrupted, by share of training */
  readonly strength: Ramp;
}

/** What view pairs are made of, for a state file. */
export const sourceIdentity = ({ name, hash, instances, side }: ViewSource): Readonly<Record<string, unknown>> => ({
  source: name,
  sourceHash: hash,
  instances,
  side,
});

/** The two views of each image of a step, [batch, side, side, 1]; the caller disposes them. */
export type ViewPairs = (step: number, share: number) => [Tensor4D, Tensor4D];

/**
 * The pairs of an epoch: every instance in random order, again and again until the epoch is over. Each view has its own stream.
 */
export function viewPairs(
  source: ViewSource,
  { seed, batchSize, stepsPerEpoch, strength }: ViewPairSettings,
  epoch: number,
): ViewPairs {
  const order = new Int32Array(stepsPerEpoch * batchSize);
  for (let from = 0, round = 0; from < order.length; from += source.instances, round++) {
    const whole = stream(seed, "shuffle", epoch, round).permutation(source.instances);
    order.set(whole.subarray(0, order.length - from), from);
  }
  const strengthAt: Schedule = rampSchedule(strength);
  const size = source.side * source.side;
  return (step, share) => {
    const now = strengthAt(share);
    const side = (which: number): Tensor4D => {
      const out = new Float32Array(batchSize * size);
      for (let i = 0; i < batchSize; i++) {
        const place = step * batchSize + i;
        const random = stream(seed, "view", epoch, place, which);
        source.view(order[place]!, now, random, out.subarray(i * size, (i + 1) * size));
      }
      return tf.tensor4d(out, [batchSize, source.side, source.side, 1]);
    };
    return [side(0), side(1)];
  };
}

/** @throws RangeError naming the setting that is out of range, or net and source that do not fit */
export function checkViewPairs(net: Net, source: ViewSource, { stepsPerEpoch, strength }: ViewPairSettings): void {
  if (net.input.join() !== [source.side, source.side, 1].join())
    throw new RangeError(
      `${source.name}: views are [${source.side},${source.side},1], ${net.name} sees [${net.input}]`,
    );
  if (!(Number.isInteger(stepsPerEpoch) && stepsPerEpoch >= 1))
    throw new RangeError(`stepsPerEpoch must be a positive integer, got ${stepsPerEpoch}`);
  rampSchedule(strength);
  for (const end of [strength.from, strength.to])
    if (!(end >= 0 && end <= 1)) throw new RangeError(`strength must be in [0, 1], got ${end}`);
}
