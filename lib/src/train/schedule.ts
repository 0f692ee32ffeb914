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

/** A number that changes in a line from one value to another over the first part of training. */
export interface Ramp {
  readonly from: number;
  readonly to: number;
  /** share of training after which it is `to`; 0: from the start on */
  readonly until: number;
}

/** from + (to - from) min(1, t / until). @throws RangeError naming the value that is out of range */
export function rampSchedule({ from, to, until }: Ramp): Schedule {
  checkEnds(from, to);
  if (!(until >= 0 && until <= 1)) throw new RangeError(`ramp: until must be in [0, 1], got ${until}`);
  return (t) => (t >= until ? to : from + (to - from) * (t / until));
}

/** to - (to - from) (1 + cos(pi t)) / 2: a half cosine from one value to another over all of training. */
export function cosineRampSchedule({ from, to }: Omit<Ramp, "until">): Schedule {
  checkEnds(from, to);
  return (t) => to - ((to - from) * (1 + Math.cos(Math.PI * t))) / 2;
}

function checkEnds(from: number, to: number): void {
  if (!(Number.isFinite(from) && Number.isFinite(to)))
    throw new RangeError(`ramp: from and to must be numbers, got ${from} and ${to}`);
}
