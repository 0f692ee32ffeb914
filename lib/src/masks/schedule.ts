/**
 * Keep ratios of `rounds` rounds, each removing the same share of what is left: keep_r = keep^(r / rounds), r = 1 ... rounds.
 * The last is exactly `keep`.
 */
export function exponentialSchedule(keep: number, rounds: number): number[] {
  return gridSchedule([keep], rounds);
}

/**
 * One path of keep ratios through every point of a grid, with `roundsBetween` rounds from one point to the next (from 1 to the
 * first), geometric in between: the masks of all points come out of one run. Grid points are met exactly.
 *   gridSchedule([0.64, 0.4096], 2) = [0.8, 0.64, 0.512, 0.4096]
 * @throws RangeError unless the grid falls strictly within (0, 1]
 */
export function gridSchedule(grid: readonly number[], roundsBetween: number): number[] {
  if (!(Number.isSafeInteger(roundsBetween) && roundsBetween >= 1))
    throw new RangeError(`rounds must be a whole number >= 1, got ${roundsBetween}`);
  if (grid.length === 0) throw new RangeError("grid must have at least one keep ratio");
  grid.forEach((keep, i) => {
    if (!(keep > 0 && keep <= 1)) throw new RangeError(`keep must be in (0, 1], got ${keep}`);
    if (i > 0 && !(keep < grid[i - 1]!))
      throw new RangeError(`grid must fall strictly, got ${grid[i - 1]} before ${keep}`);
  });
  return grid.flatMap((keep, i) => {
    const from = i === 0 ? 1 : grid[i - 1]!;
    return Array.from({ length: roundsBetween }, (_, r) =>
      r === roundsBetween - 1 ? keep : from * (keep / from) ** ((r + 1) / roundsBetween),
    );
  });
}
