/** Light random affine views of grey images, for supervised pre-training. */
import type { Stream } from "../backend";

export interface ViewOptions {
  /** radians, U(-rotation, rotation) */
  readonly rotation: number;
  /** U(1 - scale, 1 + scale) */
  readonly scale: number;
  /** exp(U(-aspect, aspect)) */
  readonly aspect: number;
  /** share of half the side, U(-shift, shift) in both directions */
  readonly shift: number;
}

export const LIGHT_VIEWS: ViewOptions = { rotation: 0.2, scale: 0.1, aspect: 0.2, shift: 0.12 };

/** @throws RangeError naming the option that is out of range */
export function checkViews(options: ViewOptions): void {
  for (const name of ["rotation", "scale", "aspect", "shift"] as const)
    if (!(options[name] >= 0 && Number.isFinite(options[name])))
      throw new RangeError(`views: ${name} must be a number >= 0, got ${options[name]}`);
}

/**
 * One bilinear view of a square image, mirrored beyond its edges; `out` is written.
 * @param image side * side values, as `out`
 */
export function affineView(
  image: Float32Array,
  side: number,
  random: Stream,
  options: ViewOptions,
  out: Float32Array,
): void {
  if (!(Number.isInteger(side) && side >= 2 && image.length === side * side && out.length === side * side))
    throw new RangeError(
      `affineView: image and out must have side * side values, side >= 2; got ${image.length} and ${out.length} for side ${side}`,
    );
  const angle = random.uniform(-options.rotation, options.rotation);
  const zoom = random.uniform(1 - options.scale, 1 + options.scale);
  const aspect = Math.exp(random.uniform(-options.aspect, options.aspect));
  const [c, s] = [zoom * Math.cos(angle), zoom * Math.sin(angle)];
  const half = (side - 1) / 2;
  const dx = random.uniform(-options.shift, options.shift) * half;
  const dy = random.uniform(-options.shift, options.shift) * half;
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      const [u, v] = [column - half, row - half];
      const x = mirrored(c * aspect * u - (s / aspect) * v + dx + half, side);
      const y = mirrored(s * aspect * u + (c / aspect) * v + dy + half, side);
      const [x0, y0] = [Math.min(Math.floor(x), side - 2), Math.min(Math.floor(y), side - 2)];
      const [fx, fy] = [x - x0, y - y0];
      const at = y0 * side + x0;
      const top = image[at]! * (1 - fx) + image[at + 1]! * fx;
      const bottom = image[at + side]! * (1 - fx) + image[at + side + 1]! * fx;
      out[row * side + column] = top * (1 - fy) + bottom * fy;
    }
}

/** Reflects a coordinate into [0, side - 1]. */
function mirrored(x: number, side: number): number {
  const last = side - 1;
  const folded = Math.abs(x) % (2 * last);
  return folded > last ? 2 * last - folded : folded;
}
