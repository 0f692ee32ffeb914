/** Masks of several backbones of one net side by side. */
import { maskReport, nOfMReport, overlapReport } from "../masks";
import { netByName } from "../nets";
import type { Mask, Protocol } from "../types";
import type { MaskFacts, MaskOrigin } from "./forensics";
import { maskPath } from "./mask-path";
import { type Curve, checkPlan, KEEP_GRID, nearest, type RunOptions } from "./p1";
import { Workbench } from "./workbench";
import { modelCard } from "./zoo";

export interface ForensicsAcrossSettings {
  /** names in the zoo, all of one net */
  readonly models: readonly string[];
  readonly sources: readonly string[];
  readonly curves: readonly Curve[];
  /** of the grid */
  readonly keeps: readonly number[];
  readonly grid?: readonly number[];
  /** disjoint draws of scoring images */
  readonly draws?: readonly number[];
  readonly protocol?: Protocol;
}

/** The backbone that a mask belongs to. */
export interface BackboneOrigin {
  readonly pretraining: string;
  /** of the pre-training: backbones of one net and seed start from the same weights, whatever the pre-training */
  readonly seed: number;
}

/** Two masks of one keep ratio that differ in one thing. */
export interface PairAcross {
  readonly differsIn: "draw" | "source" | "criterion" | "pretraining" | "seed";
  readonly keep: number;
  readonly a: MaskOrigin & BackboneOrigin;
  readonly b: MaskOrigin & BackboneOrigin;
  /** kept in both / kept in either */
  readonly intersectionOverUnion: number;
  /** the same for masks of these layers' densities that know nothing of each other */
  readonly byChance: number;
  /** correlation over layers of the share that each mask keeps there; NaN when a mask keeps the same share everywhere */
  readonly keepCorrelation: number;
  readonly layers: readonly {
    readonly name: string;
    readonly intersectionOverUnion: number;
    readonly byChance: number;
  }[];
}

export interface ForensicsAcross {
  readonly masks: readonly (MaskFacts & BackboneOrigin)[];
  readonly pairs: readonly PairAcross[];
}

/**
 * `forensics` for several backbones of one net and several keep ratios: pairs may also differ in the pre-training (same seed: the same
 * weights at the start, trained to different ends) or in its seed (other weights at the start). A net's hidden channels have no names: where two
 * backbones began with different weights, the same place means the same layer and place within a kernel, no more, and the overlap to expect is
 * `byChance`. What each layer keeps is comparable in any case (`keepCorrelation`).
 * @throws RangeError before work starts for settings that do not fit, models of different nets or one model twice
 */
export async function forensicsAcross(
  settings: ForensicsAcrossSettings,
  { progress, fresh }: RunOptions = {},
): Promise<ForensicsAcross> {
  const { models, sources, curves, grid = KEEP_GRID, draws = [0], protocol = "clean" } = settings;
  checkPlan(models, sources, curves, grid);
  const keeps = settings.keeps.map((keep) => nearest(grid, keep));
  if (keeps.length === 0 || draws.length === 0) throw new RangeError("keeps and draws must not be empty");
  const netNames = [...new Set(models.map((model) => modelCard(model).net))];
  if (netNames.length > 1) throw new RangeError(`models must be of one net, got ${netNames.join(", ")}`);
  if (new Set(models).size < models.length) throw new RangeError(`models must not repeat, got ${models.join(", ")}`);
  const net = netByName(netNames[0]!);
  const origins = curves.flatMap(({ scorer, rounds }) =>
    (scorer.usesData ? sources : sources.slice(0, 1)).flatMap((source) =>
      (scorer.usesData ? draws : draws.slice(0, 1)).map((draw) => ({ scorer, rounds, source, draw })),
    ),
  );
  const bar = progress?.(models.length * origins.length, "masks");
  const made: { readonly keep: number; readonly origin: MaskOrigin & BackboneOrigin; readonly mask: Mask }[] = [];
  let done = 0;
  for (const model of models) {
    const bench = new Workbench({ model, protocol, perClass: 1, evaluateOn: "test" });
    const { pretraining, seed } = bench.columns;
    try {
      for (const { scorer, rounds, source, draw } of origins) {
        const path = await maskPath(bench, { source, scorer, rounds, grid, keeps, draw }, { fresh });
        const origin = { pretraining, seed, score: scorer.name, rounds, source, draw };
        made.push(...path.map(({ keep, mask }) => ({ keep, origin, mask })));
        await bar?.step(++done, `${model}, ${scorer.name}, ${source}`);
      }
    } finally {
      bench.dispose();
    }
  }
  return {
    masks: made.map(({ origin, mask }) => {
      const { keep, layers, deadLayers, deadOutputs, deadInputs } = maskReport(net, mask);
      return { ...origin, keep, layers, deadLayers, deadOutputs, deadInputs, twoOfFour: nOfMReport(net, mask).share };
    }),
    pairs: keeps.flatMap((keep) => {
      const of = made.filter((one) => one.keep === keep);
      return of.flatMap((a, i) => of.slice(i + 1).flatMap((b) => pairOf(keep, a, b)));
    }),
  };
}

interface Made {
  readonly origin: MaskOrigin & BackboneOrigin;
  readonly mask: Mask;
}

function pairOf(keep: number, { origin: a, mask }: Made, { origin: b, mask: other }: Made): PairAcross[] {
  const differences = [
    ...(a.score !== b.score || a.rounds !== b.rounds ? (["criterion"] as const) : []),
    ...(["source", "draw", "pretraining", "seed"] as const).filter((column) => a[column] !== b[column]),
  ];
  if (differences.length !== 1) return [];
  const { intersectionOverUnion, byChance, layers } = overlapReport(mask, other);
  return [
    {
      differsIn: differences[0]!,
      keep,
      a,
      b,
      intersectionOverUnion,
      byChance,
      keepCorrelation: correlation(layers.map(({ keptInA, keptInB, total }) => [keptInA / total, keptInB / total])),
      layers: layers.map((layer) => {
        const both = (layer.keptInA * layer.keptInB) / layer.total;
        const either = layer.keptInA + layer.keptInB - both;
        return {
          name: layer.name,
          intersectionOverUnion: layer.intersectionOverUnion,
          byChance: either === 0 ? 1 : both / either,
        };
      }),
    },
  ];
}

/** Pearson's r. */
function correlation(points: readonly (readonly [number, number])[]): number {
  const mean = (f: (point: readonly [number, number]) => number): number =>
    points.reduce((sum, point) => sum + f(point), 0) / points.length;
  const [mx, my] = [mean(([x]) => x), mean(([, y]) => y)];
  const [xx, yy, xy] = [
    mean(([x]) => (x - mx) ** 2),
    mean(([, y]) => (y - my) ** 2),
    mean(([x, y]) => (x - mx) * (y - my)),
  ];
  // shares that are equal but for the rounding to whole weights say nothing
  return Math.min(xx, yy) < 1e-8 ? Number.NaN : xy / Math.sqrt(xx * yy);
}
