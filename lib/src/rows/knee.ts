/** One point of a sparsity curve: the share of the dense accuracy that is left at a keep ratio (1 = all of it). */
export interface SharePoint {
  readonly keep: number;
  readonly share: number;
}

/**
 * The knee: the keep ratio at which the share of dense accuracy first falls under `level`, coming from keep = 1 downward,
 * on straight lines over log(keep) between neighbouring points a (at or above the level) and b (below it):
 *   ln knee = ln keep_a + (share_a - level) / (share_a - share_b) (ln keep_b - ln keep_a)
 * The dense point (1, 1) is added when no point has keep = 1. Whatever the curve does after its first fall is not looked at.
 * @param points  in any order, no keep ratio twice
 * @returns null when no point lies under the level: the knee is then below the smallest keep ratio measured
 * @throws RangeError for a keep outside (0, 1], a share that is not finite, a keep twice, a level outside (0, 1), a dense
 *   point under the level
 */
export function interpolateKnee(points: readonly SharePoint[], level = 0.9): number | null {
  if (!(level > 0 && level < 1)) throw new RangeError(`level must be in (0, 1), got ${level}`);
  for (const { keep, share } of points) {
    if (!(keep > 0 && keep <= 1)) throw new RangeError(`keep must be in (0, 1], got ${keep}`);
    if (!Number.isFinite(share)) throw new RangeError(`share must be finite, got ${share} at keep ${keep}`);
  }
  const curve = [...points].sort((a, b) => b.keep - a.keep);
  if (curve[0]?.keep !== 1) curve.unshift({ keep: 1, share: 1 });
  const twice = curve.find((p, i) => p.keep === curve[i + 1]?.keep);
  if (twice) throw new RangeError(`keep ${twice.keep} is given twice; average first`);

  const i = curve.findIndex((p) => p.share < level);
  if (i < 0) return null;
  const b = curve[i]!;
  const a = curve[i - 1];
  if (!a) throw new RangeError(`the dense point must reach the level ${level}, got ${b.share}`);
  const fraction = (a.share - level) / (a.share - b.share);
  return Math.exp(Math.log(a.keep) + fraction * (Math.log(b.keep) - Math.log(a.keep)));
}
