/** The loop of scoring and masking, in one shot or in nested rounds. */
import { globalThreshold, gridSchedule, maskedWeights } from "../masks";
import { withParams } from "../nets";
import { disposeTree, toHost } from "../tree";
import type { Batch, Mask, Model, Progress, Scorer } from "../types";

export interface PruneOptions {
  /** keep ratios, strictly falling: one path passes through all of them, so their masks are nested */
  readonly grid: readonly number[];
  /**
   * 1: one shot, one score of the dense model and a threshold for each keep ratio.
   * m times the length of the grid: nested rounds, m from one keep ratio to the next (from 1 to the first), with fresh scores of
   * the masked model in each.
   */
  readonly rounds: number;
  readonly progress?: Progress;
}

export interface PrunedMask {
  readonly keep: number;
  readonly mask: Mask;
}

/**
 * Masks at every keep ratio of the grid, exactly round(keep * p) weights kept by the highest scores of all layers together;
 * what is removed stays removed.
 * @param model dense, with the source task's head; not changed
 * @param data  scoring images of the source task
 * @throws RangeError for a grid that does not fall within (0, 1]; Error naming a score that is not finite
 */
export async function prune(model: Model, scorer: Scorer, data: Batch, options: PruneOptions): Promise<PrunedMask[]> {
  const { grid, rounds, progress } = options;
  const between = rounds === 1 ? 1 : rounds / grid.length;
  if (!(Number.isInteger(between) && between >= 1))
    throw new RangeError(`rounds must be 1 or a multiple of the ${grid.length} keep ratios of the grid, got ${rounds}`);
  const schedule = gridSchedule(grid, between);
  const order = model.net.prunable;
  if (rounds === 1) {
    const scores = hostScores(model, scorer, data);
    await progress?.step(1);
    return grid.map((keep) => ({ keep, mask: globalThreshold(scores, keep, { order }) }));
  }
  const masks: PrunedMask[] = [];
  let mask: Mask | undefined;
  for (const [round, keep] of schedule.entries()) {
    const weights = mask && maskedWeights(model, mask);
    try {
      const scores = hostScores(weights ? withParams(model, weights) : model, scorer, data);
      mask = globalThreshold(scores, keep, { order, previous: mask });
    } finally {
      if (weights) disposeTree(weights);
    }
    if ((round + 1) % between === 0) masks.push({ keep: grid[masks.length]!, mask });
    await progress?.step(round + 1, `keep ${keep.toFixed(3)}`);
  }
  return masks;
}

function hostScores(model: Model, scorer: Scorer, data: Batch): ReturnType<typeof toHost> {
  const scores = scorer.score(model, data);
  const host = toHost(scores);
  disposeTree(scores);
  return host;
}
