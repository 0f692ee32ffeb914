/** What the landscape seen from a mask claims, as numbers that could turn out otherwise. */
import { judge } from "../rows";
import type { Row } from "../types";
import type { Landscape } from "./landscape";
import type { Claim } from "./verdicts";

/**
 * Verdicts from `landscape` with the scores magnitude (one shot) and diagonal (in rounds) at keep ratio 0.41. A run is one model and
 * source; within a run, ratios and overlaps are averaged over the tasks that are not the source (ratios geometrically).
 * "Form" is d^T G_t d of task t along a mask's step d; "shuffled" the mask with as many weights of every layer at random places,
 * "same size" with random places among weights of the same size.
 * @throws RangeError naming the rows that are missing
 */
export function landscapeVerdicts({ rows, spectra, overlaps }: Landscape): Claim[] {
  const runs = [...new Map(rows.map((row) => [`${row.model} ${row.seed} ${row.source}`, row])).values()];
  const perRun = (f: (run: Row) => number): number[] => runs.map(f);
  const tasksOf = (run: Row): string[] => [...new Set(rows.filter((row) => sameRun(row, run)).map(({ task }) => task))];
  const others = (run: Row): string[] => tasksOf(run).filter((task) => task !== run.source);
  const at = (run: Row, task: string, score: "magnitude" | "diagonal", metric: string, variant = ""): number => {
    const found = rows.find(
      (row) =>
        sameRun(row, run) &&
        row.task === task &&
        row.score === score &&
        (score === "diagonal") === row.rounds > 1 &&
        row.variant === variant &&
        row.metric === metric &&
        Math.abs(row.keep - 0.4096) < 0.02,
    );
    if (!found)
      throw new RangeError(
        `no row '${metric}'${variant && ` (${variant})`} of ${score} at keep 0.41 on ${task}, source ${run.source}`,
      );
    return found.value;
  };
  const form = (run: Row, task: string, score: "magnitude" | "diagonal", variant = ""): number =>
    at(run, task, score, "quadraticForm", variant);
  const steeper = (run: Row, task: string, control = "shuffled"): number =>
    form(run, task, "diagonal", control) / form(run, task, "diagonal");
  const spectrum = (run: Row, task = run.source) =>
    spectra.find((s) => s.model === run.model && s.seed === run.seed && s.task === task)!;
  // mean eigenvalue that the step meets, in units of the mean of all eigenvalues
  const met = (run: Row, task: string): number => {
    const { trace, weights } = spectrum(run, task);
    return (2 * form(run, task, "diagonal")) / at(run, task, "diagonal", "stepSquared") / (trace / weights);
  };
  const pairs = (run: Row) =>
    overlaps.filter(
      ({ model, seed, a, b }) => model === run.model && seed === run.seed && (a === run.source || b === run.source),
    );
  return [
    {
      id: "flat-for-source",
      claim: "the mask's direction is flat for the source: form shuffled / mask, diagonal in rounds, keep 0.41",
      predicted: "above 10",
      ...judge(
        perRun((run) => steeper(run, run.source)),
        { above: 10 },
      ),
    },
    {
      id: "flat-for-others",
      claim: "and for tasks that the score never saw: the same on the other tasks",
      predicted: "above 5",
      ...judge(
        perRun((run) => geometricMean(others(run).map((task) => steeper(run, task)))),
        { above: 5 },
      ),
    },
    {
      id: "ordinary-for-others",
      claim:
        "for others its direction is an ordinary one: mean eigenvalue that the step meets / trace per weight, others",
      predicted: "between 0.5 and 2",
      ...judge(
        perRun((run) => geometricMean(others(run).map((task) => met(run, task)))),
        { above: 0.5, below: 2 },
      ),
    },
    {
      id: "data-helps-source",
      claim: "what the data add to the sizes helps the source: form same size / mask, source",
      predicted: "above 1.5",
      ...judge(
        perRun((run) => steeper(run, run.source, "sameSize")),
        { above: 1.5 },
      ),
    },
    {
      id: "size-carries-others",
      claim: "others live on the sizes alone: the same on the other tasks",
      predicted: "below 1.5",
      ...judge(
        perRun((run) => geometricMean(others(run).map((task) => steeper(run, task, "sameSize")))),
        { below: 1.5 },
      ),
    },
    {
      id: "favours-source",
      claim:
        "a score that sees the source favours it: form on others / on the source, diagonal over magnitude, keep 0.41",
      predicted: "above 1",
      ...judge(
        perRun((run) =>
          geometricMean(
            others(run).map(
              (task) =>
                form(run, task, "diagonal") /
                form(run, run.source, "diagonal") /
                (form(run, task, "magnitude") / form(run, run.source, "magnitude")),
            ),
          ),
        ),
        { above: 1 },
      ),
    },
    {
      id: "tops-are-related",
      claim: "the sharpest directions of two tasks are related: overlap of top spaces / chance",
      predicted: "above 100",
      ...judge(
        perRun((run) => mean(pairs(run).map(({ meanSquaredCosine, chance }) => meanSquaredCosine / chance))),
        { above: 100 },
      ),
    },
    {
      id: "tops-differ",
      claim: "but they are not the same: overlap of top spaces (1 = the same)",
      predicted: "below 0.1",
      ...judge(
        perRun((run) => mean(pairs(run).map(({ meanSquaredCosine }) => meanSquaredCosine))),
        { below: 0.1 },
      ),
    },
    {
      id: "diagonals-agree",
      claim: "which weights matter is common to tasks: correlation of log diagonals within layers",
      predicted: "above 0.7",
      ...judge(
        perRun((run) => mean(pairs(run).map(({ withinLayers }) => withinLayers))),
        { above: 0.7 },
      ),
    },
    {
      id: "avoids-top",
      claim:
        "the mask stays out of the source's sharpest directions: share of the step / of the shuffled step, diagonal",
      predicted: "below 0.2",
      ...judge(
        perRun(
          (run) =>
            at(run, run.source, "diagonal", "shareInTop") / at(run, run.source, "diagonal", "shareInTop", "shuffled"),
        ),
        { below: 0.2 },
      ),
    },
    {
      id: "top-is-little",
      claim: "a few sharp directions are not the curvature: share of the source's top values in the trace",
      predicted: "below 0.5",
      ...judge(
        perRun((run) => spectrum(run).values.reduce((sum, x) => sum + x, 0) / spectrum(run).trace),
        { below: 0.5 },
      ),
    },
  ];
}

const sameRun = (a: Row, b: Row): boolean => a.model === b.model && a.seed === b.seed && a.source === b.source;
const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
const geometricMean = (values: readonly number[]): number => Math.exp(mean(values.map(Math.log)));
