import { stats } from "./group";

/** A mean with the half width of its confidence interval. */
export interface Interval {
  readonly mean: number;
  readonly sd: number;
  readonly n: number;
  readonly low: number;
  readonly high: number;
  /** high - mean */
  readonly halfWidth: number;
}

export type Verdict = "supports" | "refutes" | "open";

/**
 * Student-t interval of a mean: mean ± t(1 - (1 - confidence) / 2, n - 1) sd / sqrt(n), for values that are independent
 * (sources, seeds), not for images of one run. One value has no interval: low = -Infinity, high = Infinity.
 * @throws RangeError for no value, a value that is not finite, or confidence outside (0, 1)
 */
export function meanInterval(values: readonly number[], confidence = 0.95): Interval {
  if (!(confidence > 0 && confidence < 1)) throw new RangeError(`confidence must be in (0, 1), got ${confidence}`);
  const bad = values.find((x) => !Number.isFinite(x));
  if (bad !== undefined) throw new RangeError(`meanInterval: values must be finite, got ${bad}`);
  const { mean, sd, n } = stats(values);
  const halfWidth = n > 1 ? (tQuantile(1 - (1 - confidence) / 2, n - 1) * sd) / Math.sqrt(n) : Number.POSITIVE_INFINITY;
  return { mean, sd, n, low: mean - halfWidth, high: mean + halfWidth, halfWidth };
}

/**
 * Measured values against a prediction about their mean, by the confidence interval: "supports" when the whole interval
 * keeps to it, "refutes" when the whole interval breaks it, "open" otherwise (always, for one value).
 * @param prediction  the mean is above and / or below these numbers
 */
export function judge(
  values: readonly number[],
  prediction: { readonly above?: number; readonly below?: number },
  confidence = 0.95,
): { readonly measured: Interval; readonly verdict: Verdict } {
  const { above = Number.NEGATIVE_INFINITY, below = Number.POSITIVE_INFINITY } = prediction;
  if (!(above < below) || (prediction.above ?? prediction.below) === undefined)
    throw new RangeError(`judge: a prediction needs above < below, got ${JSON.stringify(prediction)}`);
  const measured = meanInterval(values, confidence);
  const { low, high } = measured;
  const verdict =
    measured.n < 2
      ? "open"
      : low > above && high < below
        ? "supports"
        : high <= above || low >= below
          ? "refutes"
          : "open";
  return { measured, verdict };
}

/**
 * The t with P(T <= t) = p for Student's T with a whole number of degrees of freedom, by bisection on the closed form.
 * Relative error below 1e-9 for p in [1e-6, 1 - 1e-6].
 * @throws RangeError unless 0 < p < 1 and df = 1, 2, 3 ...
 */
export function tQuantile(p: number, df: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`p must be in (0, 1), got ${p}`);
  if (!Number.isSafeInteger(df) || df < 1) throw new RangeError(`df must be 1, 2, 3 ..., got ${df}`);
  if (p < 0.5) return -tQuantile(1 - p, df);
  // P(|T| <= t) grows with the angle atan(t / sqrt(df)) from 0 to 1
  let [low, high] = [0, Math.PI / 2];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (centralProbability(middle, df) < 2 * p - 1) low = middle;
    else high = middle;
  }
  return Math.sqrt(df) * Math.tan(low);
}

/**
 * P(|T| <= t) with angle = atan(t / sqrt(df)), a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4):
 *   even df: sin (1 + 1/2 cos^2 + 1 3 / (2 4) cos^4 + ... up to cos^(df-2))
 *   odd df:  2/pi (angle + sin (cos + 2/3 cos^3 + 2 4 / (3 5) cos^5 + ... up to cos^(df-2)))
 */
function centralProbability(angle: number, df: number): number {
  const cos = Math.cos(angle);
  const odd = df % 2 === 1;
  let term = odd ? cos : 1;
  let sum = 0;
  for (let power = odd ? 1 : 0; power <= df - 2; power += 2) {
    sum += term;
    term *= ((power + 1) / (power + 2)) * cos * cos;
  }
  const series = Math.sin(angle) * sum;
  return odd ? (2 / Math.PI) * (angle + series) : series;
}
