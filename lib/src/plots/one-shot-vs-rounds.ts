import { curve, groupBy } from "../rows";
import type { Figure, Row, TaskKind } from "../types";
import type { FigureOptions, Part, Trace } from "./theme";
import {
  axis,
  bySeries,
  colourOf,
  escapeText,
  fade,
  frame,
  keepAxis,
  level,
  panels,
  panelTitle,
  roundsText,
  seriesStyle,
  width,
} from "./theme";

export interface OneShotVsRoundsOptions extends FigureOptions {
  /** default "accuracy" (percent) */
  readonly metric?: string;
  /** default "transfer" */
  readonly taskKind?: TaskKind;
  /** percent, dotted; default 10; null for none */
  readonly chance?: number | null;
}

/**
 * The same score masked in one shot (dashed, open) and in rounds with fresh scores (solid), a panel for each score that has both;
 * filled: what the rounds gain.
 * @throws RangeError when no score has both
 */
export function oneShotVsRounds(rows: readonly Row[], options: OneShotVsRoundsOptions = {}): Figure {
  const { metric = "accuracy", taskKind = "transfer", chance = 10 } = options;
  const points = curve(rows, { metric }).filter((p) => p.taskKind === taskKind);
  const scores = groupBy(points, ["score"])
    .filter(({ rows: of }) => of.some((p) => p.rounds <= 1) && of.some((p) => p.rounds > 1))
    .sort((a, b) => bySeries({ ...a.key, rounds: 0 }, { ...b.key, rounds: 0 }));
  if (scores.length === 0)
    throw new RangeError(`oneShotVsRounds: no score has rows of kind '${taskKind}' both in one shot and in rounds`);
  const columns = scores.length === 4 ? 2 : Math.min(3, scores.length);
  const grid = panels(scores.length, columns, { x: 0.05, y: 0.13 });
  const keeps = scores.flatMap(({ rows: of }) => of.map((p) => p.keep));

  const data: Trace[] = [];
  const annotations: Part[] = [];
  const shapes: Part[] = [];
  const axes: Record<string, Part> = {};
  for (const [i, { key, rows: of }] of scores.entries()) {
    const panel = grid[i]!;
    const place = { type: "scatter", xaxis: `x${panel.id}`, yaxis: `y${panel.id}` };
    const lines = groupBy(of, ["rounds"]).sort((a, b) => a.key.rounds - b.key.rounds);
    const [first, last] = [lines[0]!.rows, lines.at(-1)!.rows];
    const shared = last.filter((p) => first.some((q) => q.keep === p.keep));
    const under = first.filter((p) => shared.some((q) => q.keep === p.keep)).reverse();
    data.push({
      ...place,
      mode: "lines",
      fill: "toself",
      fillcolor: fade(colourOf(key.score), 0.12),
      line: { width: 0 },
      x: [...shared, ...under].map((p) => p.keep),
      y: [...shared, ...under].map((p) => p.mean),
      hoverinfo: "skip",
      showlegend: false,
    });
    for (const line of lines)
      data.push({
        ...place,
        mode: "lines+markers",
        name: roundsText(line.key.rounds),
        x: line.rows.map((p) => p.keep),
        y: line.rows.map((p) => p.mean),
        error_y: {
          type: "data",
          array: line.rows.map((p) => (Number.isFinite(p.sd) ? p.sd : 0)),
          thickness: 1,
          width: 2,
        },
        hovertemplate: `${escapeText(key.score)}, ${roundsText(line.key.rounds)}: %{y:.1f} % at keep %{x:.3f}<extra></extra>`,
        showlegend: false,
        ...seriesStyle(key.score, line.key.rounds),
      });
    const names = lines.map((line) => roundsText(line.key.rounds));
    annotations.push(panelTitle(panel, escapeText(key.score)), endLabel(panel.id, names));
    if (chance !== null) {
      const line = level(panel, chance, "dot", `chance ${chance}`, "left");
      shapes.push(line.shape);
      annotations.push(line.annotation);
    }
    axes[`xaxis${panel.id}`] = {
      ...keepAxis(keeps, {
        labels: panel.bottom,
        pixels: (width - 78) * (panel.x[1] - panel.x[0]),
        domain: panel.x,
        anchor: `y${panel.id}`,
      }),
      ...(panel.id ? { matches: "x" } : {}),
    };
    axes[`yaxis${panel.id}`] = axis(`${taskKind} accuracy (%)`, {
      range: [0, 102],
      dtick: 20,
      domain: panel.y,
      anchor: `x${panel.id}`,
      ...(panel.left ? {} : { title: undefined, matches: "y", showticklabels: false }),
    });
  }
  const most = Math.max(...scores.flatMap(({ rows: of }) => of.map((p) => p.n)));
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `Mean${most > 1 ? " ± sd" : ""} over n = ${most} run(s) (source, seed, draw); filled: what rounds with fresh scores gain over one shot.`,
    height: scores.length > 3 ? 560 : 360,
    margin: { r: 16, t: options.title ? 66 : 30 },
    annotations,
    layout: { shapes, ...axes },
  });
}

function endLabel(id: string, names: readonly string[]): Part {
  return {
    text: `solid: ${names.slice(1).join(", ")}<br>dashed: ${names[0]}`,
    xref: `x${id} domain`,
    yref: `y${id} domain`,
    x: 1,
    y: 1,
    xanchor: "right",
    yanchor: "top",
    align: "right",
    showarrow: false,
    font: { size: 10 },
  };
}
