/** The Gauss-Newton diagonal by random signs, with its standard error. */
import { tf } from "../backend";
import { ruleOf } from "../layers";
import type { Batch, Model } from "../types";
import { type DiagonalEstimate, DrawStatistics } from "./estimate";
import { checked, forEachChunk, type LossOptions, MEMORY_BYTES, perImageSquares, probesOf } from "./gauss-newton";
import { squaredErrorMeanOverNC } from "./losses";
import { backward } from "./pass";

export interface MonteCarloOptions extends LossOptions {
  /** at least 2 (default 4): their spread is the standard error */
  readonly draws?: number;
  readonly seed?: number;
}

/**
 * Diagonal of the Gauss-Newton matrix by per-image Rademacher draws: the mean over S draws of
 *   sum_n (sum_c z_nc J_nc,j)^2 times 2 / (N C),   z_nc = +-1
 * (squared error; other losses: the columns of their Hessian's root for the outputs). Unbiased, with
 *   Var_j = (2 / S) sum_n [(sum_c J_nc,j^2)^2 - sum_c J_nc,j^4] (2 / (N C))^2,
 * estimated by the spread between the draws. Cost: 1 + 2 S forward passes, whatever C. The draws are those of
 * `gnDiag(..., { method: "rademacher" })`; the memory does not change them.
 * @returns trees shaped like the prunable weights; the caller disposes them
 */
export function gnDiagMonteCarlo(model: Model, data: Batch, options: MonteCarloOptions = {}): DiagonalEstimate {
  const { draws = 4, seed = 0, loss = squaredErrorMeanOverNC(), memoryBytes } = options;
  const { n, classes } = checked(model, data);
  const statistics = new DrawStatistics(draws);
  const { probes } = probesOf({ method: "rademacher", draws, seed }, n, classes);
  try {
    forEachChunk(model, data.x, 1, memoryBytes, (trace, from, size) => {
      for (let draw = 0; draw < draws; draw++)
        tf.tidy(() =>
          backward(trace, loss.root(trace.outputs, probes(from, size, draw, 1)), (node, point, dy) => {
            const key = node.params.weight;
            if (key === undefined || !ruleOf(node).weighted || !model.net.prunable.includes(key)) return;
            tf.tidy(() => statistics.add(key, perImageSquares(node, point, dy, memoryBytes ?? MEMORY_BYTES)));
          }),
        );
      statistics.close();
    });
    return statistics.finish(loss.rootWeight / loss.divisor(n, classes), model.net.prunable);
  } finally {
    statistics.dispose();
  }
}
