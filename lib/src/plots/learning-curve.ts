import { groupBy } from "../rows";
import type { Figure } from "../types";
import type { FigureOptions, Part, Trace } from "./theme";
import { axis, escapeText, frame, panels } from "./theme";

export interface LearningPoint {
  readonly step: number;
  readonly value: number;
  /** a line each: "seed 0, validation" */
  readonly series: string;
  /** a panel each, with its unit: "accuracy (%)" */
  readonly quantity: string;
}

const lineColours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/** Colours, then the same ones dashed with another mark. */
function styleOf(place: number): { line: Part; marker: Part } {
  const color = lineColours[place % lineColours.length]!;
  return place < lineColours.length
    ? { line: { color, width: 2 }, marker: { size: 5 } }
    : { line: { color, width: 2, dash: "6px,3px" }, marker: { size: 5, symbol: "square" } };
}

/**
 * Quantities over training steps or epochs, a panel for each quantity, a line for each series. A value that is not finite is a gap.
 * @param options.x  title of the x axis, default "epoch"
 */
export function learningCurve(
  points: readonly LearningPoint[],
  options: FigureOptions & { readonly x?: string } = {},
): Figure {
  if (points.length === 0) throw new RangeError("learningCurve: points must not be empty");
  const quantities = [...new Set(points.map((p) => p.quantity))];
  const series = [...new Set(points.map((p) => p.series))];
  const columns = Math.min(2, quantities.length);
  const grid = panels(quantities.length, columns, { x: 0.12, y: 0.16 });
  const data: Trace[] = [];
  const axes: Record<string, Part> = {};
  for (const [i, quantity] of quantities.entries()) {
    const panel = grid[i]!;
    for (const { key, rows: line } of groupBy(
      points.filter((p) => p.quantity === quantity),
      ["series"],
    )) {
      const sorted = [...line].sort((a, b) => a.step - b.step);
      data.push({
        type: "scatter",
        mode: sorted.length > 40 ? "lines" : "lines+markers",
        name: escapeText(key.series),
        legendgroup: key.series,
        showlegend: !data.some((trace) => trace.legendgroup === key.series),
        xaxis: `x${panel.id}`,
        yaxis: `y${panel.id}`,
        x: sorted.map((p) => p.step),
        y: sorted.map((p) => p.value),
        ...styleOf(series.indexOf(key.series)),
      });
    }
    axes[`xaxis${panel.id}`] = axis(options.x ?? "epoch", { domain: panel.x, anchor: `y${panel.id}` });
    axes[`yaxis${panel.id}`] = axis(quantity, { domain: panel.y, anchor: `x${panel.id}` });
  }
  const longest = Math.max(...series.map((name) => name.length));
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: series.length > 1 ? `${series.length} lines, each a single run.` : "A single run.",
    height: Math.ceil(quantities.length / columns) * 270 + 50,
    margin: { r: series.length > 1 ? 46 + 6.2 * longest : 16, t: options.title ? 46 : 12, b: 50 },
    layout: { showlegend: series.length > 1, ...axes },
  });
}
