/** What a mask is worth without one of its parts: places, values, layer densities, the scale of norms, their statistics. */
import { stream } from "../backend";
import { maskedWeights, overlap, reinitialisedWeights, shuffleWithinLayers } from "../masks";
import { netByName, prunableCount, withParams } from "../nets";
import { layerwise } from "../scores";
import { recalibratedNorms } from "../train";
import { disposeTree } from "../tree";
import type { Mask, Net, Protocol, Row, Tree } from "../types";
import { cached } from "./cache";
import { maskPath } from "./mask-path";
import { type Curve, checkPlan, KEEP_GRID, nearest, type RunOptions } from "./p1";
import { type Accuracies, Workbench } from "./workbench";
import { modelCard } from "./zoo";

/**
 * - "": the mask as it is
 * - "shuffled": as many kept weights in every layer, at random places (`masks.shuffleWithinLayers`)
 * - "reinitialised": the kept places, fresh weights (`masks.reinitialisedWeights`)
 * - "layerwise": the same scores, every layer keeps the same share (`scores.layerwise`)
 * - "folded": scores of the net with its batch norms folded in (`nets.foldBatchNorm`), their mask on the net as it is
 * - "recalibrated": norm statistics of the masked net from the source's scoring images (`train.recalibratedNorms`)
 */
export const ABLATIONS = ["", "shuffled", "reinitialised", "layerwise", "folded", "recalibrated"] as const;
export type Ablation = (typeof ABLATIONS)[number];

export interface AblationSettings {
  /** names in the zoo */
  readonly models: readonly string[];
  readonly sources: readonly string[];
  readonly curves: readonly Curve[];
  /** of the grid */
  readonly keeps: readonly number[];
  /** default: all; for a net without batch norms "folded" and "recalibrated" are left out */
  readonly ablations?: readonly Ablation[];
  readonly grid?: readonly number[];
  readonly draw?: number;
  readonly protocol?: Protocol;
  /** images a class that accuracy is read on (default 20) */
  readonly perClass?: number;
  readonly evaluateOn?: "test" | "validation";
  /** of shuffles and fresh weights (default 12345); the seed of the pre-training gives the weights that training began with */
  readonly seed?: number;
}

interface Unit extends Curve {
  readonly ablation: Ablation;
  readonly source: string;
  /** false: the same for every source */
  readonly seesSource: boolean;
  readonly filedUnder: readonly string[];
}

interface Point {
  readonly keep: number;
  readonly accuracy: Accuracies;
  /** with the mask as it is: kept in both / kept in either */
  readonly overlap: number;
}

/**
 * Accuracy (percent) of every task under every mask and under what is left of it without one of its parts, named by the column
 * `variant`; the dense reference at keep = 1 (score "dense"), as it is and, for nets with batch norms, "recalibrated". Cached like `p1`.
 * What looks at no data is measured once and filed under each source.
 * @returns rows with metric "accuracy", and "maskOverlap" (task = source; intersection over union with the mask as it is, n = weights)
 * @throws RangeError before work starts for models, sources, curves, keep ratios or ablations that do not fit
 */
export async function ablations(settings: AblationSettings, { progress, fresh }: RunOptions = {}): Promise<Row[]> {
  const {
    models,
    sources,
    curves,
    ablations: asked = ABLATIONS,
    grid = KEEP_GRID,
    draw = 0,
    protocol = "clean",
    perClass = 20,
    evaluateOn = "test",
    seed = 12345,
  } = settings;
  checkPlan(models, sources, curves, grid);
  const keeps = settings.keeps.map((keep) => nearest(grid, keep));
  if (keeps.length === 0) throw new RangeError("keeps must not be empty");
  const unknown = asked.find((ablation) => !ABLATIONS.includes(ablation));
  if (unknown !== undefined || asked.length === 0)
    throw new RangeError(
      `ablations must be among ${ABLATIONS.map((a) => `'${a}'`).join(", ")}, got ${unknown === undefined ? "none" : `'${unknown}'`}`,
    );
  if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be an integer, got ${seed}`);
  const unitsOf = (net: Net): Unit[] =>
    curves.flatMap((curve) =>
      asked
        .filter((ablation) => hasNorms(net) || !(ablation === "folded" || ablation === "recalibrated"))
        .flatMap((ablation): Unit[] => {
          const seesSource = curve.scorer.usesData || ablation === "recalibrated";
          return seesSource
            ? sources.map((source) => ({ ...curve, ablation, source, seesSource, filedUnder: [source] }))
            : [{ ...curve, ablation, source: sources[0]!, seesSource, filedUnder: sources }];
        }),
    );
  const plans = models.map((model) => {
    const net = netByName(modelCard(model).net);
    return { model, units: unitsOf(net), recalibratesDense: hasNorms(net) && asked.includes("recalibrated") };
  });
  const bar = progress?.(
    plans.reduce(
      (sum, { units, recalibratesDense }) => sum + 1 + (recalibratesDense ? sources.length : 0) + units.length,
      0,
    ),
    "ablations",
  );
  const rows: Row[] = [];
  let done = 0;
  for (const { model, units, recalibratesDense } of plans) {
    const bench = new Workbench({ model, protocol, perClass, evaluateOn });
    try {
      const common = { checkpoint: bench.checkpoint, protocol, perClass, evaluateOn };
      const dense = await cached("dense", common, async () => bench.accuracies(), { fresh });
      const ofDense = { score: "dense", rounds: 1, keep: 1, draw: 0, variant: "" };
      const { seconds: denseSeconds, commit: denseCommit } = dense;
      rows.push(
        ...bench.accuracyRows(sources, dense.value, { ...ofDense, seconds: denseSeconds, commit: denseCommit }),
      );
      await bar?.step(++done, `${model} dense`);
      for (const source of recalibratesDense ? sources : []) {
        const control = await cached(
          "dense-recalibrated",
          { ...common, source, draw },
          async () => {
            const norms = normsFor(bench, {}, source, draw);
            try {
              return bench.accuracies(norms);
            } finally {
              disposeTree(norms);
            }
          },
          { fresh },
        );
        const { seconds, commit } = control;
        rows.push(
          ...bench.accuracyRows([source], control.value, {
            ...ofDense,
            draw,
            variant: "recalibrated",
            seconds,
            commit,
          }),
        );
        await bar?.step(++done, `${model} dense, recalibrated, ${source}`);
      }
      for (const { scorer, rounds, ablation, source, seesSource, filedUnder } of units) {
        const path = { source, scorer, rounds, grid, keeps, draw };
        const unit = {
          ...common,
          ablation,
          score: scorer.name,
          rounds,
          grid,
          keeps,
          ...(seesSource ? { source, draw } : {}),
          ...(ablation === "shuffled" || ablation === "reinitialised" ? { seed } : {}),
        };
        const { value, seconds, commit } = await cached(
          "ablation",
          unit,
          async (): Promise<Point[]> => {
            const asIs = await maskPath(bench, path, { fresh });
            const own =
              ablation === "layerwise"
                ? await maskPath(bench, { ...path, scorer: layerwise(scorer) }, { fresh })
                : ablation === "folded"
                  ? await maskPath(bench, { ...path, folded: true }, { fresh })
                  : ablation === "shuffled"
                    ? asIs.map(({ keep, mask }, i) => ({
                        keep,
                        mask: shuffleWithinLayers(mask, stream(seed, "ablation-shuffle", i)),
                      }))
                    : asIs;
            return own.map(({ keep, mask }, i) => {
              const params = paramsOf(bench, ablation, mask, { source, draw, seed });
              try {
                return {
                  keep,
                  accuracy: bench.accuracies(params),
                  overlap: overlap(asIs[i]!.mask, mask).intersectionOverUnion,
                };
              } finally {
                disposeTree(params);
              }
            });
          },
          { fresh },
        );
        for (const { keep, accuracy, overlap: same } of value) {
          const rest = { score: scorer.name, rounds, keep, draw: scorer.usesData ? draw : 0, seconds, commit };
          rows.push(...bench.accuracyRows(filedUnder, accuracy, { ...rest, variant: ablation }));
          rows.push(
            ...filedUnder.map(
              (from): Row => ({
                ...bench.columns,
                source: from,
                task: from,
                taskKind: "source",
                ...rest,
                variant: ablation,
                metric: "maskOverlap",
                value: same,
                n: prunableCount(bench.model(source).net),
              }),
            ),
          );
        }
        await bar?.step(++done, `${scorer.name}, ${ablation || "as is"}${seesSource ? `, ${source}` : ""}`);
      }
    } finally {
      bench.dispose();
    }
  }
  return rows;
}

const hasNorms = (net: Net): boolean => net.nodes.some(({ kind }) => kind === "batchNorm");

/** What replaces parameters of the dense model; the caller disposes it. */
function paramsOf(
  bench: Workbench,
  ablation: Ablation,
  mask: Mask,
  { source, draw, seed }: { readonly source: string; readonly draw: number; readonly seed: number },
): Tree {
  const model = bench.model(source);
  if (ablation === "reinitialised") return reinitialisedWeights(model.net, mask, seed);
  const weights = maskedWeights(model, mask);
  if (ablation !== "recalibrated") return weights;
  return { ...weights, ...normsFor(bench, weights, source, draw) };
}

/** Norm statistics of the dense model with these weights, from the source's scoring images; the caller disposes them. */
function normsFor(bench: Workbench, weights: Tree, source: string, draw: number): Tree {
  const data = bench.scoringData(source, draw);
  try {
    return recalibratedNorms(withParams(bench.model(source), weights), data.x);
  } finally {
    data.x.dispose();
  }
}
