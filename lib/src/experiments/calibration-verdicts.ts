/** What the expansion of the loss claims about masks, as ratios that could turn out otherwise. */
import { judge } from "../rows";
import type { Row, TaskKind } from "../types";
import type { Claim } from "./verdicts";

interface Sums {
  readonly measured: number;
  readonly predicted: number;
  readonly ownLayer: number;
  readonly crossLayer: number;
  readonly residual: number;
}

/**
 * Verdicts from rows of `calibration` with the scores magnitude and diagonal (one shot, and in rounds) at keep ratios 0.64, 0.41 and
 * 0.168. A run is one model, source and draw; within a run, changes are added up over the tasks of a kind, then divided. "Predicted"
 * is first order plus the quadratic form of the Gauss-Newton matrix over all layers.
 * @throws RangeError naming the rows that are missing
 */
export function calibrationVerdicts(rows: readonly Row[]): Claim[] {
  const runs = [...new Set(rows.map(runOf))];
  const per = (score: string, schedule: "one shot" | "rounds", keep: number, kind: TaskKind): Sums[] =>
    runs.map((run) => {
      const own = rows.filter(
        (row) =>
          runOf(row) === run &&
          row.taskKind === kind &&
          row.score === score &&
          (schedule === "rounds") === row.rounds > 1 &&
          Math.abs(row.keep - keep) < 0.02 * keep,
      );
      const sum = (metric: string): number => {
        const found = own.filter((row) => row.metric === metric);
        if (found.length === 0)
          throw new RangeError(`no row '${metric}' for ${score}, ${schedule}, keep ${keep}, ${kind} in run ${run}`);
        return found.reduce((total, { value }) => total + value, 0);
      };
      return {
        measured: sum("lossChange"),
        predicted: sum("lossPredictedGaussNewton"),
        ownLayer: sum("lossPartOwnLayer"),
        crossLayer: sum("lossPartCrossLayer"),
        residual: sum("lossPartResidualCurvature"),
      };
    });
  const missed = (s: Sums): number => s.measured / s.predicted;
  const small = per("magnitude", "one shot", 0.64, "source").map(missed);
  const middle = per("magnitude", "one shot", 0.4096, "source");
  const elsewhere = per("magnitude", "one shot", 0.4096, "transfer").map(missed);
  const deep = per("magnitude", "one shot", 0.1678, "source").map(missed);
  const chosen = per("diagonal", "one shot", 0.1678, "source").map(missed);
  const again = per("diagonal", "rounds", 0.1678, "source").map(missed);
  return [
    {
      id: "calibration-small",
      claim: "a small cut is foreseen: measured / predicted, magnitude, keep 0.64, source",
      predicted: "between 0.8 and 1.25",
      ...judge(small, { above: 0.8, below: 1.25 }),
    },
    {
      id: "calibration-transfer",
      claim: "as well on tasks that the mask never saw: that ratio on transfer / on the source, magnitude, keep 0.41",
      predicted: "between 0.67 and 1.5",
      ...judge(
        elsewhere.map((x, i) => x / missed(middle[i]!)),
        { above: 0.67, below: 1.5 },
      ),
    },
    {
      id: "calibration-layers",
      claim: "layers act together: second order across layers / within layers, magnitude, keep 0.41, source",
      predicted: "above 0.5",
      ...judge(
        middle.map((s) => s.crossLayer / s.ownLayer),
        { above: 0.5 },
      ),
    },
    {
      id: "calibration-residual",
      claim: "Gauss-Newton is enough: size of residual curvature / quadratic form, magnitude, keep 0.41, source",
      predicted: "below 0.25",
      ...judge(
        middle.map((s) => Math.abs(s.residual / (s.ownLayer + s.crossLayer))),
        { below: 0.25 },
      ),
    },
    {
      id: "calibration-chosen",
      claim:
        "a mask chosen by a local score is foreseen worse: measured / predicted, one-shot diagonal / magnitude, keep 0.168, source",
      predicted: "above 2",
      ...judge(
        chosen.map((x, i) => x / deep[i]!),
        { above: 2 },
      ),
    },
    {
      id: "calibration-rounds",
      claim: "fresh scores mend that: measured / predicted, diagonal in rounds / in one shot, keep 0.168, source",
      predicted: "below 0.5",
      ...judge(
        again.map((x, i) => x / chosen[i]!),
        { below: 0.5 },
      ),
    },
  ];
}

const runOf = ({ model, pretraining, seed, source, draw }: Row): string =>
  `${model} ${pretraining} seed ${seed}, source ${source}, draw ${draw}`;
