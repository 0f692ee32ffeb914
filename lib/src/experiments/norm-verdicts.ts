/** What the claims of P1 become when the pruned net's norm statistics are estimated again: a loss that is drift is no loss of weights. */
import { groupBy, knees, replicates, smallestKeepOf, stats } from "../rows";
import type { Row } from "../types";
import {
  at,
  type Claim,
  claimOf,
  is,
  nameOf,
  paired,
  present,
  runOf,
  type Series,
  series,
  type Values,
} from "./verdicts";

const MAGNITUDE = series("magnitude");
const DIAGONAL = series("diagonal", "rounds");
const BLOCK = series("blockObs", "rounds");

/**
 * Verdicts from rows of `ablations` of ONE backbone (`perBackbone` for more), with the variants "" (frozen statistics) and
 * "recalibrated"; transfer tasks, paired by run (source, seed and draw). A claim is left out when its rows are not there.
 * - what recalibrating does to the dense net, in points of accuracy
 * - P1 at keep 0.41: the share of the frozen dense accuracy that each score keeps, recalibrated
 * - magnitude and block minus diagonal in rounds at keep 0.26 and 0.17, recalibrated, and how much the lead of magnitude grows
 * - the knee, frozen minus recalibrated; a knee below the smallest keep ratio counts as that ratio
 */
export function normVerdicts(rows: readonly Row[]): Claim[] {
  const accuracy = rows.filter(({ metric, taskKind }) => metric === "accuracy" && taskKind === "transfer");
  const of = (variant: string): Row[] => accuracy.filter((row) => row.variant === variant);
  const dense = of("").filter(({ keep }) => keep === 1);
  const [frozen, recalibrated] = [of(""), of("recalibrated")].map((all) => all.filter(({ keep }) => keep < 1)) as [
    Row[],
    Row[],
  ];
  if (frozen.length === 0 || recalibrated.length === 0) return [];
  const runs = { frozen: replicates(frozen), recalibrated: replicates(recalibrated) };
  const shares = replicates([...dense, ...recalibrated], { relative: true }).map((r) => ({
    ...r,
    value: 100 * r.value,
  }));
  const lead = (of: keyof typeof runs, s: Series, keep: number): Values => {
    const [left, right] = [at(runs[of], s, keep), at(runs[of], DIAGONAL, keep)];
    return new Map([...left].filter(([run]) => right.has(run)).map(([run, value]) => [run, value - right.get(run)!]));
  };
  const points = { predicted: "above 0 points", unit: "points" };
  const kneesOf = (own: readonly Row[], s: Series): Values =>
    new Map(
      knees([...dense, ...own])
        .filter((run) => is(run, s))
        .map((run) => [runOf(run), run.knee ?? smallestKeepOf(own, run)]),
    );
  return present([
    claimOf(
      "norms-dense",
      "statistics of the source's images do the dense net no harm: recalibrated minus frozen",
      "above -1 point",
      points.unit,
      denseChange(of("recalibrated"), dense),
      { above: -1 },
    ),
    ...[MAGNITUDE, DIAGONAL, BLOCK].map((s) =>
      claimOf(
        `norms-transfer-${s.score}`,
        `P1 with norms estimated again: ${nameOf(s)}, keep 0.4096`,
        "above 90 % of dense",
        "% of dense",
        [...at(shares, s, 0.4096).values()],
        { above: 90 },
      ),
    ),
    ...[0.2621, 0.1678].flatMap((keep) => [
      ...[MAGNITUDE, BLOCK].map((s) =>
        claimOf(
          `norms-${s.score}-diagonal-${keep}`,
          `with norms estimated again ${nameOf(s)} keeps transfer better than ${nameOf(DIAGONAL)}, keep ${keep}`,
          points.predicted,
          points.unit,
          [...lead("recalibrated", s, keep).values()],
          { above: 0 },
        ),
      ),
      claimOf(
        `norms-lead-${keep}`,
        `frozen norms hide what magnitude keeps: its lead over ${nameOf(DIAGONAL)}, recalibrated minus frozen, keep ${keep}`,
        points.predicted,
        points.unit,
        paired(lead("recalibrated", MAGNITUDE, keep), lead("frozen", MAGNITUDE, keep)),
        { above: 0 },
      ),
    ]),
    ...[MAGNITUDE, DIAGONAL, BLOCK].map((s) =>
      claimOf(
        `norms-knee-${s.score}`,
        `the knee moves down when norms are estimated again: frozen minus recalibrated, ${nameOf(s)}`,
        "above 0",
        "keep",
        paired(kneesOf(frozen, s), kneesOf(recalibrated, s)),
        { above: 0 },
      ),
    ),
  ]);
}

/** Mean over transfer tasks, by source and seed. */
function denseChange(recalibrated: readonly Row[], dense: readonly Row[]): number[] {
  const of = (rows: readonly Row[]): Values =>
    new Map(
      groupBy(
        rows.filter(({ keep }) => keep === 1),
        ["source", "seed"],
      ).map(({ key, rows: own }) => [JSON.stringify(key), stats(own.map(({ value }) => value)).mean]),
    );
  return paired(of(recalibrated), of(dense));
}
