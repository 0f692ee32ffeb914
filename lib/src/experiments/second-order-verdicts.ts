/** What the second-order view claims, as ratios that could turn out otherwise. */
import { judge } from "../rows";
import type { Row } from "../types";
import type { Claim } from "./verdicts";

/**
 * Verdicts from rows of `secondOrder` with the scores magnitude and diagonal (one shot, and in rounds) at keep ratios 0.41 and 0.168.
 * A run is one model, source and draw; every ratio is formed within a run.
 * @throws RangeError naming the row that is missing
 */
export function secondOrderVerdicts(rows: readonly Row[]): Claim[] {
  const runs = [...new Set(rows.map(runOf))];
  const per = (metric: string, score: string, rounds: "one shot" | "rounds", keep: number): number[] =>
    runs.map((run) => {
      const found = rows.find(
        (row) =>
          runOf(row) === run &&
          row.metric === metric &&
          row.score === score &&
          (rounds === "rounds") === row.rounds > 1 &&
          Math.abs(row.keep - keep) < 0.02 * keep,
      );
      if (!found) throw new RangeError(`no row '${metric}' for ${score}, ${rounds}, keep ${keep} in run ${run}`);
      return found.value;
    });
  const ratio = (above: readonly number[], below: readonly number[]): number[] => above.map((x, i) => x / below[i]!);
  const magnitude = (metric: string): number[] => per(metric, "magnitude", "one shot", 0.4096);
  const diagonal = (metric: string, rounds: "one shot" | "rounds" = "one shot"): number[] =>
    per(metric, "diagonal", rounds, 0.1678);
  const [first, form] = [magnitude("lossPredictedFirstOrder"), magnitude("lossPredictedQuadratic")];
  const measured = diagonal("lossChange");
  return [
    {
      id: "minimum",
      claim: "the start is nearly a minimum: size of first order / quadratic form, magnitude, keep 0.41",
      predicted: "below 0.25",
      ...judge(ratio(first, form).map(Math.abs), { below: 0.25 }),
    },
    {
      id: "foreseen",
      claim: "first and second order foresee the loss: measured / predicted, magnitude, keep 0.41",
      predicted: "between 0.5 and 2",
      ...judge(
        ratio(
          magnitude("lossChange"),
          first.map((x, i) => x + form[i]!),
        ),
        { above: 0.5, below: 2 },
      ),
    },
    {
      id: "diagonal-underestimates",
      claim: "a one-shot diagonal mask costs more than its own score says: measured / diagonal, keep 0.168",
      predicted: "above 3",
      ...judge(ratio(measured, diagonal("lossPredictedDiagonal")), { above: 3 }),
    },
    {
      id: "rounds-cost-less",
      claim: "fresh scores cost less: measured in rounds / in one shot, diagonal, keep 0.168",
      predicted: "below 1",
      ...judge(ratio(diagonal("lossChange", "rounds"), measured), { below: 1 }),
    },
    {
      id: "drift",
      claim: "the cost is drift: with norms measured again / as stored, one-shot diagonal, keep 0.168",
      predicted: "below 0.5",
      ...judge(ratio(diagonal("lossChangeRecalibrated"), measured), { below: 0.5 }),
    },
  ];
}

const runOf = ({ model, pretraining, seed, source, draw }: Row): string =>
  `${model} ${pretraining} seed ${seed}, source ${source}, draw ${draw}`;
