import type { Stream } from "../backend/random";
import { GLYPH_SIDE } from "./glyphs";

/** Side of a corrupted image, in pixels. */
export const IMAGE_SIDE = 28;
/** Levels run from 0 to 15. */
export const TOP_LEVEL = 15;

const S = GLYPH_SIDE;
const D = IMAGE_SIDE;

/**
 * A clean glyph made hard to read: 32 x 32 levels in, 28 x 28 levels out, the same bytes on every machine.
 * U = uniform, h = strength, x in [0, 1]:
 *   stroke     a = U(-.6, .8): x + a (max3x3 x - x), or x + a (x - min3x3 x) for a < 0
 *   place      rotation h U(-.45, .45) rad, scale U(.62, 1), shear h U(-.35, .35), aspect U(.75, 1.33), shift U(-3, 3) px
 *   distractor with probability .7 h, .75 of its ink: rotation U(-pi, pi), scale U(.6, 1), shear U(-.3, .3),
 *              centre U(11, 17) px away; joined by maximum
 *   light      contrast c = U(.3, .9), polarity p = -1 or 1: .5 - p c / 2 + U(-.1, .1) + p c x
 *   texture    h U(0, .22) (.6 up(3) + .4 up(6) + .3 up(11)); up(k): k x k normals, bicubic to 28 x 28
 *   noise      normal of sd h U(.02, .11); clamped to [0, 1], rounded to 16 levels
 * The stream is read in the same order whatever the strength, so that one stream gives one image, more or less corrupted.
 * @param glyph       [32][32] levels 0 to 15
 * @param distractor  another glyph, [32][32]
 * @param strength    0 to 1; the shipped tasks use .9
 * @param out         [28][28], written and returned; a new array by default
 * @throws RangeError naming the argument
 */
export function corrupt(
  glyph: Uint8Array,
  distractor: Uint8Array,
  stream: Stream,
  strength = 0.9,
  out: Uint8Array = new Uint8Array(D * D),
): Uint8Array {
  if (glyph.length !== S * S) throw new RangeError(`corrupt: glyph must have ${S * S} levels, got ${glyph.length}`);
  if (distractor.length !== S * S)
    throw new RangeError(`corrupt: distractor must have ${S * S} levels, got ${distractor.length}`);
  if (!(strength >= 0 && strength <= 1)) throw new RangeError(`corrupt: strength must be in [0, 1], got ${strength}`);
  if (out.length !== D * D) throw new RangeError(`corrupt: out must have room for ${D * D} levels, got ${out.length}`);

  stroke(glyph, stream.uniform(-0.6, 0.8));
  warp(ink, {
    angle: strength * stream.uniform(-0.45, 0.45),
    scale: stream.uniform(0.62, 1),
    shear: strength * stream.uniform(-0.35, 0.35),
    aspect: stream.uniform(0.75, 1.33),
    right: stream.uniform(-3, 3),
    down: stream.uniform(-3, 3),
  });

  const thickness = stream.uniform(-0.6, 0.8);
  const direction = stream.uniform(-Math.PI, Math.PI);
  const distance = stream.uniform(11, 17);
  const beside = {
    angle: stream.uniform(-Math.PI, Math.PI),
    scale: stream.uniform(0.6, 1),
    shear: stream.uniform(-0.3, 0.3),
    aspect: stream.uniform(0.75, 1.33),
    right: cosine(direction) * distance,
    down: sine(direction) * distance,
  };
  if (stream.uniform() < 0.7 * strength) {
    stroke(distractor, thickness);
    warp(otherInk, beside);
    for (let k = 0; k < D * D; k++) ink[k] = Math.max(ink[k] as number, 0.75 * (otherInk[k] as number));
  }

  const polarity = stream.sign();
  const contrast = stream.uniform(0.3, 0.9);
  const base = 0.5 - (polarity * contrast) / 2 + stream.uniform(-0.1, 0.1);
  const roughness = strength * stream.uniform(0, 0.22);
  const noise = strength * stream.uniform(0.02, 0.11);
  drawTexture(stream);
  for (let k = 0; k < D * D; k++) {
    const light = base + polarity * contrast * (ink[k] as number) + roughness * (texture[k] as number);
    const value = light + noise * stream.normal();
    out[k] = Math.floor(Math.min(1, Math.max(0, value)) * TOP_LEVEL + 0.5);
  }
  return out;
}

// Work space, reused from image to image.
const ink = new Float64Array(D * D);
const otherInk = new Float64Array(D * D);
const texture = new Float64Array(D * D);
/** the stroked glyph with a border of zeros, so that bilinear reading needs no tests at the edge */
const PADDED = S + 2;
const padded = new Float64Array(PADDED * PADDED);
/** the glyph to be widened (for thinning: 15 - level), and the same widened along rows; borders of zeros never win */
const wider = new Uint8Array(PADDED * PADDED);
const rows = new Uint8Array(PADDED * PADDED);

/** Writes the thickened (a > 0) or thinned glyph, in [0, 1], to `padded`. Thinning widens the paper: min = 15 - max(15 - x). */
function stroke(glyph: Uint8Array, a: number): void {
  const flip = a > 0 ? 0 : TOP_LEVEL;
  for (let y = 0; y < S; y++) {
    for (let x = 0; x < S; x++) wider[(y + 1) * PADDED + x + 1] = Math.abs(flip - (glyph[y * S + x] as number));
  }
  for (let k = PADDED; k < PADDED * (S + 1); k++) {
    let most = wider[k] as number;
    if ((wider[k - 1] as number) > most) most = wider[k - 1] as number;
    if ((wider[k + 1] as number) > most) most = wider[k + 1] as number;
    rows[k] = most;
  }
  const strength = Math.abs(a);
  for (let y = 0; y < S; y++) {
    for (let x = 0; x < S; x++) {
      const k = (y + 1) * PADDED + x + 1;
      let most = rows[k] as number;
      if ((rows[k - PADDED] as number) > most) most = rows[k - PADDED] as number;
      if ((rows[k + PADDED] as number) > most) most = rows[k + PADDED] as number;
      const level = glyph[y * S + x] as number;
      padded[k] = (level + strength * (Math.abs(flip - most) - level)) / TOP_LEVEL;
    }
  }
}

interface Placement {
  /** radians */
  readonly angle: number;
  readonly scale: number;
  readonly shear: number;
  /** width over height */
  readonly aspect: number;
  /** pixels of the result */
  readonly right: number;
  readonly down: number;
}

/**
 * Reads `padded` at M (o - shift), bilinearly, zero outside; o = output pixel from the centre,
 *   M = diag(1 / (scale sqrt(aspect)), sqrt(aspect) / scale) [1 shear; 0 1] [cos -sin; sin cos].
 */
function warp(target: Float64Array, { angle, scale, shear, aspect, right, down }: Placement): void {
  const c = cosine(angle);
  const s = sine(angle);
  const wide = 1 / (scale * Math.sqrt(aspect));
  const high = Math.sqrt(aspect) / scale;
  const xx = wide * (c + shear * s);
  const xy = wide * (shear * c - s);
  const yx = high * s;
  const yy = high * c;
  const middle = (PADDED - 1) / 2;
  const half = (D - 1) / 2;
  for (let i = 0; i < D; i++) {
    const v = i - half - down;
    for (let j = 0; j < D; j++) {
      const u = j - half - right;
      const x = xx * u + xy * v + middle;
      const y = yx * u + yy * v + middle;
      let value = 0;
      if (x >= 0 && y >= 0 && x < PADDED - 1 && y < PADDED - 1) {
        const x0 = x | 0;
        const y0 = y | 0;
        const fx = x - x0;
        const fy = y - y0;
        const k = y0 * PADDED + x0;
        const top = (padded[k] as number) * (1 - fx) + (padded[k + 1] as number) * fx;
        const bottom = (padded[k + PADDED] as number) * (1 - fx) + (padded[k + PADDED + 1] as number) * fx;
        value = top * (1 - fy) + bottom * fy;
      }
      target[i * D + j] = value;
    }
  }
}

/** sin and cos by their power series to x^17 after folding to [-pi/2, pi/2]; error < 1e-13 for |x| <= pi. */
function sine(x: number): number {
  const folded = x > Math.PI / 2 ? Math.PI - x : x < -Math.PI / 2 ? -Math.PI - x : x;
  const x2 = folded * folded;
  let series = 0;
  for (let k = 8; k >= 1; k--) series = (-x2 / (2 * k * (2 * k + 1))) * (1 + series);
  return folded * (1 + series);
}

const cosine = (x: number): number => (x > 0 ? sine(Math.PI / 2 - x) : sine(Math.PI / 2 + x));

interface Octave {
  readonly k: number;
  readonly weight: number;
  /** for every output pixel the four cells it reads and their weights */
  readonly cells: Int32Array;
  readonly taps: Float64Array;
  /** k x k normals, and those upsampled along rows: k x 28 */
  readonly normals: Float64Array;
  readonly wide: Float64Array;
}

/** Bicubic upsampling from k to 28 with corners aligned (Keys' kernel, a = -.75), border cells repeated. */
function octave(k: number, weight: number): Octave {
  const cells = new Int32Array(4 * D);
  const taps = new Float64Array(4 * D);
  const a = -0.75;
  for (let j = 0; j < D; j++) {
    const position = (j * (k - 1)) / (D - 1);
    const first = Math.floor(position);
    for (let t = 0; t < 4; t++) {
      const cell = first - 1 + t;
      const d = Math.abs(position - cell);
      cells[4 * j + t] = Math.min(k - 1, Math.max(0, cell));
      taps[4 * j + t] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : (((d - 5) * d + 8) * d - 4) * a;
    }
  }
  return { k, weight, cells, taps, normals: new Float64Array(k * k), wide: new Float64Array(k * D) };
}

const OCTAVES = [octave(3, 0.6), octave(6, 0.4), octave(11, 0.3)];

function drawTexture(stream: Stream): void {
  texture.fill(0);
  for (const { k, weight, cells, taps, normals, wide } of OCTAVES) {
    for (let n = 0; n < k * k; n++) normals[n] = weight * stream.normal();
    for (let j = 0; j < D; j++) {
      const [c0, c1, c2, c3] = four(cells, j);
      const [t0, t1, t2, t3] = four(taps, j);
      for (let row = 0; row < k; row++) {
        const at = row * k;
        wide[row * D + j] =
          t0 * (normals[at + c0] as number) +
          t1 * (normals[at + c1] as number) +
          t2 * (normals[at + c2] as number) +
          t3 * (normals[at + c3] as number);
      }
    }
    for (let i = 0; i < D; i++) {
      const [c0, c1, c2, c3] = four(cells, i);
      const [t0, t1, t2, t3] = four(taps, i);
      for (let j = 0; j < D; j++) {
        const sum =
          t0 * (wide[c0 * D + j] as number) +
          t1 * (wide[c1 * D + j] as number) +
          t2 * (wide[c2 * D + j] as number) +
          t3 * (wide[c3 * D + j] as number);
        texture[i * D + j] = (texture[i * D + j] as number) + sum;
      }
    }
  }
}

function four(values: Int32Array | Float64Array, j: number): [number, number, number, number] {
  const at = 4 * j;
  return [values[at] as number, values[at + 1] as number, values[at + 2] as number, values[at + 3] as number];
}
