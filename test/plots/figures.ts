import type { Figure } from "secateur";
import { plots, rows as tidy } from "secateur";
import {
  ablationRows,
  comparisonRows,
  densityCurve,
  grid,
  kneeTrends,
  landscapeRows,
  layers,
  lossRows,
  overlaps,
  p1Rows,
  p2Rows,
  partRows,
  plane,
  rings,
  slices,
  spread,
} from "./made-up";

const tenPictures = plots.tile(
  Array.from({ length: 30 }, (_, k) => rings(28, k % 10)),
  { width: 28, height: 28, columns: 10 },
);
const names = ["magnitude", "diagonal-exact", "blockObs-32", "blockQuadratic-absolute", "random"];

/** Every figure of the library on made-up data. */
export const figures: Readonly<Record<string, () => Figure>> = {
  "sparsity-curve": () => plots.sparsityCurve(p1Rows(), { title: "Pruning on one task keeps the others" }),
  "sparsity-curve-relative": () =>
    plots.sparsityCurve(p1Rows(), {
      title: "Share of the dense accuracy that is left",
      taskKinds: ["transfer"],
      relative: true,
    }),
  "sparsity-curve-two": () =>
    plots.sparsityCurve(p1Rows(), { title: "Source and transfer", taskKinds: ["source", "transfer"] }),
  "task-matrix": () =>
    plots.taskMatrix(
      p1Rows().filter((row) => row.score === "diagonal-exact" && row.rounds === 9 && row.keep === grid[3]),
      { title: "Accuracy on every task after pruning on each source" },
    ),
  "task-bars": () =>
    plots.taskBars(
      p1Rows()
        .filter((row) => row.keep === 1)
        .flatMap((row) => [row, { ...row, seed: 1, value: row.value - 3 }]),
      { title: "Dense accuracy of two backbones" },
    ),
  "before-after": () => plots.beforeAfter(p2Rows(), { title: "Fine-tuning on the source lifts the other tasks" }),
  "predicted-vs-measured": () =>
    plots.predictedVsMeasured(lossRows(), {
      title: "The loss that the second order predicts",
      predicted: { lossPredictedDiagonal: "diagonal", lossPredictedQuadratic: "full quadratic form" },
      measured: "lossChange",
    }),
  "loss-parts": () => plots.lossParts(partRows(), { title: "What the measured change is made of" }),
  "layer-coupling": () =>
    plots.layerCoupling(
      ["conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight"],
      [
        [3, 0.5, -0.25],
        [0.5, 4, 0.04],
        [-0.25, 0.04, 2],
      ],
      { title: "Layers by themselves and together" },
    ),
  eigenvalues: () =>
    plots.eigenvalues(
      ["hebrew (source)", "fashion (far)"].map((name, i) => ({
        name,
        values: Array.from({ length: 8 }, (_, k) => (2 + i) * 0.7 ** k),
        residuals: Array.from({ length: 8 }, (_, k) => 0.001 * 2 ** k),
      })),
      { title: "The largest eigenvalues of two tasks" },
    ),
  "spectral-density": () =>
    plots.spectralDensity([densityCurve("hebrew", 0.3), densityCurve("fashion", 1)], {
      title: "How many directions are how curved",
      gaussianWidth: 0.2,
    }),
  "along-masks": () => plots.alongMasks(landscapeRows(), { title: "Curvature of every task along the source's masks" }),
  "loss-slices": () => plots.lossSlices(slices(), { title: "The way to the mask" }),
  "loss-planes": () =>
    plots.lossPlanes(
      ["hebrew", "fashion"].map((task, i) => plane(task, i)),
      {
        title: "A plane through dense, pruned and fine-tuned weights",
        y: "share of fine-tuning",
        marks: [
          ["dense", 0, 0],
          ["pruned", 1, 0],
          ["fine-tuned", 1, 1],
        ],
      },
    ),
  "one-shot-vs-rounds": () => plots.oneShotVsRounds(p1Rows(), { title: "Recomputing the scores" }),
  "layer-keep": () => plots.layerKeep(layers(), { title: "What magnitude keeps of every layer" }),
  "layer-keep-several": () =>
    plots.layerKeep(
      { magnitude: layers(0), "diagonal-exact": layers(1), "blockObs-32": layers(2) },
      { title: "What each score keeps of every layer" },
    ),
  "ablation-bars": () => plots.ablationBars(ablationRows(), { title: "What is left without a part of the mask" }),
  "mask-overlap": () => plots.maskOverlap(overlaps(), { title: "How much two masks agree" }),
  histogram: () =>
    plots.histogram([...spread(5000), 0, 0], { title: "Scores of the weights", x: "score (loss)", log: true }),
  "histogram-several": () =>
    plots.histogram(
      { magnitude: spread(4000), "diagonal-exact": spread(3000, -1) },
      { title: "Two scores", x: "score divided by its median (ratio)", log: true },
    ),
  "contact-sheet": () =>
    plots.contactSheet(tenPictures.pixels, tenPictures.width, tenPictures.height, {
      title: "Three tasks, ten classes each",
      rows: ["rings", "more rings", "yet more rings"],
      columns: [..."0123456789"],
      caption: "Corrupted characters, one image a class.",
    }),
  "learning-curve": () =>
    plots.learningCurve(
      ["seed 0", "seed 1"].flatMap((series, s) =>
        Array.from({ length: 14 }, (_, i) => [
          { step: i + 1, value: 0.08 * 0.8 ** i + 0.01 + 0.002 * s, series, quantity: "training loss (squared error)" },
          { step: i + 1, value: 90 - 70 * 0.7 ** i - s, series, quantity: "validation accuracy (%)" },
        ]).flat(),
      ),
      { title: "Pre-training" },
    ),
  "rank-agreement": () =>
    plots.rankAgreement(
      names,
      names.map((_, i) => names.map((__, j) => (i === j ? 1 : 0.8 / (1 + Math.abs(i - j))))),
      { title: "Do criteria keep the same weights?", caption: "At keep ratio 0.17." },
    ),
  "score-scatter": () =>
    plots.scoreScatter(spread(9000), spread(9000, -2), {
      title: "Two scores of the same weights",
      x: "magnitude (weight^2)",
      y: "diagonal-exact (loss)",
    }),
  "knee-forest": () =>
    plots.kneeForest(tidy.kneeIntervals(comparisonRows()), { title: "Knees of every score on every backbone" }),
  "rank-table": () =>
    plots.rankTable(
      tidy
        .groupBy(comparisonRows(), ["model", "pretraining"])
        .flatMap(({ key, rows }) =>
          tidy
            .rankSeries(rows, { at: grid[2]! })
            .map((ranked) => ({ ...ranked, backbone: `${key.model} ${key.pretraining}` })),
        ),
      { title: "Which score is best where" },
    ),
  "width-trend": () => plots.widthTrend(kneeTrends(), { title: "A wider net can lose more" }),
};
