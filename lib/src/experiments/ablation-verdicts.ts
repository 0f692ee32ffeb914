/** What the parts of a mask are worth, as numbers that could turn out otherwise. */
import { groupBy, judge, stats } from "../rows";
import type { Row } from "../types";
import type { Claim } from "./verdicts";

interface Comparison {
  readonly id: string;
  readonly claim: string;
  readonly variant: string;
  readonly score: "magnitude" | "diagonal";
  readonly keep: number;
  /** share: 100 * variant / as is, transfer accuracy; points: variant - as is; overlap: of the two masks, in percent */
  readonly measure: "share" | "points" | "overlap";
  readonly prediction: { readonly above?: number; readonly below?: number };
}

const COMPARISONS: readonly Comparison[] = [
  {
    id: "ablation-shuffled",
    claim: "the place within the layer matters: random places, as many in every layer",
    variant: "shuffled",
    score: "diagonal",
    keep: 0.4096,
    measure: "share",
    prediction: { below: 50 },
  },
  {
    id: "ablation-reinitialised",
    claim: "weights, not the places, carry transfer: fresh weights at the kept places",
    variant: "reinitialised",
    score: "diagonal",
    keep: 0.4096,
    measure: "share",
    prediction: { below: 25 },
  },
  {
    id: "ablation-layerwise",
    claim: "how much each layer keeps matters: the same share in every layer",
    variant: "layerwise",
    score: "diagonal",
    keep: 0.1678,
    measure: "points",
    prediction: { below: 0 },
  },
  {
    id: "ablation-layerwise-magnitude",
    claim: "how much each layer keeps matters for magnitude too: the same share in every layer",
    variant: "layerwise",
    score: "magnitude",
    keep: 0.1678,
    measure: "points",
    prediction: { below: 0 },
  },
  {
    id: "ablation-folded-magnitude",
    claim: "magnitude depends on how the net is written: scores of the net with norms folded in",
    variant: "folded",
    score: "magnitude",
    keep: 0.1678,
    measure: "share",
    prediction: { below: 50 },
  },
  {
    id: "ablation-folded-diagonal",
    claim: "theta^2 G_jj does not depend on how the net is written: overlap of its masks, raw and folded",
    variant: "folded",
    score: "diagonal",
    keep: 0.1678,
    measure: "overlap",
    prediction: { above: 99 },
  },
  {
    id: "ablation-recalibrated",
    claim: "part of the loss is drift of norm statistics: estimated again on the source's scoring images",
    variant: "recalibrated",
    score: "diagonal",
    keep: 0.1678,
    measure: "points",
    prediction: { above: 0 },
  },
  {
    id: "ablation-recalibrated-magnitude",
    claim: "part of magnitude's loss is drift too: norm statistics estimated again",
    variant: "recalibrated",
    score: "magnitude",
    keep: 0.1678,
    measure: "points",
    prediction: { above: 0 },
  },
];

const UNITS = { share: "% of the mask's", points: "points", overlap: "%" } as const;

/**
 * Verdicts from rows of `ablations` with the scores magnitude (one shot) and diagonal (in rounds): transfer accuracy against that of the mask as
 * it is, paired by run, at keep ratios 0.41 and 0.168. A run is one backbone and source; for magnitude, whose mask is the same for all
 * sources, one backbone. A comparison is left out when its rows are not there.
 */
export function ablationVerdicts(rows: readonly Row[]): Claim[] {
  return COMPARISONS.flatMap(({ id, claim, variant, score, keep, measure, prediction }) => {
    const of = (which: string, metric: string): Map<string, number> => valuesByRun(rows, score, keep, which, metric);
    const values =
      measure === "overlap"
        ? [...of(variant, "maskOverlap").values()].map((share) => 100 * share)
        : paired(of(variant, "accuracy"), of("", "accuracy"), measure);
    if (values.length === 0) return [];
    const { above, below } = prediction;
    return [
      {
        id,
        claim: `${claim} (${variant}); ${score === "magnitude" ? "magnitude" : "diagonal in rounds"}, keep ${keep}`,
        predicted: `${above === undefined ? `below ${below}` : `above ${above}`} ${UNITS[measure]}`,
        unit: UNITS[measure],
        ...judge(values, prediction),
      },
    ];
  });
}

/** Mean over tasks within a run: transfer tasks (accuracy), the source (overlap). */
function valuesByRun(
  rows: readonly Row[],
  score: Comparison["score"],
  keep: number,
  variant: string,
  metric: string,
): Map<string, number> {
  const chosen = rows.filter(
    (row) =>
      row.score === score &&
      (score === "diagonal") === row.rounds > 1 &&
      Math.abs(row.keep - keep) <= 0.02 * keep &&
      row.variant === variant &&
      row.metric === metric &&
      row.taskKind === (metric === "accuracy" ? "transfer" : "source"),
  );
  const runs = groupBy(chosen, ["model", "pretraining", "seed", ...(score === "diagonal" ? SEEN : [])]);
  return new Map(
    runs.map(({ key, rows: tasks }) => [JSON.stringify(key), stats(tasks.map(({ value }) => value)).mean]),
  );
}

const SEEN = ["source", "draw"] as const;

function paired(
  left: ReadonlyMap<string, number>,
  right: ReadonlyMap<string, number>,
  measure: "share" | "points",
): number[] {
  return [...left].flatMap(([run, value]) => {
    const asIs = right.get(run);
    if (asIs === undefined) return [];
    return [measure === "share" ? (100 * value) / asIs : value - asIs];
  });
}
