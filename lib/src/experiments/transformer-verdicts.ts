/** What is different on a Vision Transformer, as numbers that could turn out otherwise. */
import { judge, replicates } from "../rows";
import type { Row, TaskKind } from "../types";
import type { Claim } from "./verdicts";

interface Comparison {
  readonly id: string;
  readonly claim: string;
  /** pattern of a score's name, and its schedule */
  readonly a: readonly [score: RegExp, schedule: "one shot" | "rounds"];
  readonly b: readonly [score: RegExp, schedule: "one shot" | "rounds"];
  readonly keep: number;
  readonly prediction: { readonly above?: number; readonly below?: number };
}

const MAGNITUDE = /^magnitude$/;
const DIAGONAL = /^diagonal$/;
const SIGNED = /^hessianDiagonal\d+-signed$/;
const ABSOLUTE = /^hessianDiagonal\d+-absolute$/;
const SNIP = /^snip$/;

const COMPARISONS: readonly Comparison[] = [
  {
    id: "vit-order",
    claim: "with fresh scores the diagonal keeps more transfer than magnitude, other than on the ResNet",
    a: [DIAGONAL, "rounds"],
    b: [MAGNITUDE, "one shot"],
    keep: 0.1678,
    prediction: { above: 0 },
  },
  {
    id: "vit-hessian",
    claim: "the Hessian's own diagonal, ranked by size, is no better and no worse than Gauss-Newton's",
    a: [ABSOLUTE, "one shot"],
    b: [DIAGONAL, "one shot"],
    keep: 0.2621,
    prediction: { above: -3, below: 3 },
  },
  {
    id: "vit-hessian-rounds",
    claim: "the same with fresh scores",
    a: [ABSOLUTE, "rounds"],
    b: [DIAGONAL, "rounds"],
    keep: 0.1678,
    prediction: { above: -3, below: 3 },
  },
  {
    id: "vit-signs",
    claim: "removing weights of negative curvature first costs transfer",
    a: [SIGNED, "one shot"],
    b: [ABSOLUTE, "one shot"],
    keep: 0.2621,
    prediction: { below: 0 },
  },
  {
    id: "vit-first-order",
    claim: "a first-order score keeps less transfer than the diagonal",
    a: [SNIP, "one shot"],
    b: [DIAGONAL, "one shot"],
    keep: 0.2621,
    prediction: { below: 0 },
  },
];

/**
 * Verdicts from rows of `p1` on a ViT with the scores magnitude, diagonal, hessianDiagonal and snip, in points of transfer accuracy,
 * paired by run (a source, pre-training seed and draw). A comparison is left out when one of its scores was not run.
 */
export function transformerVerdicts(rows: readonly Row[]): Claim[] {
  const runs = replicates(rows).filter(({ taskKind }) => taskKind === ("transfer" satisfies TaskKind));
  const at = ([score, schedule]: Comparison["a"], keep: number): Map<string, number> =>
    new Map(
      runs
        .filter(
          (r) =>
            score.test(r.score) && (schedule === "rounds") === r.rounds > 1 && Math.abs(r.keep - keep) <= 0.02 * keep,
        )
        .map((r) => [`${r.source} ${r.seed} ${r.draw}`, r.value]),
    );
  return COMPARISONS.flatMap(({ id, claim, a, b, keep, prediction }) => {
    const [left, right] = [at(a, keep), at(b, keep)];
    const differences = [...left].flatMap(([run, value]) => (right.has(run) ? [value - right.get(run)!] : []));
    if (differences.length === 0) return [];
    return [
      {
        id,
        claim: `${claim}: ${nameOf(a)} minus ${nameOf(b)}, keep ${keep}`,
        predicted: textOf(prediction),
        unit: "points",
        ...judge(differences, prediction),
      },
    ];
  });
}

const nameOf = ([score, schedule]: Comparison["a"]): string =>
  score === MAGNITUDE ? "magnitude" : `${score.source.replace(/[$^]|\\d\+/g, "")} (${schedule})`;

const textOf = ({ above, below }: Comparison["prediction"]): string =>
  above === undefined
    ? `below ${below} points`
    : below === undefined
      ? `above ${above} points`
      : `${above} to ${below} points`;
