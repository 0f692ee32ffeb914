/** The claims of the two predictions, as numbers that could turn out otherwise, and what rows say about them. */
import type { VerdictRow } from "../notebook";
import { judge, knees, type Lift, lifts, type Replicate, replicates } from "../rows";
import type { Row, TaskKind } from "../types";

/** A verdict with the name that tests and CLAIMS.md know it by. */
export interface Claim extends VerdictRow {
  readonly id: string;
}

export interface Series {
  /** name of a scorer, or its beginning: "blockObs" is any chunk size */
  readonly score: string;
  readonly rounds: "one shot" | "rounds";
}

export const series = (score: string, rounds: Series["rounds"] = "one shot"): Series => ({ score, rounds });
export const is = (row: { score: string; rounds: number }, { score, rounds }: Series): boolean =>
  row.score.startsWith(score) && (rounds === "rounds" ? row.rounds > 1 : row.rounds === 1);
export const near = (keep: number, wanted: number): boolean => Math.abs(keep - wanted) <= 0.02 * wanted;

/** Everything below is about the runs that are there: a run is one source, pre-training seed and draw. */
export const runOf = ({ source, seed, draw }: { source: string; seed: number; draw: number }): string =>
  `${source} ${seed} ${draw}`;

/** By run. */
export type Values = ReadonlyMap<string, number>;

/** One value a run: replicates of ONE kind of task. */
export const at = (runs: readonly Replicate[], s: Series, keep: number): Values =>
  new Map(runs.filter((run) => is(run, s) && near(run.keep, keep)).map((run) => [runOf(run), run.value]));

/** a - b of every run that both have. */
export const paired = (a: Values, b: Values): number[] =>
  [...a].filter(([run]) => b.has(run)).map(([run, value]) => value - b.get(run)!);

/**
 * Verdicts on P1 from rows of `p1` (accuracy). A claim is left out when its scores were not run.
 * Shares are of the dense accuracy; differences are paired by run, in points of accuracy.
 */
export function p1Verdicts(rows: readonly Row[]): Claim[] {
  const runs = replicates(rows);
  const shares = replicates(rows, { relative: true }).map((r) => ({ ...r, value: 100 * r.value }));
  const ofKind = (from: readonly Replicate[], s: Series, keep: number, taskKind: TaskKind): Values =>
    at(
      from.filter((run) => run.taskKind === taskKind),
      s,
      keep,
    );
  const share = (
    id: string,
    s: Series,
    keep: number,
    kind: TaskKind,
    claim: string,
    above: number,
  ): Claim | undefined =>
    claimOf(
      id,
      `${claim}: ${nameOf(s)}, keep ${keep}`,
      `above ${above} % of dense`,
      "% of dense",
      [...ofKind(shares, s, keep, kind).values()],
      { above },
    );
  const difference = (
    id: string,
    a: Series,
    b: Series,
    keep: number,
    kind: TaskKind,
    claim: string,
    below?: number,
  ): Claim | undefined => {
    const values = paired(ofKind(runs, a, keep, kind), ofKind(runs, b, keep, kind));
    return claimOf(
      id,
      `${claim}: ${nameOf(a)} minus ${nameOf(b)}, ${kind}, keep ${keep}`,
      below === undefined ? "above 0 points" : `below ${below} points`,
      "points",
      values,
      below === undefined ? { above: 0 } : { below },
    );
  };
  const specialised = (s: Series, keep: number): Claim | undefined => {
    const source = ofKind(shares, s, keep, "source");
    const transfer = ofKind(shares, s, keep, "transfer");
    const values = [...source].map(([run, value]) => value - transfer.get(run)!);
    return claimOf(
      "specialised",
      `a score that sees the source favours it: source minus transfer share, ${nameOf(s)}, keep ${keep}`,
      "above 0",
      "points of share",
      values,
      { above: 0 },
    );
  };
  const randomKnees = knees(rows)
    .filter((k) => k.score.startsWith("random") && k.taskKind === "transfer")
    .map((k) => k.knee ?? 0);
  return present([
    share("p1-source", series("diagonal", "rounds"), 0.4096, "source", "P1 pruning on a source keeps the source", 95),
    share(
      "p1-transfer-magnitude",
      series("magnitude"),
      0.4096,
      "transfer",
      "P1 pruning on a source keeps transfer",
      90,
    ),
    share(
      "p1-transfer-diagonal",
      series("diagonal", "rounds"),
      0.4096,
      "transfer",
      "P1 pruning on a source keeps transfer",
      90,
    ),
    share(
      "p1-transfer-block",
      series("blockObs", "rounds"),
      0.4096,
      "transfer",
      "P1 pruning on a source keeps transfer",
      90,
    ),
    share(
      "p1-unseen",
      series("diagonal", "rounds"),
      0.4096,
      "unseen",
      "P1 also for scripts that pre-training never saw",
      90,
    ),
    share(
      "p1-high-sparsity",
      series("diagonal", "rounds"),
      0.044,
      "transfer",
      "P1 up to the paper's high sparsity",
      50,
    ),
    claimOf(
      "random",
      "random pruning destroys transfer early: keep ratio at which transfer falls under 90 % of dense",
      "above 0.64",
      "keep",
      randomKnees,
      { above: 0.64 },
    ),
    difference(
      "magnitude-diagonal-one-shot",
      series("magnitude"),
      series("diagonal"),
      0.1678,
      "transfer",
      "magnitude keeps transfer better than diagonal, one shot",
    ),
    difference(
      "block-diagonal-one-shot",
      series("blockObs"),
      series("diagonal"),
      0.1678,
      "transfer",
      "block keeps transfer better than diagonal, one shot",
    ),
    difference(
      "magnitude-diagonal-rounds",
      series("magnitude"),
      series("diagonal", "rounds"),
      0.1678,
      "transfer",
      "magnitude keeps transfer better than diagonal, rounds",
    ),
    difference(
      "block-diagonal-rounds",
      series("blockObs", "rounds"),
      series("diagonal", "rounds"),
      0.1678,
      "transfer",
      "block keeps transfer better than diagonal, rounds",
    ),
    difference(
      "rounds",
      series("diagonal", "rounds"),
      series("diagonal"),
      0.1678,
      "transfer",
      "fresh scores in rounds beat one shot",
    ),
    specialised(series("diagonal", "rounds"), 0.1678),
  ]);
}

/**
 * Verdicts on P2 from rows of `p2` of the default variant: what fine-tuning on the source changed, in points of accuracy.
 */
export function p2Verdicts(rows: readonly Row[]): Claim[] {
  const runs = lifts(rows.filter((row) => row.variant === ""));
  const of = (s: Series | "dense", keep: number, kind: TaskKind): Lift[] =>
    runs.filter((r) => (s === "dense" ? r.score === "dense" : is(r, s)) && near(r.keep, keep) && r.taskKind === kind);
  const lift = (id: string, s: Series, keep: number, kind: TaskKind, claim: string): Claim | undefined =>
    claimOf(
      id,
      `${claim}: ${nameOf(s)}, keep ${keep}`,
      "above 0 points",
      "points",
      of(s, keep, kind).map((r) => r.lift),
      { above: 0 },
    );
  const pruned = [series("magnitude"), series("diagonal", "rounds")];
  return present([
    ...pruned.flatMap((s) =>
      [0.2621, 0.1678, 0.1074].map((keep) =>
        lift(`p2-lift-${s.score}-${keep}`, s, keep, "transfer", "P2 fine-tuning on the source lifts transfer"),
      ),
    ),
    lift("p2-lift-unseen", pruned[0]!, 0.1678, "unseen", "P2 also for scripts that pre-training never saw"),
    lift("p2-lift-far", pruned[0]!, 0.1678, "far", "P2 also far away (Fashion-MNIST)"),
    claimOf(
      "p2-dense",
      "P2 without degradation: transfer of the dense net after fine-tuning on the source",
      "above -2 points",
      "points",
      of("dense", 1, "transfer").map((r) => r.lift),
      { above: -2 },
    ),
    claimOf(
      "p2-dead",
      "P2 revives a dead mask (magnitude, keep 0.044)",
      "above 5 points",
      "points",
      of(pruned[0]!, 0.044, "transfer").map((r) => r.lift),
      { above: 5 },
    ),
  ]);
}

export const nameOf = ({ score, rounds }: Series): string => (score === "magnitude" ? score : `${score} (${rounds})`);

export function claimOf(
  id: string,
  claim: string,
  predicted: string,
  unit: string,
  values: readonly number[],
  prediction: { above?: number; below?: number },
): Claim | undefined {
  if (values.length === 0) return undefined;
  const { measured, verdict } = judge(values, prediction);
  return { id, claim, predicted, measured, unit, verdict };
}

export const present = (claims: readonly (Claim | undefined)[]): Claim[] =>
  claims.filter((claim): claim is Claim => claim !== undefined);
