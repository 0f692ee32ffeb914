/** How the knee moves with the size of a net of one kind, and what that would say of a larger one. */
import { netByName, prunableCount } from "../nets";
import { fitLine, groupBy, kneeIntervals, predictLine } from "../rows";
import type { Row, TaskKind, WidthPoint, WidthTrend } from "../types";

export interface WidthTrendOptions {
  /** the net that the line is carried on to, default "resnet50" */
  readonly net?: string;
  /** default "transfer" */
  readonly taskKind?: TaskKind;
  readonly confidence?: number;
}

/**
 * For each series: the mean knee of every backbone, and a straight line
 *   ln knee = a + b ln(prunable weights)
 * through one point a backbone (runs of one backbone are no independent points), with the prediction interval for one more backbone
 * of another size. The interval knows how far backbones scatter around the line, not whether the line goes on.
 * @param rows of `p1`, of ONE pre-training and protocol
 * @throws RangeError when the rows mix pre-trainings or protocols
 */
export function widthTrend(rows: readonly Row[], options: WidthTrendOptions = {}): WidthTrend[] {
  const { net = "resnet50", taskKind = "transfer", confidence = 0.95 } = options;
  for (const column of ["pretraining", "protocol"] as const) {
    const seen = [...new Set(rows.map((row) => row[column]))];
    if (seen.length > 1) throw new RangeError(`widthTrend: rows mix ${column}: ${seen.join(", ")}; filter first`);
  }
  const weights = prunableCount(netByName(net));
  const points = groupBy(rows, ["model", "seed"]).flatMap(({ key, rows: own }) =>
    kneeIntervals(own, { confidence })
      .filter((knee) => knee.taskKind === taskKind)
      .map((knee) => ({ ...knee, ...key, weights: prunableCount(netByName(key.model)) })),
  );
  return groupBy(points, ["score", "rounds"]).map(({ key, rows: own }) => {
    const sorted = own
      .map(({ model, seed, weights: size, mean, sd, n, censored }): WidthPoint => {
        return { model, seed, weights: size, knee: mean, sd, runs: n, censored };
      })
      .sort((a, b) => a.weights - b.weights || a.seed - b.seed);
    const fitted = sorted.filter(({ censored }) => censored === 0);
    if (new Set(fitted.map((point) => point.weights)).size < 2) return { ...key, points: sorted };
    const line = fitLine(fitted.map((point) => ({ x: Math.log(point.weights), y: Math.log(point.knee) })));
    const { mean, low, high } = predictLine(line, Math.log(weights), confidence);
    const predicted = { net, weights, knee: Math.exp(mean), low: Math.exp(low), high: Math.exp(high) };
    return { ...key, points: sorted, line, predicted };
  });
}
