/** What masks have in common, and what they leave of every layer. */
import { type LayerReport, maskReport, nOfMReport, overlapReport } from "../masks";
import { netByName } from "../nets";
import type { Mask, Protocol } from "../types";
import { cached } from "./cache";
import { type Curve, checkPlan, KEEP_GRID, type RunOptions } from "./p1";
import { Workbench } from "./workbench";

export interface ForensicsSettings {
  /** name in the zoo */
  readonly model: string;
  readonly sources: readonly string[];
  readonly curves: readonly Curve[];
  /** one of the grid's keep ratios */
  readonly keep: number;
  readonly grid?: readonly number[];
  /** disjoint draws of scoring images */
  readonly draws?: readonly number[];
  readonly protocol?: Protocol;
}

/** Where a mask comes from. */
export interface MaskOrigin {
  readonly score: string;
  readonly rounds: number;
  readonly source: string;
  readonly draw: number;
}

/** What a mask leaves; `layers` and `keep` are what `plots.layerKeep` draws. */
export interface MaskFacts extends MaskOrigin {
  readonly keep: number;
  readonly layers: readonly LayerReport[];
  readonly deadLayers: readonly string[];
  readonly deadOutputs: number;
  readonly deadInputs: number;
  /** share of groups of four inputs with at most two kept weights (`masks.nOfMReport`) */
  readonly twoOfFour: number;
}

/** Two masks that differ in one thing: the criterion (score or rounds), the source, or the draw of scoring images. */
export interface PairOverlap {
  readonly differsIn: "criterion" | "source" | "draw";
  readonly a: MaskOrigin;
  readonly b: MaskOrigin;
  readonly intersectionOverUnion: number;
  /** the same for masks of these layers' densities that know nothing of each other */
  readonly byChance: number;
  readonly layers: readonly { readonly name: string; readonly intersectionOverUnion: number }[];
}

export interface Forensics {
  readonly masks: readonly MaskFacts[];
  readonly pairs: readonly PairOverlap[];
}

/**
 * Masks of one model at one keep ratio: what each leaves of every layer, and how far two of them agree that differ in the criterion,
 * the source or the draw. A score that looks at no data has one mask, filed under the first source and draw.
 * The whole study is one unit of work, cached by its settings.
 * @throws RangeError before work starts for settings that do not fit
 */
export async function forensics(settings: ForensicsSettings, { progress, fresh }: RunOptions = {}): Promise<Forensics> {
  const { model, sources, curves, keep, grid = KEEP_GRID, draws = [0], protocol = "clean" } = settings;
  checkPlan([model], sources, curves, grid);
  const end = grid.findIndex((k) => Math.abs(k - keep) <= 0.02 * k);
  if (end < 0)
    throw new RangeError(`keep must be in the grid ${grid.map((k) => k.toFixed(4)).join(", ")}, got ${keep}`);
  if (draws.length === 0) throw new RangeError("draws must not be empty");
  const upTo = grid.slice(0, end + 1);
  const origins = curves.flatMap(({ scorer, rounds }) =>
    (scorer.usesData ? sources : sources.slice(0, 1)).flatMap((source) =>
      (scorer.usesData ? draws : draws.slice(0, 1)).map((draw) => ({ scorer, rounds, source, draw })),
    ),
  );
  const bar = progress?.(origins.length, "masks");
  const bench = new Workbench({ model, protocol, perClass: 1, evaluateOn: "test" });
  try {
    const unit = {
      checkpoint: bench.checkpoint,
      protocol,
      grid: upTo,
      // rounds of the whole grid say how many lie between two keep ratios
      masks: origins.map(({ scorer, rounds, source, draw }) => ({ score: scorer.name, rounds, source, draw })),
      of: grid.length,
    };
    const study = await cached(
      "forensics",
      unit,
      async (): Promise<Forensics> => {
        const net = netByName(bench.columns.model);
        const made: { origin: MaskOrigin; mask: Mask }[] = [];
        for (const { scorer, rounds, source, draw } of origins) {
          const path = await bench.masks(source, scorer, {
            grid: upTo,
            rounds: rounds === 1 ? 1 : (rounds / grid.length) * upTo.length,
            draw,
          });
          made.push({ origin: { score: scorer.name, rounds, source, draw }, mask: path[path.length - 1]!.mask });
          await bar?.step(made.length, `${scorer.name}, ${source}, draw ${draw}`);
        }
        return {
          masks: made.map(({ origin, mask }) => {
            const { keep: share, layers, deadLayers, deadOutputs, deadInputs } = maskReport(net, mask);
            const twoOfFour = nOfMReport(net, mask).share;
            return { ...origin, keep: share, layers, deadLayers, deadOutputs, deadInputs, twoOfFour };
          }),
          pairs: made.flatMap((a, i) => made.slice(i + 1).flatMap((b) => pairOf(a, b))),
        };
      },
      { fresh },
    );
    if (study.fromFile) await bar?.step(origins.length, "read");
    return study.value;
  } finally {
    bench.dispose();
  }
}

function pairOf(a: { origin: MaskOrigin; mask: Mask }, b: { origin: MaskOrigin; mask: Mask }): readonly PairOverlap[] {
  const [x, y] = [a.origin, b.origin];
  const differences = [
    ...(x.score !== y.score || x.rounds !== y.rounds ? (["criterion"] as const) : []),
    ...(x.source !== y.source ? (["source"] as const) : []),
    ...(x.draw !== y.draw ? (["draw"] as const) : []),
  ];
  if (differences.length !== 1) return [];
  const { intersectionOverUnion, byChance, layers } = overlapReport(a.mask, b.mask);
  return [
    {
      differsIn: differences[0]!,
      a: x,
      b: y,
      intersectionOverUnion,
      byChance,
      layers: layers.map((layer) => ({ name: layer.name, intersectionOverUnion: layer.intersectionOverUnion })),
    },
  ];
}
