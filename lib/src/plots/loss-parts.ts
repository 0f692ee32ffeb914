import { groupBy } from "../rows";
import type { Figure, Row, TaskKind } from "../types";
import type { FigureOptions, Part, Trace } from "./theme";
import { axis, bySeries, escapeText, frame, ink, keepText, muted, panels, panelTitle, roundsText } from "./theme";

export interface LossPartsOptions extends FigureOptions {
  /** kinds of task whose changes are added up, default the source alone */
  readonly taskKinds?: readonly TaskKind[];
  /** ends of the axis in percent of the measured change, default [-100, 200] */
  readonly range?: readonly [number, number];
}

/** Parts from the ground up, as `experiments.calibration` names them. */
const parts: readonly (readonly [metric: string, name: string, colour: string])[] = [
  ["lossPartFirstOrder", "first order", "#009e73"],
  ["lossPartOwnLayer", "second order,<br>own layer", "#0072b2"],
  ["lossPartCrossLayer", "second order,<br>across layers", "#56b4e9"],
  ["lossPartResidualCurvature", "residual curvature", "#cc79a7"],
  ["lossPartRemainder", "remainder: no<br>second order sees it", "#d9d9d9"],
];

/**
 * What a measured change of the loss is made of: for every score a panel, for every keep ratio a bar of parts in percent of the
 * measured change; parts and change are summed over runs and tasks first. Above a bar: the mean measured change in thousandths.
 * @param rows of `experiments.calibration`
 * @throws RangeError when there is no row of the parts for these kinds of task
 */
export function lossParts(rows: readonly Row[], options: LossPartsOptions = {}): Figure {
  const { taskKinds = ["source"], range = [-100, 200] } = options;
  const shown = rows.filter((row) => row.keep < 1 && taskKinds.includes(row.taskKind));
  const series = groupBy(
    shown.filter((row) => row.metric === "lossChange"),
    ["score", "rounds"],
  ).sort((a, b) => bySeries(a.key, b.key));
  if (series.length === 0) throw new RangeError(`lossParts: no pruned row 'lossChange' for ${taskKinds.join(", ")}`);
  const columns = Math.min(series.length === 4 ? 2 : 3, series.length);
  const lines = Math.ceil(series.length / columns);
  const grid = panels(series.length, columns, { x: 0.035, y: 0.26 / lines });
  const data: Trace[] = [];
  const annotations: Part[] = [];
  const axes: Record<string, Part> = {};
  for (const [i, { key, rows: changes }] of series.entries()) {
    const panel = grid[i]!;
    const keeps = [...new Set(changes.map(({ keep }) => keep))].sort((a, b) => b - a);
    const x = keeps.map(keepText);
    const sumOf = (metric: string, keep: number): number =>
      shown
        .filter((r) => r.metric === metric && r.keep === keep && r.score === key.score && r.rounds === key.rounds)
        .reduce((sum, { value }) => sum + value, 0);
    for (const [metric, name, colour] of parts)
      data.push({
        type: "bar",
        xaxis: `x${panel.id}`,
        yaxis: `y${panel.id}`,
        name,
        legendgroup: metric,
        showlegend: i === 0,
        x,
        y: keeps.map((keep) => (100 * sumOf(metric, keep)) / sumOf("lossChange", keep)),
        marker: { color: colour },
        hovertemplate: `${name.replace("<br>", " ")}, keep %{x}: %{y:.0f} %<extra></extra>`,
      });
    annotations.push(panelTitle(panel, `${escapeText(key.score)}, ${roundsText(key.rounds)}`));
    for (const [k, keep] of keeps.entries()) {
      const n = changes.filter((row) => row.keep === keep).length;
      annotations.push({
        text: Number(((1000 * sumOf("lossChange", keep)) / n).toPrecision(2)).toLocaleString("en-US"),
        xref: `x${panel.id}`,
        yref: `y${panel.id}`,
        x: k,
        y: range[1],
        yanchor: "top",
        showarrow: false,
        font: { size: 10, color: muted },
      });
    }
    axes[`xaxis${panel.id}`] = axis(panel.bottom ? "keep ratio" : "", {
      type: "category",
      domain: panel.x,
      anchor: `y${panel.id}`,
      showgrid: false,
    });
    axes[`yaxis${panel.id}`] = axis("share of the measured change (%)", {
      range,
      dtick: 50,
      domain: panel.y,
      anchor: `x${panel.id}`,
      zeroline: true,
      zerolinecolor: ink,
      ...(panel.left ? {} : { title: undefined, matches: "y", showticklabels: false }),
    });
  }
  const each = groupBy(shown, ["source", "seed", "draw", "task"]).length;
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `The parts of a bar add up to 100 %; numbers above: measured change in thousandths of the loss's unit, mean over n = ${each} runs and tasks (${taskKinds.join(", ")}).`,
    height: 60 + 250 * lines,
    margin: { t: options.title ? 66 : 30, b: 56 },
    annotations,
    layout: { barmode: "relative", bargap: 0.25, ...axes },
  });
}
