import { groupBy } from "../rows";
import type { Figure, LossSlice, Row, TaskKind } from "../types";
import { sequential } from "./task-matrix";
import type { FigureOptions, Part, Trace } from "./theme";
import {
  axis,
  bySeries,
  colourOf,
  escapeText,
  frame,
  ink,
  keepText,
  kinds,
  muted,
  panels,
  panelTitle,
  seriesName,
  seriesStyle,
} from "./theme";

/** Marks of a mask and of its controls, as `experiments.landscape` names them. */
const variants: readonly (readonly [variant: string, symbol: string, text: string])[] = [
  ["", "circle", ""],
  ["sameSize", "diamond-open", ", same size"],
  ["shuffled", "circle-open", ", shuffled"],
];

/**
 * What a metric is along masks (filled) and along their controls (open), for each kind of task and each score, on a logarithmic
 * axis; lines: geometric means.
 * @param rows of `experiments.landscape`, of ONE keep ratio
 * @throws RangeError when nothing is positive or several keep ratios are there
 */
export function alongMasks(
  rows: readonly Row[],
  options: FigureOptions & { readonly metric?: string; readonly x?: string } = {},
): Figure {
  const { metric = "quadraticForm", x = "½ d<sup>T</sup>G d (loss)" } = options;
  const shown = rows.filter((row) => row.metric === metric && row.keep < 1 && row.value > 0);
  const keeps = [...new Set(shown.map(({ keep }) => keep))];
  if (keeps.length !== 1)
    throw new RangeError(`alongMasks: positive rows '${metric}' must have one keep ratio, got ${keeps.length}`);
  const present = kinds.filter((kind) => shown.some(({ taskKind }) => taskKind === kind));
  const series = groupBy(shown, ["score", "rounds"]).sort((a, b) => bySeries(a.key, b.key));
  const height = (kind: TaskKind, s: number): number =>
    present.length - 1 - present.indexOf(kind) + 0.32 - (0.64 * (s + 0.5)) / series.length;
  const data: Trace[] = [];
  for (const [s, { key, rows: own }] of series.entries())
    for (const [variant, symbol, text] of variants) {
      const points = own.filter((row) => row.variant === variant);
      if (points.length === 0) continue;
      const name = `${seriesName(key.score, key.rounds)}${text}`;
      const style = { color: colourOf(key.score), symbol, size: 6 };
      data.push({
        type: "scatter",
        mode: "markers",
        name,
        x: points.map(({ value }) => value),
        y: points.map(({ taskKind }) => height(taskKind, s)),
        marker: { ...style, opacity: variant ? 0.8 : 0.6 },
        text: points.map(({ source, task }) => `${escapeText(source)} on ${escapeText(task)}`),
        hovertemplate: "%{text}: %{x:.3g}",
      });
      const means = present.map((kind) => {
        const logs = points.filter(({ taskKind }) => taskKind === kind).map(({ value }) => Math.log(value));
        return { y: height(kind, s), x: Math.exp(logs.reduce((a, b) => a + b, 0) / logs.length) };
      });
      const ticks = means.filter((mean) => Number.isFinite(mean.x));
      data.push({
        type: "scatter",
        mode: "markers",
        x: ticks.map((tick) => tick.x),
        y: ticks.map((tick) => tick.y),
        marker: { symbol: "line-ns", size: 15, line: { color: colourOf(key.score), width: 2 } },
        hoverinfo: "skip",
        showlegend: false,
      });
    }
  const longest = Math.max(...series.map(({ key }) => seriesName(key.score, key.rounds).length));
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `A point is one mask on one task, n = ${shown.length}; keep ratio ${keepText(keeps[0]!)}; filled: the mask; open circles: as many weights of every layer at random places; diamonds: at random places among weights of the same size; lines: geometric means.`,
    height: 70 + 92 * present.length,
    margin: { l: 84, r: 46 + 6.2 * Math.min(36, longest + 12), t: options.title ? 46 : 12, b: 50 },
    layout: {
      xaxis: axis(x, { type: "log", exponentformat: "power" }),
      yaxis: axis("kind of task", {
        tickvals: present.map((_, i) => present.length - 1 - i),
        ticktext: present,
        range: [-0.5, present.length - 0.5],
        showgrid: false,
      }),
    },
  });
}

/**
 * The loss on the straight way from the dense weights (0) to the pruned ones (1), a panel for each task: solid along the mask, dotted along its
 * shuffled control.
 * @param options.most upper end of the axes of losses; default: the largest loss
 * @throws RangeError without a slice
 */
export function lossSlices(
  slices: readonly LossSlice[],
  options: FigureOptions & { readonly most?: number } = {},
): Figure {
  if (slices.length === 0) throw new RangeError("lossSlices: slices must not be empty");
  const tasks = [...new Map(slices.map(({ task, taskKind }) => [task, taskKind]))];
  const columns = Math.min(3, tasks.length);
  const lines = Math.ceil(tasks.length / columns);
  const grid = panels(tasks.length, columns, { x: 0.035, y: 0.2 / lines });
  const top = options.most ?? 1.05 * Math.max(...slices.flatMap(({ losses }) => losses.filter(Number.isFinite)));
  const data: Trace[] = [];
  const annotations: Part[] = [];
  const axes: Record<string, Part> = {};
  for (const [i, [task, kind]] of tasks.entries()) {
    const panel = grid[i]!;
    const own = slices.filter((slice) => slice.task === task).sort(bySeries);
    for (const { score, rounds, variant, shares, losses } of own) {
      const name = `${seriesName(score, rounds)}${variant ? ",<br>shuffled" : ""}`;
      data.push({
        type: "scatter",
        mode: "lines",
        name,
        legendgroup: name,
        showlegend: i === 0,
        xaxis: `x${panel.id}`,
        yaxis: `y${panel.id}`,
        x: shares,
        y: losses,
        line: {
          color: seriesStyle(score, rounds).line.color,
          width: variant ? 1.4 : 2.2,
          ...(variant ? { dash: "2px,3px" } : {}),
        },
        hovertemplate: "%{x:.2f} of the way: %{y:.3g}",
      });
    }
    annotations.push(panelTitle(panel, `${escapeText(task)} (${kind})`));
    axes[`xaxis${panel.id}`] = axis(panel.bottom ? "share of the step" : "", {
      domain: panel.x,
      anchor: `y${panel.id}`,
      ...(panel.id === "" ? {} : { matches: "x" }),
      ...(panel.bottom ? {} : { title: undefined, showticklabels: false }),
    });
    axes[`yaxis${panel.id}`] = axis("loss", {
      domain: panel.y,
      anchor: `x${panel.id}`,
      range: [0, top],
      ...(panel.left ? {} : { title: undefined, matches: "y", showticklabels: false }),
    });
  }
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `0: dense weights, 1: pruned, keep ratio ${keepText(slices[0]!.keep)}; loss: squared error, mean over images and classes; n = ${slices.length} lines, each a single run.`,
    height: 70 + 220 * lines,
    margin: { t: options.title ? 66 : 30, b: 52 },
    annotations,
    layout: axes,
  });
}

/** A panel of `lossPlanes`, as `experiments.landscapePlane` gives it. */
export interface LossPlane {
  readonly task: string;
  readonly taskKind: TaskKind;
  readonly sharesOfMask: readonly number[];
  readonly sharesOfSecond: readonly number[];
  /** losses[t][s] */
  readonly losses: readonly (readonly number[])[];
  /** images behind each loss */
  readonly n: number;
}

export interface LossPlanesOptions extends FigureOptions {
  /** title of the vertical axis: "share of fine-tuning" */
  readonly y: string;
  /** points to mark: name, share of the mask, share of the second direction */
  readonly marks?: readonly (readonly [name: string, s: number, t: number])[];
  /** loss at the dark end of the colours; what is above is as dark (default 0.1, the loss of a net that answers 0 with ten classes) */
  readonly most?: number;
}

/**
 * Loss of each task on the same plane through the weights, as coloured level lines, one panel a task.
 * @throws RangeError without a plane
 */
export function lossPlanes(planes: readonly LossPlane[], options: LossPlanesOptions): Figure {
  if (planes.length === 0) throw new RangeError("lossPlanes: planes must not be empty");
  const { most = 0.1, marks = [] } = options;
  const columns = Math.min(3, planes.length);
  const lines = Math.ceil(planes.length / columns);
  const grid = panels(planes.length, columns, { x: 0.05, y: 0.22 / lines });
  const data: Trace[] = [];
  const annotations: Part[] = [];
  const axes: Record<string, Part> = {};
  for (const [i, plane] of planes.entries()) {
    const panel = grid[i]!;
    const place = { xaxis: `x${panel.id}`, yaxis: `y${panel.id}` };
    data.push({
      type: "contour",
      ...place,
      x: plane.sharesOfMask,
      y: plane.sharesOfSecond,
      z: plane.losses.map((row) => row.map((loss) => Math.min(loss, most))),
      zmin: 0,
      zmax: most,
      contours: { start: 0, end: most, size: most / 20 },
      line: { width: 0.6, color: "#ffffff" },
      colorscale: sequential,
      showscale: i === 0,
      colorbar: { title: { text: "loss", side: "top" }, thickness: 12, len: 0.8, x: 1.02, tickfont: { size: 10 } },
      hovertemplate: "%{x:.2f}, %{y:.2f}: loss %{z:.3g}<extra></extra>",
    });
    data.push({
      type: "scatter",
      mode: "markers",
      ...place,
      x: marks.map(([, s]) => s),
      y: marks.map(([, , t]) => t),
      marker: { size: 8, color: "#e69f00", line: { color: ink, width: 1 } },
      hoverinfo: "skip",
      showlegend: false,
    });
    for (const [name, x, y] of marks)
      annotations.push({
        ...{ text: escapeText(name), xref: place.xaxis, yref: place.yaxis, x, y, showarrow: false },
        ...{
          yanchor: "bottom",
          yshift: 6,
          bgcolor: "rgba(255,255,255,0.75)",
          borderpad: 1,
          font: { size: 10, color: ink },
        },
        ...(x > 0.5 ? { xanchor: "right", xshift: 6 } : { xanchor: "left", xshift: -6 }),
      });
    annotations.push(panelTitle(panel, `${escapeText(plane.task)} (${plane.taskKind})`));
    axes[`xaxis${panel.id}`] = axis(panel.bottom ? "share of the mask's step" : "", {
      domain: panel.x,
      anchor: `y${panel.id}`,
      showgrid: false,
      ...(panel.id === "" ? {} : { matches: "x" }),
      ...(panel.bottom ? {} : { title: undefined, showticklabels: false }),
    });
    axes[`yaxis${panel.id}`] = axis(options.y, {
      domain: panel.y,
      anchor: `x${panel.id}`,
      showgrid: false,
      linecolor: muted,
      ...(panel.left ? {} : { title: undefined, matches: "y", showticklabels: false }),
    });
  }
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `Loss: squared error, mean over n = ${planes[0]!.n} images and the classes; ${most} and more are one colour.`,
    height: 80 + 240 * lines,
    margin: { r: 84, t: options.title ? 66 : 30, b: 52 },
    annotations,
    layout: axes,
  });
}
