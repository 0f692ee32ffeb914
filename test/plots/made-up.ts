import type { plots, Row, TaskKind } from "secateur";
import { rowOf } from "../rows/rows-of";

// Made-up rows with the shape of a real experiment; the numbers mean nothing. Every value is a closed form of its indices.

export const grid = [1, 2, 3, 4, 5, 6, 7].map((i) => 0.64 ** i);

const trained = ["latin", "greek", "hebrew", "arabic", "hangul", "han"];
const sources = ["latin", "hebrew", "hangul"];
const elsewhere: readonly (readonly [string, TaskKind])[] = [
  ["digits", "unseen"],
  ["malayalam", "unseen"],
  ["fashion", "far"],
];
const knees: Readonly<Record<string, readonly [oneShot: number, rounds: number]>> = {
  magnitude: [0.2, 0.2],
  "diagonal-exact": [0.3, 0.22],
  "blockObs-32": [0.27, 0.19],
  "blockQuadratic-absolute": [0.45, 0.44],
  random: [0.9, 0.9],
};

const kindOf = (source: string, task: string): TaskKind =>
  elsewhere.find(([name]) => name === task)?.[1] ?? (source === task ? "source" : "transfer");
const tasks = [...trained, ...elsewhere.map(([name]) => name)];
const dense = (task: string): number => 92 - 2.5 * tasks.indexOf(task);
const wobble = (...parts: number[]): number => Math.sin(parts.reduce((sum, x, i) => sum + (i + 1.7) * x, 0.3));

/** Accuracy that falls from the dense one to chance around a knee, a bit later on the source. */
function fallen(source: string, task: string, score: string, rounds: number, keep: number): number {
  const [oneShot, iterated] = knees[score]!;
  const knee = (rounds > 1 ? iterated : oneShot) * (source === task && score !== "magnitude" ? 0.8 : 1);
  const share = 1 / (1 + (knee / keep) ** 3.2);
  return 10 + (dense(task) - 10) * share + 2 * wobble(sources.indexOf(source), tasks.indexOf(task), keep * 10) * share;
}

export function p1Rows(): Row[] {
  const denseRows = tasks.map((task) =>
    rowOf({ source: "", task, taskKind: kindOf("", task), score: "dense", rounds: 0, keep: 1, value: dense(task) }),
  );
  const pruned = sources.flatMap((source) =>
    Object.keys(knees).flatMap((score) =>
      (score === "random" || score === "magnitude" ? [1] : [1, 9]).flatMap((rounds) =>
        tasks.flatMap((task) =>
          grid.map((keep) =>
            rowOf({
              source,
              task,
              taskKind: kindOf(source, task),
              score,
              rounds,
              keep,
              value: fallen(source, task, score, rounds, keep),
            }),
          ),
        ),
      ),
    ),
  );
  return [...denseRows, ...pruned];
}

export function p2Rows(): Row[] {
  const scores: readonly (readonly [string, number])[] = [
    ["magnitude", 1],
    ["diagonal-exact", 1],
    ["diagonal-exact", 9],
    ["blockObs-32", 9],
  ];
  const rows = p1Rows();
  const before = rows.filter(
    (row) =>
      row.keep === 1 ||
      (scores.some(([s, r]) => s === row.score && r === row.rounds) && row.keep < 0.3 && row.keep > 0.06),
  );
  const after = before.flatMap((row) => {
    const owners = row.keep === 1 ? sources : [row.source];
    return owners.map((source) => {
      const collapse = row.score === "diagonal-exact" && row.rounds === 1 && row.keep < 0.1 ? -9 : 0;
      const gain =
        row.keep === 1
          ? -0.6
          : ((95 - row.value) * (kindOf(source, row.task) === "source" ? 0.8 : 0.3)) / 1.2 + collapse * 3;
      const tuned = Math.max(8, row.value + gain + wobble(sources.indexOf(source), tasks.indexOf(row.task)));
      return { ...row, source, taskKind: kindOf(source, row.task), metric: "accuracyFineTuned", value: tuned };
    });
  });
  return [...before, ...after];
}

export function lossRows(): Row[] {
  return sources.flatMap((source, s) =>
    Object.keys(knees).flatMap((score, k) =>
      grid.slice(0, 5).flatMap((keep, i) => {
        const quadratic = 0.02 * 2.1 ** i * (1 + 0.4 * k) * (1 + 0.2 * wobble(s, k, i));
        const base = { source, task: source, taskKind: "source" as const, score, keep, rounds: k % 2 === 0 ? 1 : 9 };
        return [
          rowOf({ ...base, metric: "lossPredictedDiagonal", value: quadratic / (1.5 + 0.5 * i) }),
          rowOf({
            ...base,
            metric: "lossPredictedQuadratic",
            value: score === "random" && i === 0 ? -quadratic : quadratic,
          }),
          rowOf({ ...base, metric: "lossChange", value: quadratic * (1 + 0.3 * i * (1 + 0.5 * wobble(k, s))) }),
        ];
      }),
    ),
  );
}

/** Changes of two scores on the source and a transfer task, split into parts that add up to the change. */
export function partRows(): Row[] {
  return ["magnitude", "diagonal-exact"].flatMap((score, k) =>
    grid.slice(0, 4).flatMap((keep, i) =>
      (["source", "transfer"] as const).flatMap((taskKind, t) => {
        const change = 0.02 * 2.1 ** i * (1 + k) * (1 + 0.1 * t);
        const shares = {
          lossPartFirstOrder: -0.04,
          lossPartOwnLayer: 0.5 - 0.1 * i,
          lossPartCrossLayer: 0.3 - 0.05 * i - 0.2 * k,
          lossPartResidualCurvature: 0.02,
        };
        const rest = 1 - Object.values(shares).reduce((a, b) => a + b, 0);
        const base = { source: "latin", task: t === 0 ? "latin" : "greek", taskKind, score, keep };
        return Object.entries({ lossChange: 1, ...shares, lossPartRemainder: rest }).map(([metric, share]) =>
          rowOf({ ...base, metric, value: share * change }),
        );
      }),
    ),
  );
}

export function layers(score = 0): { layers: { name: string; keep: number; total: number }[]; keep: number } {
  const list = [
    "conv1",
    "layer1.0.conv1",
    "layer1.0.conv2",
    "layer2.0.conv1",
    "layer2.0.conv2",
    "layer2.0.downsample.0",
    "layer3.0.conv1",
    "layer3.0.conv2",
  ].map((name, i) => ({
    name: `${name}.weight`,
    keep: Math.max(0, Math.min(1, 0.9 * 0.7 ** i + 0.05 * wobble(i, score) + (i === 7 ? -0.08 : 0))),
    total: 576 * 4 ** Math.floor(i / 3),
  }));
  const total = list.reduce((sum, layer) => sum + layer.total, 0);
  return { layers: list, keep: list.reduce((sum, layer) => sum + layer.keep * layer.total, 0) / total };
}

/** n positive numbers, log-normal in shape. */
export function spread(n: number, shift = 0): Float64Array {
  return Float64Array.from(
    { length: n },
    (_, i) => 10 ** (shift + 1.3 * (wobble(i) + wobble(i * i, 2) + wobble(3, i * (2 + shift)))),
  );
}

/** A grey picture of rings. */
export function rings(size: number, k: number): Uint8Array {
  return Uint8Array.from({ length: size * size }, (_, i) => {
    const [x, y] = [(i % size) - size / 2, Math.floor(i / size) - size / 2];
    return Math.round(127.5 + 127.5 * Math.cos(Math.hypot(x, y) * (0.3 + 0.1 * k)));
  });
}

/** Quadratic forms of two scores and their controls on a task of each kind. */
export function landscapeRows(): Row[] {
  return ["magnitude", "diagonal-exact"].flatMap((score, s) =>
    ["hebrew", "latin", "digits", "fashion"].flatMap((task, t) =>
      ["", "sameSize", "shuffled"].map((variant, v) =>
        rowOf({
          ...{
            source: "hebrew",
            task,
            taskKind: kindOf("hebrew", task),
            score,
            rounds: 1 + 8 * s,
            keep: grid[1]!,
            variant,
          },
          ...{ metric: "quadraticForm", value: 0.004 * (1 + t) * 6 ** v * (1 - 0.4 * s) },
        }),
      ),
    ),
  );
}

export const slices = (): {
  task: string;
  taskKind: TaskKind;
  score: string;
  rounds: number;
  keep: number;
  variant: string;
  shares: number[];
  losses: number[];
}[] =>
  ["hebrew", "latin", "digits", "fashion"].flatMap((task, t) =>
    ["magnitude", "diagonal-exact"].flatMap((score, s) =>
      ["", "shuffled"].map((variant, v) => {
        const shares = Array.from({ length: 7 }, (_, i) => -0.25 + i / 4);
        const losses = shares.map((x) => 0.02 + Math.min(0.08, 0.01 * (1 + t) * (1 + 9 * v) * (1 + s) * x * x));
        return {
          task,
          taskKind: kindOf("hebrew", task),
          score,
          rounds: 1 + 8 * s,
          keep: grid[3]!,
          variant,
          shares,
          losses,
        };
      }),
    ),
  );

export function plane(task: string, t: number): Parameters<typeof plots.lossPlanes>[0][number] {
  const [sharesOfMask, sharesOfSecond] = [5, 4].map((n) => Array.from({ length: n }, (_, i) => i / (n - 1)));
  const losses = sharesOfSecond!.map((y) => sharesOfMask!.map((x) => 0.02 + (0.03 + 0.06 * t) * x * x - 0.02 * x * y));
  const taskKind = kindOf("hebrew", task);
  return { task, taskKind, sharesOfMask: sharesOfMask!, sharesOfSecond: sharesOfSecond!, losses, n: 100 };
}

export function densityCurve(name: string, scale: number): Parameters<typeof plots.spectralDensity>[0][number] {
  const points = Array.from({ length: 30 }, (_, i) => {
    const z = i / 6 - 2;
    const density = scale * 1e-3 * Math.exp(-z * z);
    return { at: 10 ** (z - 2), density, standardError: density / 5 };
  });
  return { name, dimension: 100_000, points };
}

/** Two scores, two keep ratios, three variants; shuffling leaves chance. */
export function ablationRows(): Row[] {
  const rows = p1Rows().filter((row) => row.taskKind === "transfer" || row.keep === 1);
  const dense = sources.flatMap((source) =>
    rows
      .filter((row) => row.keep === 1)
      .map((row) => ({ ...row, source, taskKind: kindOf(source, row.task), rounds: 1 })),
  );
  const asIs = rows.filter(
    ({ score, rounds, keep }) =>
      (keep === grid[1] || keep === grid[3]) && (score === "magnitude" || (score === "diagonal-exact" && rounds > 1)),
  );
  return [
    ...dense,
    ...asIs,
    ...asIs.map((row) => ({ ...row, variant: "shuffled", value: 10 + 0.1 * wobble(row.value) })),
    ...asIs.map((row) => ({ ...row, variant: "layerwise", value: 10 + 0.7 * (row.value - 10) })),
  ];
}

export function overlaps(): plots.OverlapOfMasks[] {
  return ["draw", "source", "criterion"].flatMap((differsIn, i) =>
    Array.from({ length: 6 }, (_, k) => ({
      differsIn,
      intersectionOverUnion: 0.8 - 0.15 * i + 0.05 * wobble(i, k),
      byChance: 0.2 + 0.02 * wobble(k, i),
    })),
  );
}

/** Two more backbones: one that keeps less, one on which magnitude was read at two keep ratios only and a score was not run. */
export function comparisonRows(): Row[] {
  const rows = p1Rows();
  const worse = rows.map((row) => ({
    ...row,
    pretraining: "moco",
    value: row.keep === 1 ? row.value : 0.94 * row.value,
  }));
  const few = rows
    .filter(({ score }) => score !== "blockQuadratic-absolute")
    .filter((row) => row.keep > 0.4 || row.score !== "magnitude")
    .map((row) => ({ ...row, model: "vh128x4" }));
  return [...rows, ...worse, ...few];
}

/** Knees of three widths, one of two seeds; the last one of "diagonal-exact" is a bound. */
export const kneeTrends = (): Parameters<typeof plots.widthTrend>[0][number][] =>
  [
    { score: "magnitude", rounds: 1, first: 0.31 },
    { score: "diagonal-exact", rounds: 9, first: 0.38 },
  ].map(({ score, rounds, first }, s) => ({
    ...{ score, rounds },
    points: [
      ["rs32x1", 0, 3.0e5],
      ["rs64x1", 0, 1.2e6],
      ["rs64x1", 1, 1.2e6],
      ["rs128x1", 0, 4.8e6],
    ].map(([model, seed, weights], i) => ({
      ...{ model: String(model), seed: Number(seed), weights: Number(weights), knee: first * 0.75 ** i, sd: 0.02 },
      ...{ runs: 6, censored: s === 1 && i === 3 ? 2 : 0 },
    })),
    line: { intercept: 2, slope: -0.25, sd: 0.05, n: 4 - s, meanX: 13.9, squaresX: 4 },
    predicted: {
      net: "resnet50",
      weights: 23_454_912,
      knee: Math.exp(2 - 0.25 * Math.log(23_454_912)),
      low: 0.001,
      high: 0.3,
    },
  }));
