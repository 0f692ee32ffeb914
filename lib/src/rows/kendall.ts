/**
 * Kendall's tau-a of two lists of numbers about the same things: (pairs in the same order - pairs in opposite order) / all pairs;
 * a pair that is equal in either list counts for neither. 1: the same order, 0.5: three of four pairs, -1: reversed.
 * @throws RangeError for lists of different lengths, fewer than two values, or a value that is not finite
 */
export function kendall(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length || a.length < 2)
    throw new RangeError(`kendall: lists must be equally long, at least 2, got ${a.length} and ${b.length}`);
  const bad = [...a, ...b].find((x) => !Number.isFinite(x));
  if (bad !== undefined) throw new RangeError(`kendall: values must be finite, got ${bad}`);
  let score = 0;
  for (let i = 0; i < a.length; i++)
    for (let j = 0; j < i; j++) score += Math.sign(a[i]! - a[j]!) * Math.sign(b[i]! - b[j]!);
  return score / ((a.length * (a.length - 1)) / 2);
}
