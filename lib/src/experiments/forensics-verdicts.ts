/** How alike masks are, as numbers that could turn out otherwise. */
import { judge, stats } from "../rows";
import type { ForensicsAcross, PairAcross } from "./forensics-across";
import type { Claim } from "./verdicts";

/**
 * Verdicts from `forensicsAcross` with the diagonal in rounds at keep ratio 0.168, on the overlap (kept in both / kept in either) of pairs. A claim is
 * left out when its pairs are not there.
 */
export function forensicsVerdicts({ pairs }: Pick<ForensicsAcross, "pairs">): Claim[] {
  const diagonal = pairs.filter(
    ({ a, b, keep }) =>
      [a, b].every(({ score, rounds }) => score === "diagonal" && rounds > 1) && Math.abs(keep - 0.1678) <= 0.003,
  );
  const of = (kind: PairAcross["differsIn"]): PairAcross[] => diagonal.filter(({ differsIn }) => differsIn === kind);
  const aboveChance = (pair: PairAcross): number => pair.intersectionOverUnion - pair.byChance;
  const profiles = (kind: PairAcross["differsIn"]): number[] =>
    of(kind)
      .map(({ keepCorrelation }) => keepCorrelation)
      .filter(Number.isFinite);
  // for each backbone and source: other images of the source against images of another source
  const closer = of("draw").flatMap((pair) => {
    const others = of("source").filter(
      ({ a, b }) =>
        a.pretraining === pair.a.pretraining &&
        a.seed === pair.a.seed &&
        a.draw === pair.a.draw &&
        [a.source, b.source].includes(pair.a.source),
    );
    return others.length === 0
      ? []
      : [pair.intersectionOverUnion - stats(others.map((other) => other.intersectionOverUnion)).mean];
  });
  return [
    claimOf("mask-source", "other images change a mask less than another source: overlap", closer, { above: 0 }),
    claimOf(
      "mask-pretraining",
      "pre-trainings that start from the same weights keep some of the same: overlap minus chance",
      of("pretraining").map(aboveChance),
      { above: 0.02 },
    ),
    claimOf(
      "mask-seed",
      "pre-trainings that start from other weights keep others: overlap minus chance",
      of("seed").map(aboveChance),
      { above: -0.02, below: 0.02 },
    ),
    claimOf(
      "profile-pretraining",
      "what each layer keeps is alike: correlation over layers, other pre-training",
      profiles("pretraining"),
      { above: 0.7 },
    ),
    claimOf("profile-seed", "what each layer keeps is alike: correlation over layers, other seed", profiles("seed"), {
      above: 0.9,
    }),
  ].flat();
}

function claimOf(
  id: string,
  claim: string,
  values: readonly number[],
  prediction: { readonly above: number; readonly below?: number },
): Claim[] {
  if (values.length === 0) return [];
  const { above, below } = prediction;
  const predicted = below === undefined ? `above ${above}` : `${above} to ${below}`;
  return [{ id, claim: `${claim}; diagonal in rounds, keep 0.168`, predicted, ...judge(values, prediction) }];
}
