/** Learning rate as a function of the share of training that is done, 0 <= t < 1. */
export type Schedule = (t: number) => number;

/** rate, times 0.1 at each of the milestones (shares of the training). */
export function stepSchedule(rate: number, milestones: readonly number[] = [1 / 3, 2 / 3, 8 / 9]): Schedule {
  checkRate(rate);
  for (const milestone of milestones)
    if (!(milestone >= 0 && milestone <= 1))
      throw new RangeError(`milestones must be shares of the training, 0 to 1, got ${milestone}`);
  return (t) => rate * 0.1 ** milestones.filter((milestone) => t >= milestone).length;
}

/** Linear warm-up to rate over the first `warmup` of training, times a half cosine over all of it. */
export function cosineSchedule(rate: number, warmup = 0.05): Schedule {
  checkRate(rate);
  if (!(warmup >= 0 && warmup < 1)) throw new RangeError(`warmup must be in [0, 1), got ${warmup}`);
  return (t) => rate * (warmup > 0 ? Math.min(1, t / warmup) : 1) * 0.5 * (1 + Math.cos(Math.PI * t));
}

function checkRate(rate: number): void {
  if (!(rate > 0 && Number.isFinite(rate))) throw new RangeError(`rate must be a positive number, got ${rate}`);
}
