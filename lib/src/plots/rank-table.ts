import { groupBy } from "../rows";
import type { Figure } from "../types";
import { sequential } from "./task-matrix";
import type { FigureOptions } from "./theme";
import { axis, bySeries, escapeText, frame, roundsText, width } from "./theme";

/** A series in the ranking of one backbone: `rows.rankSeries` with the backbone's name. */
export interface RankedCell {
  readonly backbone: string;
  readonly score: string;
  readonly rounds: number;
  readonly place: number;
  readonly mean: number;
  readonly n: number;
}

export interface RankTableOptions extends FigureOptions {
  /** what the means are, with unit: default "accuracy (%)" */
  readonly quantity?: string;
  /** of the means, default 1 */
  readonly decimals?: number;
}

/**
 * Place of every series (rows) on every backbone (columns), dark for the best group of equals; beside the place the mean. Cells of a
 * series that was not run are white.
 * @throws RangeError for no cell, a cell twice, or a place that is not 1, 2, 3 ...
 */
export function rankTable(cells: readonly RankedCell[], options: RankTableOptions = {}): Figure {
  const { quantity = "accuracy (%)", decimals = 1 } = options;
  if (cells.length === 0) throw new RangeError("rankTable: cells must not be empty");
  const bad = cells.find(({ place }) => !(Number.isSafeInteger(place) && place > 0));
  if (bad) throw new RangeError(`rankTable: place must be 1, 2, 3 ..., got ${bad.place} for '${bad.score}'`);
  for (const { key, rows } of groupBy(cells, ["backbone", "score", "rounds"]))
    if (rows.length > 1)
      throw new RangeError(
        `rankTable: ${rows.length} cells for ${key.score}, ${roundsText(key.rounds)}, on ${key.backbone}`,
      );
  const series = groupBy(cells, ["score", "rounds"])
    .map(({ key }) => key)
    .sort(bySeries);
  const backbones = [...new Set(cells.map(({ backbone }) => backbone))];
  const found = series.map((s) =>
    backbones.map((name) => cells.find((c) => c.backbone === name && c.score === s.score && c.rounds === s.rounds)),
  );
  const last = Math.max(2, ...cells.map(({ place }) => place));
  const names = series.map((s) => escapeText(`${s.score}, ${roundsText(s.rounds)}`));
  const left = 40 + 6.2 * Math.max(...names.map((name) => name.length));
  const runs = [...new Set(cells.map(({ n }) => n))].sort((a, b) => a - b);
  const top = options.title ? 52 : 16;
  return frame({
    data: [
      {
        type: "heatmap",
        x: backbones.map((name) => escapeText(name).replace(" ", "<br>")),
        y: names,
        // the best is the darkest
        z: found.map((row) => row.map((cell) => (cell ? last - cell.place : null))),
        zmin: -0.3,
        zmax: last - 0.6,
        colorscale: sequential,
        text: found.map((row) =>
          row.map((cell) => (cell ? `<b>${cell.place}</b>  ${cell.mean.toFixed(decimals)}` : "")),
        ),
        texttemplate: "%{text}",
        textfont: { size: 11 },
        xgap: 2,
        ygap: 1,
        showscale: false,
        hovertemplate: "%{y} on %{x}: %{text}<extra></extra>",
      },
    ],
    title: options.title,
    caption: options.caption,
    note: `Cells: place among groups of equals (bold), mean ${quantity} over n = ${runs.join(" or ")} runs. White: not run.`,
    height: top + 26 * series.length + 62,
    margin: { l: left, r: Math.max(20, width - left - 110 * backbones.length), t: top, b: 62 },
    layout: {
      xaxis: axis("backbone", { type: "category", showgrid: false, ticks: "", showline: false }),
      yaxis: axis("score", { type: "category", autorange: "reversed", showgrid: false, ticks: "", showline: false }),
    },
  });
}
