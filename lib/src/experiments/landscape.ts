/** The landscape that a mask crosses: curvature of the source and of other tasks along it, spectra, common directions, cuts. */
import { stream, tf } from "../backend";
import {
  type Eigenpairs,
  gnDiag,
  gnProduct,
  lossAlong,
  lossPlane,
  lossValue,
  subspaceOverlap,
  subspaceShare,
  topEigenpairs,
} from "../curvature";
import { removalStep, shuffleWithinLayers } from "../masks";
import { prunableWeights } from "../nets";
import { finetune } from "../train";
import { disposeTree, dotTree, mapTree, pickTree, toHost, zipTree } from "../tree";
import type { Batch, LossSlice, Mask, Model, Protocol, Row, TaskKind, Tree } from "../types";
import { cached } from "./cache";
import { checkTasks } from "./calibration";
import { type Curve, checkPlan, nearest, type RunOptions } from "./p1";
import { Workbench } from "./workbench";

export interface LandscapeSettings {
  /** names in the zoo */
  readonly models: readonly string[];
  readonly sources: readonly string[];
  readonly curves: readonly Curve[];
  /** tasks looked at beside the sources, with their own heads and scoring images */
  readonly tasks: readonly string[];
  readonly grid: readonly number[];
  /** eigenpairs of each task (default 10) */
  readonly k?: number;
  /** residual of an eigenpair, relative to the largest eigenvalue (default 0.01) */
  readonly tolerance?: number;
  readonly draw?: number;
  readonly protocol?: Protocol;
}

/** The Gauss-Newton matrix of one task at the dense weights (squared error, mean over images and classes). */
export interface TaskSpectrum {
  readonly model: string;
  readonly seed: number;
  readonly task: string;
  readonly n: number;
  /** largest eigenvalues, falling, in loss per weight^2 */
  readonly values: readonly number[];
  /** an eigenvalue lies within this distance of each value */
  readonly residuals: readonly number[];
  /** exact: sum of the diagonal */
  readonly trace: number;
  readonly weights: number;
}

/** What two tasks have in common. */
export interface TaskOverlap {
  readonly model: string;
  readonly seed: number;
  readonly a: string;
  readonly b: string;
  /** of the spaces of the k largest eigenvalues */
  readonly meanSquaredCosine: number;
  readonly chance: number;
  /** correlation of log G_jj over the weights where both are positive */
  readonly diagonalCorrelation: number;
  /** the same after taking each layer's mean away */
  readonly withinLayers: number;
}

export interface Landscape {
  readonly rows: Row[];
  readonly spectra: TaskSpectrum[];
  readonly overlaps: TaskOverlap[];
}

/** Metrics of the rows. */
interface Along {
  /** L(theta + d) - L(theta) */
  readonly lossChange: number;
  /** 1/2 d^T G d */
  readonly quadraticForm: number;
  /** |d|^2 */
  readonly stepSquared: number;
  /** share of |d|^2 in the space of the task's k largest eigenvalues */
  readonly shareInTop: number;
  /** share of d^T G d from there */
  readonly formInTop: number;
}

/**
 * Curvature of every task along the masks of each source, and what the tasks' curvatures have in common; cached like `p1`.
 * Each mask has two controls that remove as many weights from every layer: at random places (variant "shuffled"), and at random places among
 * weights of nearly the same size (variant "sameSize").
 * @returns rows with metrics "lossChange", "quadraticForm" (half of d^T G d), "stepSquared", "shareInTop", "formInTop" and, at keep = 1
 * (score "dense"), "loss"; spectra and overlaps of all tasks
 * @throws RangeError before work starts for models, sources, curves, tasks or a grid that do not fit
 */
export async function landscape(settings: LandscapeSettings, { progress, fresh }: RunOptions = {}): Promise<Landscape> {
  const { models, sources, curves, grid, k = 10, tolerance = 0.01, draw = 0, protocol = "clean" } = settings;
  checkPlan(models, sources, curves, grid);
  checkTasks(settings.tasks);
  const tasks = [...new Set([...sources, ...settings.tasks])];
  const bar = progress?.(models.length * (1 + sources.length * curves.length), "landscape");
  const found: Landscape = { rows: [], spectra: [], overlaps: [] };
  let done = 0;
  for (const name of models) {
    const bench = new Workbench({ model: name, protocol, perClass: 1, evaluateOn: "test" });
    const common = { checkpoint: bench.checkpoint, protocol, draw, tasks, k, tolerance };
    const views = new Views(bench, tasks, { k, tolerance, draw });
    const { model, seed } = bench.columns;
    try {
      const spectra = await cached("landscape-spectra", common, async () => views.compared(), { fresh });
      found.spectra.push(...spectra.value.spectra.map((spectrum) => ({ model, seed, ...spectrum })));
      found.overlaps.push(...spectra.value.overlaps.map((overlap) => ({ model, seed, ...overlap })));
      await bar?.step(++done, `${name}, spectra`);
      for (const source of sources)
        for (const [which, { scorer, rounds }] of curves.entries()) {
          const { value, seconds, commit } = await cached(
            "landscape",
            { ...common, source, score: scorer.name, rounds, grid },
            async () => {
              const path = await bench.masks(source, scorer, { grid, rounds, draw });
              return views.along(path.map(({ mask }) => mask));
            },
            { fresh },
          );
          for (const { task, n, loss, masks } of value) {
            const row = (of: Pick<Row, "score" | "rounds" | "keep" | "variant" | "metric" | "value">): Row => ({
              ...bench.columns,
              source,
              task,
              taskKind: kindOf(bench, task, source),
              draw,
              n,
              seconds,
              commit,
              ...of,
            });
            if (which === 0)
              found.rows.push(row({ score: "dense", rounds: 1, keep: 1, variant: "", metric: "loss", value: loss }));
            for (const [i, variants] of masks.entries())
              for (const [variant, parts] of Object.entries(variants))
                for (const [metric, number] of Object.entries(parts))
                  found.rows.push(row({ score: scorer.name, rounds, keep: grid[i]!, variant, metric, value: number }));
          }
          await bar?.step(++done, `${name}, ${scorer.name}, ${source}`);
        }
    } finally {
      views.dispose();
      bench.dispose();
    }
  }
  return found;
}

const kindOf = (bench: Workbench, task: string, source: string): TaskKind =>
  bench.kindOf(bench.tasks.find(({ name }) => name === task)!, source);

/** A mask and its controls, by variant; random places depend on nothing but `which`. */
function variantsOf(model: Model, mask: Mask, which: number): Readonly<Record<string, Mask>> {
  return { "": mask, sameSize: shuffledAmongEquals(model, mask, which), shuffled: shuffled(mask, which) };
}

/** The same number of weights removed from every layer, at random places. */
const shuffled = (mask: Mask, which: number): Mask => shuffleWithinLayers(mask, stream(which, "landscape-shuffle"));

/** Weights of one layer that count as equal: so many next to each other in the order of size. */
const EQUALS = 64;

/** The same number removed from every EQUALS weights that follow each other in the order of their size in a layer. */
function shuffledAmongEquals(model: Model, mask: Mask, which: number): Mask {
  return Object.fromEntries(
    Object.entries(mask).map(([key, kept]) => {
      const numbers = stream(which, "landscape-same-size", key);
      const sizes = model.params[key]!.dataSync().map(Math.abs);
      const order = Int32Array.from(kept, (_, j) => j).sort((i, j) => sizes[i]! - sizes[j]! || i - j);
      const result = new Uint8Array(kept.length);
      for (let from = 0; from < order.length; from += EQUALS) {
        const members = order.subarray(from, from + EQUALS);
        numbers.permutation(members.length).forEach((to, i) => {
          result[members[to]!] = kept[members[i]!]!;
        });
      }
      return [key, result];
    }),
  );
}

/** The tasks as seen from the dense weights: eigenpairs are computed when they are first needed, and kept. */
class Views {
  private readonly tops = new Map<string, Eigenpairs>();

  constructor(
    private readonly bench: Workbench,
    private readonly tasks: readonly string[],
    private readonly options: { readonly k: number; readonly tolerance: number; readonly draw: number },
  ) {}

  compared(): {
    spectra: Omit<TaskSpectrum, "model" | "seed">[];
    overlaps: Omit<TaskOverlap, "model" | "seed">[];
  } {
    const logs: Float64Array[][] = [];
    const spectra = this.tasks.map((task) =>
      this.on(task, (model, data) => {
        const { values, residuals } = this.top(task, model, data);
        const diagonal = gnDiag(model, data);
        const host = Object.values(toHost(diagonal));
        disposeTree(diagonal);
        logs.push(host.map((layer) => Float64Array.from(layer, (x) => Math.log10(x))));
        const weights = host.reduce((sum, layer) => sum + layer.length, 0);
        return { task, n: data.labels.length, values, residuals, trace: total(host), weights };
      }),
    );
    const overlaps = this.tasks.flatMap((a, i) =>
      this.tasks.slice(i + 1).map((b, j) => {
        const [u, v] = [a, b].map((task) => this.tops.get(task)!.vectors) as [readonly Tree[], readonly Tree[]];
        const { meanSquaredCosine, chance } = subspaceOverlap(u, v);
        return { a, b, meanSquaredCosine, chance, ...correlations(logs[i]!, logs[i + 1 + j]!) };
      }),
    );
    return { spectra, overlaps };
  }

  along(masks: readonly Mask[]): { task: string; n: number; loss: number; masks: Record<string, Along>[] }[] {
    const model = this.bench.model(this.tasks[0]!);
    const steps = masks.map((mask, i) =>
      Object.entries(variantsOf(model, mask, i)).map(([variant, chosen]) => ({
        variant,
        step: removalStep(model, chosen),
      })),
    );
    try {
      return this.tasks.map((task) =>
        this.on(task, (own, data) => {
          const pairs = this.top(task, own, data);
          const loss = lossValue(own, data);
          const masksSeen = steps.map((variants) =>
            Object.fromEntries(
              variants.map(({ variant, step }) => [variant, seenAlong(own, data, { loss, pairs, step })]),
            ),
          );
          return { task, n: data.labels.length, loss, masks: masksSeen };
        }),
      );
    } finally {
      for (const { step } of steps.flat()) disposeTree(step);
    }
  }

  dispose(): void {
    for (const { vectors } of this.tops.values()) vectors.forEach(disposeTree);
    this.tops.clear();
  }

  private top(task: string, model: Model, data: Batch): Eigenpairs {
    const { k, tolerance } = this.options;
    const known = this.tops.get(task);
    if (known) return known;
    const pairs = topEigenpairs((v) => gnProduct(model, data, v), prunableWeights(model), { k, tolerance });
    this.tops.set(task, pairs);
    return pairs;
  }

  private on<T>(task: string, f: (model: Model, data: Batch) => T): T {
    return onTask(this.bench, task, this.options.draw, f);
  }
}

function seenAlong(
  model: Model,
  data: Batch,
  { loss, pairs, step }: { readonly loss: number; readonly pairs: Eigenpairs; readonly step: Tree },
): Along {
  const product = gnProduct(model, data, step);
  const form = dotTree(step, product) / 2;
  disposeTree(product);
  const { share, coefficients } = subspaceShare(pairs.vectors, step);
  const inTop = coefficients.reduce((sum, c, i) => sum + (pairs.values[i]! * c * c) / 2, 0);
  return {
    lossChange: lossAlong(model, data, step, [1])[0]! - loss,
    quadraticForm: form,
    stepSquared: dotTree(step, step),
    shareInTop: share,
    formInTop: inTop / form,
  };
}

function onTask<T>(bench: Workbench, task: string, draw: number, f: (model: Model, data: Batch) => T): T {
  const data = bench.scoringData(task, draw);
  try {
    return f(bench.model(task), data);
  } finally {
    data.x.dispose();
  }
}

function total(layers: readonly ArrayLike<number>[]): number {
  let sum = 0;
  for (const layer of layers) for (let j = 0; j < layer.length; j++) sum += layer[j]!;
  return sum;
}

/** Correlation of two lists of layers over the entries that are finite in both, and the same with each layer's means taken away. */
function correlations(
  a: readonly Float64Array[],
  b: readonly Float64Array[],
): { diagonalCorrelation: number; withinLayers: number } {
  const layers = a.map((x, l) => moments(x, b[l]!));
  const sum = (list: readonly Moments[], f: (m: Moments) => number): number =>
    list.reduce((total, m) => total + f(m), 0);
  const correlation = (list: readonly Moments[]): number => {
    const xy = sum(list, (m) => m.xy - (m.x * m.y) / m.n);
    const xx = sum(list, (m) => m.xx - (m.x * m.x) / m.n);
    const yy = sum(list, (m) => m.yy - (m.y * m.y) / m.n);
    return xy / Math.sqrt(xx * yy);
  };
  const together = Object.fromEntries(
    (["n", "x", "y", "xx", "xy", "yy"] as const).map((key) => [key, sum(layers, (m) => m[key])]),
  ) as unknown as Moments;
  return {
    diagonalCorrelation: correlation([together]),
    withinLayers: correlation(layers.filter(({ n }) => n > 0)),
  };
}

interface Moments {
  readonly n: number;
  readonly x: number;
  readonly y: number;
  readonly xx: number;
  readonly xy: number;
  readonly yy: number;
}

function moments(a: Float64Array, b: Float64Array): Moments {
  let [n, x, y, xx, xy, yy] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [u, v] = [a[i]!, b[i]!];
    if (!Number.isFinite(u) || !Number.isFinite(v)) continue;
    n++;
    x += u;
    y += v;
    xx += u * u;
    xy += u * v;
    yy += v * v;
  }
  return { n, x, y, xx, xy, yy };
}

export interface SliceSettings {
  /** name in the zoo */
  readonly model: string;
  readonly source: string;
  readonly curves: readonly Curve[];
  readonly tasks: readonly string[];
  readonly grid: readonly number[];
  /** one of the grid */
  readonly keep: number;
  /** 0: dense, 1: pruned; default -0.25, -0.125 ... 1.25 */
  readonly shares?: readonly number[];
  readonly draw?: number;
  readonly protocol?: Protocol;
}

const SHARES: readonly number[] = Array.from({ length: 13 }, (_, i) => (i - 2) / 8);

/**
 * The loss of the source and of every task along the source's masks and along their shuffled controls; cached like `p1`.
 * @throws RangeError before work starts for settings that do not fit
 */
export async function landscapeSlices(
  settings: SliceSettings,
  { progress, fresh }: RunOptions = {},
): Promise<LossSlice[]> {
  const { model, source, curves, grid, shares = SHARES, draw = 0, protocol = "clean" } = settings;
  checkPlan([model], [source], curves, grid);
  checkTasks(settings.tasks);
  const keep = nearest(grid, settings.keep);
  const tasks = [...new Set([source, ...settings.tasks])];
  const bar = progress?.(curves.length, "slices");
  const bench = new Workbench({ model, protocol, perClass: 1, evaluateOn: "test" });
  const slices: LossSlice[] = [];
  try {
    for (const [which, { scorer, rounds }] of curves.entries()) {
      const { checkpoint } = bench;
      const unit = { checkpoint, protocol, draw, source, score: scorer.name, rounds, grid, keep, tasks, shares };
      const { value } = await cached(
        "landscape-slices",
        unit,
        async () => {
          const at = grid.indexOf(keep);
          const { mask } = (await bench.masks(source, scorer, { grid, rounds, draw }))[at]!;
          return [mask, shuffled(mask, at)].map((chosen) => {
            const step = removalStep(bench.model(source), chosen);
            try {
              return tasks.map((task) => onTask(bench, task, draw, (own, data) => lossAlong(own, data, step, shares)));
            } finally {
              disposeTree(step);
            }
          });
        },
        { fresh },
      );
      for (const [i, variant] of ["", "shuffled"].entries())
        for (const [t, task] of tasks.entries()) {
          const taskKind = kindOf(bench, task, source);
          slices.push({ task, taskKind, score: scorer.name, rounds, keep, variant, shares, losses: value[i]![t]! });
        }
      await bar?.step(which + 1, scorer.name);
    }
    return slices;
  } finally {
    bench.dispose();
  }
}

export interface PlaneSettings {
  /** name in the zoo */
  readonly model: string;
  readonly source: string;
  readonly curve: Curve;
  readonly tasks: readonly string[];
  readonly grid: readonly number[];
  /** one of the grid */
  readonly keep: number;
  /**
   * the direction beside the mask's: finetuning: from the pruned weights to those fine-tuned on the source (every parameter that learns
   * moves; removed weights do not, so the two directions are orthogonal); random: as long as the mask's step in every layer
   */
  readonly second: "finetuning" | "random";
  /** 0: dense, 1: pruned (default 0, 0.125 ... 1.25) */
  readonly sharesOfMask?: readonly number[];
  /** of the second direction (default -0.5, -0.25 ... 1.5) */
  readonly sharesOfSecond?: readonly number[];
  /** of fine-tuning (default 10) */
  readonly epochs?: number;
  readonly draw?: number;
  readonly protocol?: Protocol;
}

/** Losses of a task on a cut through the weights: losses[t][s] at the dense weights + s mask step + t second direction. */
export interface Plane {
  readonly task: string;
  readonly taskKind: TaskKind;
  readonly sharesOfMask: readonly number[];
  readonly sharesOfSecond: readonly number[];
  readonly losses: readonly (readonly number[])[];
  readonly n: number;
}

/**
 * The loss of the source and of every task on a plane through the dense and the pruned weights; cached like `p1`.
 * @throws RangeError before work starts for settings that do not fit
 */
export async function landscapePlane(settings: PlaneSettings, { fresh }: RunOptions = {}): Promise<Plane[]> {
  const { model, source, curve, grid, second, epochs = 10, draw = 0, protocol = "clean" } = settings;
  const sharesOfMask = settings.sharesOfMask ?? Array.from({ length: 11 }, (_, i) => i / 8);
  const sharesOfSecond = settings.sharesOfSecond ?? Array.from({ length: 9 }, (_, i) => (i - 2) / 4);
  checkPlan([model], [source], [curve], grid);
  checkTasks(settings.tasks);
  if (second !== "finetuning" && second !== "random")
    throw new RangeError(`second must be 'finetuning' or 'random', got '${second}'`);
  const keep = nearest(grid, settings.keep);
  const tasks = [...new Set([source, ...settings.tasks])];
  const bench = new Workbench({ model, protocol, perClass: 1, evaluateOn: "test" });
  try {
    const { scorer, rounds } = curve;
    const { value } = await cached(
      "landscape-plane",
      {
        ...{ checkpoint: bench.checkpoint, protocol, draw, source, score: scorer.name, rounds, grid, keep, tasks },
        ...{ sharesOfMask, sharesOfSecond, second, ...(second === "finetuning" ? { epochs } : {}) },
      },
      async () => {
        const { mask } = (await bench.masks(source, scorer, { grid, rounds, draw }))[grid.indexOf(keep)]!;
        const a = removalStep(bench.model(source), mask);
        const b = second === "random" ? randomStep(a) : await finetuningStep(bench, source, mask, a, epochs);
        try {
          return tasks.map((task) =>
            onTask(bench, task, draw, (own, data) => ({
              n: data.labels.length,
              losses: lossPlane(own, data, { a, b }, { sharesOfA: sharesOfMask, sharesOfB: sharesOfSecond }),
            })),
          );
        } finally {
          [a, b].forEach(disposeTree);
        }
      },
      { fresh },
    );
    return tasks.map((task, t) => ({
      task,
      taskKind: kindOf(bench, task, source),
      sharesOfMask,
      sharesOfSecond,
      ...value[t]!,
    }));
  } finally {
    bench.dispose();
  }
}

/** N(0, 1) entries, each layer as long as that of the step. */
function randomStep(step: Tree): Tree {
  return mapTree(step, (d, key) => {
    const numbers = stream(0, "landscape-direction", key);
    return tf.tidy(() => {
      const random = tf.tensor(
        Float32Array.from({ length: d.size }, () => numbers.normal()),
        d.shape,
      );
      return tf.mul(random, tf.div(tf.norm(d), tf.norm(random)));
    });
  });
}

/** From the pruned weights to the fine-tuned parameters. */
async function finetuningStep(bench: Workbench, source: string, mask: Mask, step: Tree, epochs: number): Promise<Tree> {
  const model = bench.model(source);
  const { params, diverged } = await finetune(model, mask, bench.finetuningSet(source), { epochs });
  try {
    if (diverged) throw new Error(`landscapePlane: fine-tuning on ${source} diverged`);
    return zipTree(params, pickTree(model.params, Object.keys(params)), (after, before, key) =>
      tf.tidy(() => tf.sub(tf.sub(after, before), step[key] ?? 0)),
    );
  } finally {
    disposeTree(params);
  }
}
