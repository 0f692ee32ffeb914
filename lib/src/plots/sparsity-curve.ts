import type { CurvePoint } from "../rows";
import { curve, denseAccuracy, groupBy, stats } from "../rows";
import type { Figure, Row, TaskKind } from "../types";
import type { FigureOptions, Panel, Part, Trace } from "./theme";
import {
  axis,
  bySeries,
  colourOf,
  fade,
  frame,
  keepAxis,
  kinds,
  kindTitles,
  level,
  panels,
  panelTitle,
  seriesName,
  seriesStyle,
} from "./theme";

export interface SparsityCurveOptions extends FigureOptions {
  /** which metric, default "accuracy" (percent) */
  readonly metric?: string;
  /** one panel each; default: every kind that has rows */
  readonly taskKinds?: readonly TaskKind[];
  /** share of the dense accuracy of each task instead of the accuracy itself, with a line at 90 % */
  readonly relative?: boolean;
  /** percent, dotted; default 10 (ten classes); null for none */
  readonly chance?: number | null;
}

/**
 * Accuracy against keep ratio, a line for each score and number of rounds, a panel for each kind of task. Line: mean over runs (a
 * run: one source, seed and draw; first averaged over its tasks); band: ± 1 sd over runs. Dashed: dense accuracy.
 * @param rows  of one model, pre-training, protocol and variant; dense rows have keep = 1
 * @throws RangeError when rows mix those, or none has the metric and kind
 */
export function sparsityCurve(rows: readonly Row[], options: SparsityCurveOptions = {}): Figure {
  const { metric = "accuracy", relative = false, chance = 10 } = options;
  const factor = relative ? 100 : 1;
  const all = curve(rows, { metric, relative }).map((p) => ({ ...p, mean: p.mean * factor, sd: p.sd * factor }));
  const shown = kindsOf(all, options.taskKinds);
  const points = all.filter((p) => shown.includes(p.taskKind));
  const grid = panels(shown.length, shown.length > 1 ? 2 : 1, { x: 0.07, y: 0.13 });

  const data: Trace[] = [];
  const annotations: Part[] = [];
  const shapes: Part[] = [];
  const axes: Record<string, Part> = {};
  const named = new Set<string>();
  for (const [i, kind] of shown.entries()) {
    const panel = grid[i]!;
    const own = points.filter((p) => p.taskKind === kind);
    data.push(...lines(own, panel, named));
    const levels = [
      ...(relative ? [level(panel, 90, "dash", "90 %")] : denseLevel(rows, kind, metric, panel)),
      ...(relative || chance === null ? [] : [level(panel, chance, "dot", `chance ${chance}`, "left")]),
    ];
    shapes.push(...levels.map((l) => l.shape));
    annotations.push(...levels.map((l) => l.annotation));
    if (shown.length > 1) annotations.push(panelTitle(panel, kindTitles[kind]));
    Object.assign(axes, axesOf(panel, points, relative));
  }
  const runs = points.map((p) => p.n);
  const [least, most] = [Math.min(...runs), Math.max(...runs)];
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `Line: mean over n = ${least === most ? most : `${least} to ${most}`} run(s) (source, seed, draw), each averaged over its tasks;${most > 1 ? " band: ± 1 sd over runs;" : ""} dashed line: ${relative ? "90 % of dense" : "dense"}${relative || chance === null ? "" : "; dotted: chance"}.`,
    height: shown.length > 2 ? 600 : shown.length > 1 ? 380 : 430,
    margin: { t: options.title ? (shown.length > 1 ? 62 : 52) : shown.length > 1 ? 30 : 16 },
    annotations,
    layout: { shapes, ...axes },
  });
}

function kindsOf(points: readonly CurvePoint[], wanted: readonly TaskKind[] | undefined): TaskKind[] {
  const present = kinds.filter((kind) => points.some((p) => p.taskKind === kind));
  const missing = wanted?.find((kind) => !present.includes(kind));
  if (missing) throw new RangeError(`sparsityCurve: no row of kind '${missing}', only ${present.join(", ")}`);
  return wanted ? [...wanted] : present;
}

function lines(points: readonly CurvePoint[], panel: Panel, named: Set<string>): Trace[] {
  const series = groupBy(points, ["score", "rounds"]).sort((a, b) => bySeries(a.key, b.key));
  const bands = series.flatMap(({ key, rows: line }) => band(line, key.score, key.rounds, panel));
  const curves = series.map(({ key: { score, rounds }, rows: line }) => {
    const name = seriesName(score, rounds);
    const showlegend = !named.has(name);
    named.add(name);
    return {
      type: "scatter",
      mode: "lines+markers",
      name,
      legendgroup: name,
      showlegend,
      xaxis: `x${panel.id}`,
      yaxis: `y${panel.id}`,
      x: line.map((p) => p.keep),
      y: line.map((p) => p.mean),
      customdata: line.map((p) => [Number.isFinite(p.sd) ? p.sd : 0, p.n]),
      hovertemplate: "keep %{x:.3f}: %{y:.1f} ± %{customdata[0]:.1f} (n = %{customdata[1]})",
      ...seriesStyle(score, rounds),
    };
  });
  return [...bands, ...curves];
}

/** Mean ± sd as a filled outline, there and back; nothing for a single run. */
function band(line: readonly CurvePoint[], score: string, rounds: number, panel: Panel): Trace[] {
  const known = line.filter((p) => Number.isFinite(p.sd));
  if (known.length < 2) return [];
  const back = [...known].reverse();
  return [
    {
      type: "scatter",
      mode: "lines",
      fill: "toself",
      fillcolor: fade(colourOf(score), 0.13),
      line: { width: 0 },
      hoverinfo: "skip",
      showlegend: false,
      legendgroup: seriesName(score, rounds),
      xaxis: `x${panel.id}`,
      yaxis: `y${panel.id}`,
      x: [...known, ...back].map((p) => p.keep),
      y: [...known.map((p) => p.mean + p.sd), ...back.map((p) => p.mean - p.sd)],
    },
  ];
}

/** Mean dense accuracy over the tasks and runs that the panel shows. */
function denseLevel(rows: readonly Row[], kind: TaskKind, metric: string, panel: Panel): ReturnType<typeof level>[] {
  if (!rows.some((row) => row.keep === 1 && row.metric === metric)) return [];
  const dense = denseAccuracy(rows, metric);
  const tasks = rows.filter((row) => row.taskKind === kind && row.metric === metric && row.keep < 1);
  const mean = stats(groupBy(tasks, ["source", "task", "seed"]).map((group) => dense(group.rows[0]!))).mean;
  return [level(panel, mean, "dash", `dense ${mean.toFixed(1)}`)];
}

function axesOf(panel: Panel, points: readonly CurvePoint[], relative: boolean): Record<string, Part> {
  const title = relative ? "share of dense accuracy (%)" : "accuracy (%)";
  const x = keepAxis(
    points.map((p) => p.keep),
    { labels: panel.bottom, pixels: 520 * (panel.x[1] - panel.x[0]), anchor: `y${panel.id}`, domain: panel.x },
  );
  const y = axis(title, { anchor: `x${panel.id}`, domain: panel.y, range: [0, relative ? 108 : 102], dtick: 20 });
  return {
    [`xaxis${panel.id}`]: {
      ...x,
      ...(panel.id ? { matches: "x" } : {}),
    },
    [`yaxis${panel.id}`]: panel.left ? y : { ...y, title: undefined, matches: "y", showticklabels: false },
  };
}
