import type { KneeInterval } from "../rows";
import { groupBy } from "../rows";
import type { Figure, TaskKind } from "../types";
import type { FigureOptions, Panel, Part, Trace } from "./theme";
import {
  axis,
  bySeries,
  colourOf,
  escapeText,
  frame,
  keepAxis,
  muted,
  panels,
  panelTitle,
  roundsText,
  seriesStyle,
  width,
} from "./theme";

export interface KneeForestOptions extends FigureOptions {
  /** default "transfer" */
  readonly taskKind?: TaskKind;
}

/**
 * Mean knees with their intervals: a panel for each backbone, a line for each series, the same lines in every panel. Filled: rounds,
 * open: one shot. A triangle: at least one run has its knee below the smallest keep ratio, the mean lies further right (sparser). No
 * bar: one run only. "not run": the series has no rows on that backbone.
 * @param knees  `rows.kneeIntervals`
 * @throws RangeError when no knee is of the kind
 */
export function kneeForest(knees: readonly KneeInterval[], options: KneeForestOptions = {}): Figure {
  const { taskKind = "transfer" } = options;
  const shown = knees.filter((knee) => knee.taskKind === taskKind);
  if (shown.length === 0) throw new RangeError(`kneeForest: no knee of kind '${taskKind}'`);
  const series = groupBy(shown, ["score", "rounds"])
    .map(({ key }) => key)
    .sort(bySeries);
  const heightOf = (knee: { score: string; rounds: number }): number =>
    series.length - 1 - series.findIndex((s) => s.score === knee.score && s.rounds === knee.rounds);
  const backbones = groupBy(shown, ["model", "pretraining", "protocol"]);
  const columns = Math.min(3, backbones.length);
  const lines = Math.ceil(backbones.length / columns);
  const tall = 20 * series.length + 30;
  const plotHeight = lines * tall + (lines - 1) * 44;
  const grid = panels(backbones.length, columns, { x: 0.03, y: 44 / plotHeight });
  const names = series.map((s) => escapeText(`${s.score}, ${roundsText(s.rounds)}`));
  const left = 30 + 6 * Math.max(...names.map((name) => name.length));
  const [low, high] = rangeOf(shown);

  const data: Trace[] = [];
  const annotations: Part[] = [];
  const axes: Record<string, Part> = {};
  for (const [i, { key, rows: own }] of backbones.entries()) {
    const panel = grid[i]!;
    const protocol = key.protocol === "clean" ? "" : `, ${key.protocol}'`;
    annotations.push(panelTitle(panel, escapeText(`${key.model} ${key.pretraining}${protocol}`)));
    data.push(...own.map((knee) => mark(knee, heightOf(knee), panel, [low, high])));
    for (const s of series)
      if (!own.some((knee) => heightOf(knee) === heightOf(s))) annotations.push(notRun(panel, heightOf(s)));
    axes[`xaxis${panel.id}`] = {
      ...keepAxis(
        [0.9, 0.64, 0.41, 0.26, 0.17, 0.11, 0.07, 0.044, 0.028, 0.018].filter((keep) => keep >= low && keep <= high),
        { labels: panel.bottom, pixels: (width - left - 20) * (panel.x[1] - panel.x[0]), domain: panel.x },
      ),
      anchor: `y${panel.id}`,
      range: [Math.log10(high), Math.log10(low)],
      ...(panel.bottom ? { title: { text: "knee (keep ratio, log)", font: { size: 12 }, standoff: 6 } } : {}),
      ...(panel.id ? { matches: "x" } : {}),
    };
    axes[`yaxis${panel.id}`] = axis(panel.left ? "score" : "", {
      domain: panel.y,
      anchor: `x${panel.id}`,
      tickvals: series.map((_, s) => series.length - 1 - s),
      ticktext: panel.left ? names : names.map(() => ""),
      range: [-0.6, series.length - 0.4],
      ...(panel.id ? { matches: "y" } : {}),
      ...(panel.left ? {} : { title: undefined }),
    });
  }
  const runs = [...new Set(shown.map(({ n }) => n))].sort((a, b) => a - b);
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `Keep ratio at which accuracy (${taskKind}) first falls under the level; further right is better. Mean and Student-t interval over n = ${runs.join(" or ")} runs of one or more seeds, cut at the edges. Filled: rounds, open: one shot; triangle: runs whose knee is below the smallest keep ratio, the mean lies further right; no bar: no interval.`,
    height: plotHeight + (options.title ? 72 : 40) + 58,
    margin: { l: left, r: 20, t: options.title ? 72 : 40, b: 58 },
    annotations,
    layout: axes,
  });
}

/** Room for means and for intervals, but not for those of two runs that span everything. */
function rangeOf(knees: readonly KneeInterval[]): [number, number] {
  const smallest = Math.min(...knees.map((knee) => Math.min(knee.mean, Math.max(knee.low, knee.mean / 2))));
  const largest = Math.max(...knees.map((knee) => Math.max(knee.mean, Math.min(knee.high, 1))));
  return [smallest / 1.15, Math.min(1.1, largest * 1.15)];
}

function mark(knee: KneeInterval, y: number, panel: Panel, [low, high]: readonly [number, number]): Trace {
  const { line, marker } = seriesStyle(knee.score, knee.rounds) as { line: Part; marker: Part };
  const bar = Number.isFinite(knee.high);
  const bound = knee.censored > 0;
  const text = bound
    ? `at most ${knee.mean.toFixed(3)}, ${knee.censored} of ${knee.n} runs below ${knee.smallestKeep.toFixed(3)}`
    : `${knee.mean.toFixed(3)}${bar ? `, ${knee.low.toFixed(3)} to ${knee.high.toFixed(3)}` : ""}, n = ${knee.n}`;
  return {
    type: "scatter",
    mode: "markers",
    xaxis: `x${panel.id}`,
    yaxis: `y${panel.id}`,
    x: [knee.mean],
    y: [y],
    marker: bound ? { ...marker, symbol: `triangle-right${knee.rounds > 1 ? "" : "-open"}`, size: 10 } : marker,
    ...(bar
      ? {
          error_x: {
            type: "data",
            symmetric: false,
            array: [Math.min(knee.high, high) - knee.mean],
            arrayminus: [knee.mean - Math.max(knee.low, low)],
            color: line.color ?? colourOf(knee.score),
            thickness: 1.4,
            width: 3,
          },
        }
      : {}),
    hovertemplate: `${escapeText(knee.score)}, ${roundsText(knee.rounds)}: ${text}<extra></extra>`,
    showlegend: false,
  };
}

function notRun(panel: Panel, y: number): Part {
  return {
    text: "not run",
    xref: `x${panel.id} domain`,
    yref: `y${panel.id}`,
    x: 1,
    y,
    xanchor: "right",
    yanchor: "middle",
    xshift: -4,
    showarrow: false,
    font: { size: 10, color: muted },
  };
}
