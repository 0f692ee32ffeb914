/** P2: fine-tuning the pruned net on the source lifts transfer, without degrading the dense net. */
import { fullMask } from "../masks";
import { netByName } from "../nets";
import { finetune } from "../train";
import { disposeTree } from "../tree";
import type { Mask, Protocol, Row } from "../types";
import { cached } from "./cache";
import { type Curve, checkPlan, KEEP_GRID, nearest, type RunOptions } from "./p1";
import { type Accuracies, Workbench } from "./workbench";

export interface P2Settings {
  readonly models: readonly string[];
  readonly sources: readonly string[];
  readonly curves: readonly Curve[];
  /** keep ratios to fine-tune at, out of the grid; 1 is the dense control, which needs no curve */
  readonly keeps: readonly number[];
  readonly grid?: readonly number[];
  readonly draw?: number;
  readonly protocol?: Protocol;
  readonly perClass?: number;
  readonly evaluateOn?: "test" | "validation";
  readonly epochs?: number;
  /** learning rate of the squared error that is a mean over images and classes (default 0.3) */
  readonly rate?: number;
  readonly batchSize?: number;
  readonly weightDecay?: number;
  /** of the order of images */
  readonly shuffleSeed?: number;
  /** column of the rows that tells this setting from the default one, for instance "rate=3" */
  readonly variant?: string;
}

interface Tuned {
  readonly before: Accuracies;
  readonly after: Accuracies;
  readonly diverged: boolean;
  readonly losses: readonly number[];
}

/**
 * Accuracy before and after fine-tuning on the source, on every task, for each model, source, curve and keep ratio. Heads are those of
 * the clean dense backbone, before and after. Every fine-tuning is a unit of work, cached by its settings.
 * The name of a score stands for its options: a changed score needs another name, or `fresh`.
 * @returns rows with metrics "accuracy", "accuracyFineTuned" (percent) and "diverged" (0 or 1, filed under the source task)
 */
export async function p2(settings: P2Settings, { progress, fresh }: RunOptions = {}): Promise<Row[]> {
  const {
    models,
    sources,
    curves,
    keeps,
    grid = KEEP_GRID,
    draw = 0,
    protocol = "clean",
    perClass = 20,
    evaluateOn = "test",
  } = settings;
  const { epochs = 10, rate = 0.3, batchSize = 64, weightDecay = 1e-4, shuffleSeed = 0, variant = "" } = settings;
  checkPlan(models, sources, curves, grid);
  const ratios = keeps.map((keep) => (keep === 1 ? 1 : nearest(grid, keep)));
  const training = { epochs, rate, batchSize, weightDecay, shuffleSeed };
  const runs = sources.flatMap((source) => [
    ...(ratios.includes(1) ? [{ source, curve: undefined, keep: 1 }] : []),
    ...curves.flatMap((curve) => ratios.filter((keep) => keep < 1).map((keep) => ({ source, curve, keep }))),
  ]);
  const bar = progress?.(models.length * runs.length, variant === "" ? "P2" : `P2 ${variant}`);
  const rows: Row[] = [];
  let done = 0;
  for (const model of models) {
    const bench = new Workbench({ model, protocol, perClass, evaluateOn });
    const masks = new Map<string, Promise<Mask>>();
    const maskOf = (source: string, curve: Curve, keep: number): Promise<Mask> => {
      const key = `${curve.scorer.usesData ? source : ""} ${curve.scorer.name} ${curve.rounds} ${keep}`;
      const known = masks.get(key);
      if (known) return known;
      const upTo = grid.slice(0, grid.indexOf(keep) + 1);
      const path = bench.masks(source, curve.scorer, {
        grid: upTo,
        rounds: curve.rounds === 1 ? 1 : (curve.rounds / grid.length) * upTo.length,
        draw,
      });
      const mask = path.then((points) => points[points.length - 1]!.mask);
      masks.set(key, mask);
      return mask;
    };
    try {
      for (const { source, curve, keep } of runs) {
        const score = curve?.scorer.name ?? "dense";
        const rounds = curve?.rounds ?? 1;
        const unit = {
          checkpoint: bench.checkpoint,
          protocol,
          perClass,
          evaluateOn,
          source,
          draw,
          score,
          rounds,
          grid,
          keep,
          ...training,
        };
        const tuned = await cached(
          "p2",
          unit,
          async () =>
            tune(
              bench,
              source,
              curve ? await maskOf(source, curve, keep) : fullMask(netByName(bench.columns.model)),
              training,
            ),
          { fresh },
        );
        for (const task of bench.tasks) {
          const row = (metric: string, value: number): Row => ({
            ...bench.columns,
            source,
            task: task.name,
            taskKind: bench.kindOf(task, source),
            score,
            rounds,
            keep,
            draw,
            variant,
            metric,
            value,
            n: bench.images,
            seconds: tuned.seconds,
            commit: tuned.commit,
          });
          rows.push(
            row("accuracy", tuned.value.before[task.name]!),
            row("accuracyFineTuned", tuned.value.after[task.name]!),
          );
          if (task.name === source) rows.push(row("diverged", Number(tuned.value.diverged)));
        }
        await bar?.step(++done, `${source}, ${score}, keep ${keep.toFixed(3)}`);
      }
    } finally {
      bench.dispose();
    }
  }
  return rows;
}

async function tune(
  bench: Workbench,
  source: string,
  mask: Mask,
  training: { epochs: number; rate: number; batchSize: number; weightDecay: number; shuffleSeed: number },
): Promise<Tuned> {
  const { shuffleSeed, ...options } = training;
  const before = bench.maskedAccuracies(mask);
  const { params, history, diverged } = await finetune(bench.model(source), mask, bench.finetuningSet(source), {
    ...options,
    seed: shuffleSeed,
  });
  try {
    return { before, after: bench.accuracies(params), diverged, losses: history.map(({ loss }) => loss) };
  } finally {
    disposeTree(params);
  }
}
