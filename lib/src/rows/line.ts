import type { Line } from "../types";
import { stats } from "./group";
import { tQuantile } from "./interval";

/**
 * The straight line of least squares through points whose errors are independent.
 *   slope = sum (x - mean x)(y - mean y) / sum (x - mean x)^2
 * @throws RangeError for numbers that are not finite, or fewer than two different x
 */
export function fitLine(points: readonly { readonly x: number; readonly y: number }[]): Line {
  const bad = points.find(({ x, y }) => !Number.isFinite(x) || !Number.isFinite(y));
  if (bad) throw new RangeError(`fitLine: points must be finite, got (${bad.x}, ${bad.y})`);
  if (new Set(points.map(({ x }) => x)).size < 2)
    throw new RangeError(`fitLine: points must have at least two different x, got ${points.length} point(s)`);
  const [meanX, meanY] = [stats(points.map(({ x }) => x)).mean, stats(points.map(({ y }) => y)).mean];
  const squaresX = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / squaresX;
  const intercept = meanY - slope * meanX;
  const rest = points.reduce((sum, { x, y }) => sum + (y - intercept - slope * x) ** 2, 0);
  const n = points.length;
  return { intercept, slope, sd: n > 2 ? Math.sqrt(rest / (n - 2)) : Number.NaN, n, meanX, squaresX };
}

/**
 * What the line says of ONE more point at x, with its prediction interval
 *   intercept + slope x ± t(n - 2) sd sqrt(1 + 1/n + (x - meanX)^2 / squaresX);
 * infinite for a line through two points. It knows the scatter around the line, not whether the line goes on.
 */
export function predictLine(
  line: Line,
  x: number,
  confidence = 0.95,
): { readonly mean: number; readonly low: number; readonly high: number } {
  if (!Number.isFinite(x)) throw new RangeError(`predictLine: x must be finite, got ${x}`);
  if (!(confidence > 0 && confidence < 1)) throw new RangeError(`confidence must be in (0, 1), got ${confidence}`);
  const { intercept, slope, sd, n, meanX, squaresX } = line;
  const mean = intercept + slope * x;
  const half =
    n > 2
      ? tQuantile(1 - (1 - confidence) / 2, n - 2) * sd * Math.sqrt(1 + 1 / n + (x - meanX) ** 2 / squaresX)
      : Number.POSITIVE_INFINITY;
  return { mean, low: mean - half, high: mean + half };
}
