import { groupBy } from "../rows";
import type { Figure, Row } from "../types";
import type { FigureOptions, Part, Trace } from "./theme";
import {
  axis,
  bySeries,
  escapeText,
  frame,
  keepText,
  muted,
  panels,
  panelTitle,
  seriesName,
  seriesStyle,
} from "./theme";

export interface PredictedVsMeasuredOptions extends FigureOptions {
  /** metrics of predictions, a panel each, with headings */
  readonly predicted: Readonly<Record<string, string>>;
  /** metric of the measured change */
  readonly measured: string;
  /** unit of both, default "squared error" */
  readonly unit?: string;
}

const same = [
  "model",
  "pretraining",
  "protocol",
  "source",
  "task",
  "taskKind",
  "score",
  "rounds",
  "keep",
  "seed",
  "draw",
  "variant",
] as const;

/**
 * Predicted change of the loss against the measured one, both on logarithmic axes of the same range; a point for each mask. On the
 * grey line prediction and measurement agree; above it the measured change is larger. Points that are not positive have no
 * place on a logarithmic axis: they are counted in the caption.
 * @throws RangeError when no prediction has a measured partner
 */
export function predictedVsMeasured(rows: readonly Row[], options: PredictedVsMeasuredOptions): Figure {
  const { predicted, measured, unit = "squared error" } = options;
  const metrics = Object.keys(predicted);
  const found = groupBy(rows, same).flatMap(({ key, rows: of }) => {
    const y = of.find((row) => row.metric === measured)?.value;
    return metrics.flatMap((metric) => {
      const x = of.find((row) => row.metric === metric)?.value;
      return x === undefined || y === undefined ? [] : [{ ...key, metric, x, y }];
    });
  });
  const points = found.filter(({ x, y }) => x > 0 && y > 0 && Number.isFinite(x) && Number.isFinite(y));
  if (points.length === 0)
    throw new RangeError(`predictedVsMeasured: no mask has a positive '${measured}' and one of ${metrics.join(", ")}`);
  const values = points.flatMap(({ x, y }) => [x, y]);
  const range = [Math.min(...values) / 1.6, Math.max(...values) * 1.6];
  const grid = panels(metrics.length, metrics.length, { x: 0.06, y: 0 });

  const data: Trace[] = [];
  const annotations: Part[] = [];
  const axes: Record<string, Part> = {};
  const named = new Set<string>();
  for (const [i, metric] of metrics.entries()) {
    const panel = grid[i]!;
    const place = { type: "scatter", xaxis: `x${panel.id}`, yaxis: `y${panel.id}` };
    data.push({
      ...place,
      mode: "lines",
      x: range,
      y: range,
      line: { color: muted, width: 1.2 },
      hoverinfo: "skip",
      showlegend: false,
    });
    const series = groupBy(
      points.filter((p) => p.metric === metric),
      ["score", "rounds"],
    ).sort((a, b) => bySeries(a.key, b.key));
    for (const { key, rows: own } of series) {
      const name = seriesName(key.score, key.rounds);
      data.push({
        ...place,
        mode: "markers",
        name,
        legendgroup: name,
        showlegend: !named.has(name),
        x: own.map((p) => p.x),
        y: own.map((p) => p.y),
        marker: seriesStyle(key.score, key.rounds).marker,
        text: own.map((p) => `keep ${keepText(p.keep)}, source ${escapeText(p.source)}`),
        hovertemplate: "%{text}<br>predicted %{x:.3g}, measured %{y:.3g}",
      });
      named.add(name);
    }
    annotations.push(panelTitle(panel, escapeText(predicted[metric]!)));
    const log = {
      type: "log",
      range: range.map(Math.log10),
      dtick: 1,
      exponentformat: "power",
      minor: { ticks: "outside", ticklen: 2 },
    };
    axes[`xaxis${panel.id}`] = axis(metrics.length > 2 ? "predicted change" : `predicted change (${unit})`, {
      ...log,
      domain: panel.x,
      anchor: `y${panel.id}`,
    });
    axes[`yaxis${panel.id}`] = axis(`measured change (${unit})`, {
      ...log,
      anchor: `x${panel.id}`,
      domain: panel.y,
      ...(panel.left ? {} : { title: undefined, matches: "y", showticklabels: false }),
    });
  }
  const left = found.length - points.length;
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `A point is one mask, n = ${points.length}; grey line: prediction and measurement agree.${left > 0 ? ` Not shown: ${left} point(s) that are not positive.` : ""}`,
    height: metrics.length > 1 ? 370 : 440,
    margin: { t: options.title ? 66 : 30, b: 56 },
    annotations,
    layout: axes,
  });
}
