/** What holds across backbones: the claims of P1 by architecture and pre-training, as numbers that could turn out otherwise. */
import { groupBy, kendall, knees, type Replicate, replicates, smallestKeepOf, stats } from "../rows";
import type { Row } from "../types";
import {
  at,
  type Claim,
  claimOf,
  is,
  nameOf,
  near,
  paired,
  present,
  runOf,
  type Series,
  series,
  type Values,
} from "./verdicts";

interface Backbone extends Pick<Row, "model" | "pretraining" | "protocol"> {
  readonly name: string;
  readonly rows: readonly Row[];
}

const KEEPS = [0.2621, 0.1678];
const BEST_OF = [series("magnitude"), series("diagonal", "rounds"), series("blockObs", "rounds")];
/** scores that may be asked again */
const ITERATED = ["diagonal", "blockObs", "blockQuadratic", "pathExclusion", "snip"];
const ORDER_KEEP = 0.2621;

/**
 * The verdicts of each backbone (model, pre-training and protocol) by itself, ids and claims preceded by its name: for instance
 * `perBackbone(rows, p2Verdicts)`.
 */
export function perBackbone(rows: readonly Row[], verdicts: (rows: readonly Row[]) => readonly Claim[]): Claim[] {
  return backbones(rows).flatMap((own) =>
    verdicts(own.rows).map((claim) => ({
      ...claim,
      id: `${idOf(own)}-${claim.id}`,
      claim: `${own.name}: ${claim.claim}`,
    })),
  );
}

/**
 * Verdicts across backbones from rows of `p1` (accuracy, transfer tasks, clean protocol; other protocols are left out). A run is one
 * source, pre-training seed and draw. A claim is left out when its rows are not there.
 *
 * For each backbone: P1 (share of dense accuracy left at keep 0.41 by the best of magnitude, diagonal and block in rounds; which is
 * best is chosen on these rows); block and magnitude minus diagonal, one shot and in rounds, at keep 0.26 and 0.17; what rounds change
 * for each score at 0.17. Differences in points of accuracy, paired by run.
 * Between backbones that share the net, or the pre-training but not the kind of net: is the order of scores the same, Kendall's tau over
 * common series at keep 0.26 within each source (means over seeds and draws, random left out).
 * Between widths of a net: does the knee fall, paired by run; a knee below the smallest keep ratio counts as that ratio.
 */
export function comparisonVerdicts(rows: readonly Row[]): Claim[] {
  const all = backbones(rows.filter(({ protocol }) => protocol === "clean")).map((own) => ({
    ...own,
    runs: replicates(own.rows).filter(({ taskKind }) => taskKind === "transfer"),
  }));
  return [
    ...all.flatMap(withinBackbone),
    ...pairsOf(all).flatMap(([a, b, shared]) => present([sameOrder(a, b, shared)])),
    ...widths(all).flatMap(([narrow, wide]) => fallingKnee(narrow, wide)),
  ];
}

/**
 * "The start is nearly a minimum" for each backbone, from rows of `secondOrder` with magnitude in one shot:
 * |g . d| / (1/2 d^T G d) of the mask at keep 0.41, a run a source and seed.
 */
export function minimumVerdicts(rows: readonly Row[]): Claim[] {
  return present(
    backbones(rows).map((own) => {
      const of = (metric: string): Map<string, number> =>
        new Map(
          own.rows
            .filter((r) => r.metric === metric && is(r, series("magnitude")) && near(r.keep, 0.4096))
            .map((r) => [runOf(r), r.value]),
        );
      const [first, form] = [of("lossPredictedFirstOrder"), of("lossPredictedQuadratic")];
      const ratios = [...first].flatMap(([run, g]) => (form.has(run) ? [Math.abs(g / form.get(run)!)] : []));
      return claimOf(
        `${idOf(own)}-minimum`,
        `${own.name}: the start is nearly a minimum: size of first order / quadratic form, magnitude, keep 0.41`,
        "below 0.25",
        "",
        ratios,
        { below: 0.25 },
      );
    }),
  );
}

/**
 * "Weight decay is what makes magnitudes tell something", from rows of `p1` of a backbone and of its twin that was trained without
 * ("PRETRAINING-nodecay", same net and seed): the lead of magnitude over another score, in points of transfer accuracy, is smaller on
 * the twin. Paired by run (source, seed and draw).
 */
export function decayVerdicts(rows: readonly Row[]): Claim[] {
  const all = backbones(rows.filter(({ protocol }) => protocol === "clean")).map((own) => ({
    ...own,
    runs: replicates(own.rows).filter(({ taskKind }) => taskKind === "transfer"),
  }));
  const lead = ({ runs }: Measured, other: Series, keep: number): Values => {
    const of = at(runs, other, keep);
    const magnitude = at(runs, series("magnitude"), keep);
    return new Map([...magnitude].filter(([run]) => of.has(run)).map(([run, value]) => [run, value - of.get(run)!]));
  };
  return all.flatMap((own) => {
    const twin = all.find((b) => b.model === own.model && b.pretraining === `${own.pretraining}-nodecay`);
    if (!twin) return [];
    return present(
      [series("diagonal"), series("diagonal", "rounds"), series("blockObs", "rounds")].flatMap((other) =>
        KEEPS.map((keep) =>
          claimOf(
            `${idOf(own)}-decay-${other.score}-${other.rounds.replace(" ", "-")}-${keep}`,
            `${own.name}: the lead of magnitude over ${nameOf(other)} comes with weight decay: lead with minus lead without, keep ${keep}`,
            "above 0 points",
            "points",
            paired(lead(own, other, keep), lead(twin, other, keep)),
            { above: 0 },
          ),
        ),
      ),
    );
  });
}

type Measured = Backbone & { readonly runs: readonly Replicate[] };

function withinBackbone(own: Measured): Claim[] {
  const difference = (id: string, claim: string, a: Series, b: Series, keep: number): Claim | undefined =>
    claimOf(
      `${idOf(own)}-${id}-${keep}`,
      `${own.name}: ${claim}: ${nameOf(a)} minus ${nameOf(b)}, keep ${keep}`,
      "above 0 points",
      "points",
      paired(at(own.runs, a, keep), at(own.runs, b, keep)),
      { above: 0 },
    );
  const schedules = ["one shot", "rounds"] as const;
  return present([
    bestTransfer(own),
    ...KEEPS.flatMap((keep) =>
      schedules.flatMap((rounds) => {
        const diagonal = series("diagonal", rounds);
        const name = rounds.replace(" ", "-");
        return [
          difference(
            `block-diagonal-${name}`,
            "block keeps transfer better than diagonal",
            series("blockObs", rounds),
            diagonal,
            keep,
          ),
          difference(
            `magnitude-diagonal-${name}`,
            "magnitude keeps transfer better than diagonal",
            series("magnitude"),
            diagonal,
            keep,
          ),
        ];
      }),
    ),
    ...ITERATED.map((score) =>
      difference(
        `rounds-${score}`,
        "fresh scores in rounds beat one shot",
        series(score, "rounds"),
        series(score),
        0.1678,
      ),
    ),
  ]);
}

function bestTransfer(own: Measured): Claim | undefined {
  const shares = replicates(own.rows, { relative: true }).filter(({ taskKind }) => taskKind === "transfer");
  const candidates = BEST_OF.map((s) => ({ s, values: [...at(shares, s, 0.4096).values()].map((x) => 100 * x) }));
  const [best] = candidates
    .filter(({ values }) => values.length > 0)
    .sort((a, b) => stats(b.values).mean - stats(a.values).mean);
  if (!best) return undefined;
  return claimOf(
    `${idOf(own)}-best-transfer`,
    `${own.name}: P1 pruning on a source keeps transfer: the best of magnitude, diagonal and block in rounds (${nameOf(best.s)}), keep 0.4096`,
    "above 90 % of dense",
    "% of dense",
    best.values,
    { above: 90 },
  );
}

/** Kendall's tau within each source that both have. */
function sameOrder(a: Measured, b: Measured, shared: string): Claim | undefined {
  const [left, right] = [a, b].map(meansBySource) as [Map<string, Values>, Map<string, Values>];
  const taus = [...left].flatMap(([source, means]) => {
    const others = right.get(source) ?? new Map();
    const common = [...means.keys()].filter((name) => others.has(name));
    if (common.length < 3) return [];
    return [
      kendall(
        common.map((name) => means.get(name)!),
        common.map((name) => others.get(name)!),
      ),
    ];
  });
  return claimOf(
    `order-${idOf(a)}-${idOf(b)}`,
    `the order of scores is that of another ${shared}: ${a.name} and ${b.name}, Kendall's tau within a source, keep ${ORDER_KEEP}`,
    "above 0.5",
    "",
    taus,
    { above: 0.5 },
  );
}

function meansBySource({ runs }: Measured): Map<string, Values> {
  const ranked = runs.filter((run) => near(run.keep, ORDER_KEEP) && !run.score.startsWith("random"));
  return new Map(
    groupBy(ranked, ["source"]).map(({ key, rows }) => [
      key.source,
      new Map(
        groupBy(rows, ["score", "rounds"]).map((group) => [
          JSON.stringify([group.key.score, group.key.rounds > 1]),
          stats(group.rows.map(({ value }) => value)).mean,
        ]),
      ),
    ]),
  );
}

function fallingKnee(narrow: Measured, wide: Measured): Claim[] {
  const kneesOf = (own: Measured, s: Series): Values =>
    new Map(
      knees(own.rows)
        .filter((run) => run.taskKind === "transfer" && is(run, s))
        .map((run) => [runOf(run), run.knee ?? smallestKeepOf(own.rows, run)]),
    );
  return present(
    BEST_OF.map((s) =>
      claimOf(
        `width-${s.score}-${idOf(narrow)}-${wide.model}`,
        `the knee moves down with width: ${narrow.name} minus ${wide.model}, ${nameOf(s)}`,
        "above 0",
        "keep",
        paired(kneesOf(narrow, s), kneesOf(wide, s)),
        { above: 0 },
      ),
    ),
  );
}

/** Pairs that differ in one thing: the pre-training (first with the supervised one, if it is there), or the kind of net. */
function pairsOf(all: readonly Measured[]): [Measured, Measured, string][] {
  const supervisedFirst = [...all].sort(
    (a, b) => Number(b.pretraining === "supervised") - Number(a.pretraining === "supervised"),
  );
  return supervisedFirst.flatMap((a, i) =>
    supervisedFirst.slice(i + 1).flatMap((b): [Measured, Measured, string][] => {
      if (a.model === b.model) return [[a, b, "pre-training"]];
      return a.pretraining === b.pretraining && kindOf(a.model) !== kindOf(b.model) ? [[a, b, "architecture"]] : [];
    }),
  );
}

/** Neighbouring widths W of "rsWxB" with as many blocks and the same pre-training. */
function widths(all: readonly Measured[]): [Measured, Measured][] {
  const sized = all.flatMap((own) => {
    const found = /^([a-z]+)(\d+)x(\d+)$/.exec(own.model);
    return found?.[1] === "rs"
      ? [{ own, width: Number(found[2]), blocks: found[3]!, pretraining: own.pretraining }]
      : [];
  });
  return groupBy(sized, ["blocks", "pretraining"]).flatMap(({ rows }) => {
    const sorted = rows.sort((a, b) => a.width - b.width);
    return sorted.slice(1).map((wide, i): [Measured, Measured] => [sorted[i]!.own, wide.own]);
  });
}

const kindOf = (model: string): string => /^[a-z]*/.exec(model)![0];

const idOf = ({ model, pretraining, protocol }: Pick<Backbone, "model" | "pretraining" | "protocol">): string =>
  `${model}-${pretraining}${protocol === "clean" ? "" : `-${protocol}`}`;

function backbones(rows: readonly Row[]): Backbone[] {
  return groupBy(rows, ["model", "pretraining", "protocol"]).map(({ key, rows: own }) => ({
    ...key,
    name: `${key.model} ${key.pretraining}${key.protocol === "clean" ? "" : ` (${key.protocol}' protocol)`}`,
    rows: own,
  }));
}
