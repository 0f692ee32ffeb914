import { groupBy, stats } from "../rows";
import type { Figure, Row, TaskKind } from "../types";
import type { FigureOptions, Part, Trace } from "./theme";
import { axis, bySeries, colourOf, escapeText, frame, keepText, level, panels, panelTitle, seriesName } from "./theme";

export interface AblationBarsOptions extends FigureOptions {
  /** default "accuracy" (percent) */
  readonly metric?: string;
  /** default "transfer" */
  readonly taskKind?: TaskKind;
  /** percent, dotted; default 10; null for none */
  readonly chance?: number | null;
}

/**
 * What a mask is worth as it is and without one of its parts (column `variant`), bars for each score, a panel for each keep ratio; dense
 * accuracy (variant "") dashed. Mean and sd over runs: a backbone, a source and a draw.
 * @param rows  of `experiments.ablations`, the dense ones among them
 * @throws RangeError without a pruned or a dense row of this kind
 */
export function ablationBars(rows: readonly Row[], options: AblationBarsOptions = {}): Figure {
  const { metric = "accuracy", taskKind = "transfer", chance = 10 } = options;
  const shown = rows.filter((row) => row.metric === metric && row.taskKind === taskKind);
  const pruned = shown.filter(({ keep }) => keep < 1);
  if (pruned.length === 0)
    throw new RangeError(`ablationBars: no pruned row of kind '${taskKind}' has the metric '${metric}'`);
  const dense = shown.filter(({ keep, variant }) => keep === 1 && variant === "");
  if (dense.length === 0)
    throw new RangeError(`ablationBars: no dense row of kind '${taskKind}' has the metric '${metric}'`);
  const reference = stats(dense.map(({ value }) => value)).mean;
  const keeps = [...new Set(pruned.map(({ keep }) => keep))].sort((a, b) => b - a);
  const variants = [...new Set(pruned.map(({ variant }) => variant))];
  const series = groupBy(pruned, ["score", "rounds"]).sort((a, b) => bySeries(a.key, b.key));
  const grid = panels(keeps.length, 1, { x: 0, y: 0.16 });
  const data: Trace[] = [];
  const annotations: Part[] = [];
  const shapes: Part[] = [];
  const axes: Record<string, Part> = {};
  let most = 0;
  for (const [i, keep] of keeps.entries()) {
    const panel = grid[i]!;
    for (const { key, rows: own } of series) {
      const bars = variants.map((variant) => {
        const of = own.filter((row) => row.keep === keep && row.variant === variant);
        const runs = groupBy(of, ["model", "pretraining", "seed", "source", "draw"]);
        return runs.length === 0 ? undefined : stats(runs.map((run) => stats(run.rows.map(({ value }) => value)).mean));
      });
      most = Math.max(most, ...bars.map((bar) => bar?.n ?? 0));
      data.push({
        type: "bar",
        name: seriesName(key.score, key.rounds),
        legendgroup: `${key.score} ${key.rounds}`,
        showlegend: i === 0,
        xaxis: `x${panel.id}`,
        yaxis: `y${panel.id}`,
        x: variants.map((variant) => escapeText(variant || "as is")),
        y: bars.map((bar) => bar?.mean ?? null),
        error_y: {
          type: "data",
          array: bars.map((bar) => (bar && Number.isFinite(bar.sd) ? bar.sd : 0)),
          thickness: 1,
          width: 2,
          color: "#888888",
        },
        marker: { color: colourOf(key.score) },
        hovertemplate: "%{x}: %{y:.1f} %",
      });
    }
    const lines = [
      level(panel, reference, "dash", `dense ${reference.toFixed(1)}`),
      ...(chance === null ? [] : [level(panel, chance, "dot", "")]),
    ];
    shapes.push(...lines.map(({ shape }) => shape));
    annotations.push(panelTitle(panel, `keep ratio ${keepText(keep)}`), ...lines.map(({ annotation }) => annotation));
    axes[`xaxis${panel.id}`] = axis("mask", {
      type: "category",
      domain: panel.x,
      anchor: `y${panel.id}`,
      showgrid: false,
      ticks: "",
      ...(panel.bottom ? {} : { title: undefined, matches: `x${grid.at(-1)!.id}` }),
    });
    axes[`yaxis${panel.id}`] = axis(metric === "accuracy" ? `${taskKind} accuracy (%)` : metric, {
      range: [0, 102],
      dtick: 20,
      domain: panel.y,
      anchor: `x${panel.id}`,
    });
  }
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `Mean${most > 1 ? " ± sd" : ""} over n = ${most} run(s) (backbone, source, draw) a bar${chance === null ? "" : `; dotted: chance (${chance} %)`}.`,
    height: 90 + 190 * keeps.length,
    margin: { t: options.title ? 66 : 30, b: 46 },
    annotations,
    layout: { barmode: "group", bargap: 0.25, shapes, ...axes },
  });
}
