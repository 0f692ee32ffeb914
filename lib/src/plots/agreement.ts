import type { Figure } from "../types";
import { sequential } from "./task-matrix";
import type { FigureOptions } from "./theme";
import { axis, colourOf, escapeText, fade, frame, width } from "./theme";

/**
 * How much criteria (or tasks ...) agree, pair by pair.
 * @param overlaps  square, overlaps[i][j] in [0, 1] between names[i] and names[j]
 * @param options.quantity  what a cell is, default "kept by both / kept by either"
 * @param options.item  title of both axes, default "criterion"
 */
export function rankAgreement(
  names: readonly string[],
  overlaps: readonly (readonly number[])[],
  options: FigureOptions & { readonly quantity?: string; readonly item?: string } = {},
): Figure {
  const { item = "criterion" } = options;
  if (overlaps.length !== names.length || overlaps.some((row) => row.length !== names.length))
    throw new RangeError(`rankAgreement: overlaps must be ${names.length} x ${names.length}, as many as names`);
  const labels = names.map(escapeText);
  const room = 40 + 6.2 * Math.max(...names.map((name) => name.length));
  const side = 36 * names.length;
  return frame({
    data: [
      {
        type: "heatmap",
        x: labels,
        y: labels,
        z: overlaps,
        zmin: 0,
        zmax: 1,
        colorscale: sequential,
        text: overlaps.map((row) => row.map((value) => value.toFixed(2))),
        texttemplate: "%{text}",
        textfont: { size: 11 },
        xgap: 1,
        ygap: 1,
        showscale: false,
        hovertemplate: "%{y} and %{x}: %{z:.3f}<extra></extra>",
      },
    ],
    title: options.title,
    caption: options.caption,
    note: `Cells: ${options.quantity ?? "kept by both / kept by either"}.`,
    height: side + room + (options.title ? 52 : 12),
    margin: { l: room, r: Math.max(20, width - room - 2 * side), t: options.title ? 52 : 12, b: room },
    layout: {
      xaxis: axis(item, { type: "category", tickangle: -90, showgrid: false, ticks: "", showline: false }),
      yaxis: axis(item, {
        type: "category",
        autorange: "reversed",
        showgrid: false,
        ticks: "",
        showline: false,
      }),
    },
  });
}

export interface ScoreScatterOptions extends FigureOptions {
  /** titles of the axes with their units: "magnitude (weight^2)" */
  readonly x: string;
  readonly y: string;
  /** points drawn; longer lists are thinned evenly. Default 2000 */
  readonly most?: number;
}

/**
 * Two scores of the same weights against each other on logarithmic axes. Values that are not positive have no place there:
 * they are counted in the caption.
 * @param x  one number a weight; `y` as many
 */
export function scoreScatter(x: ArrayLike<number>, y: ArrayLike<number>, options: ScoreScatterOptions): Figure {
  const { most = 2000 } = options;
  if (x.length !== y.length)
    throw new RangeError(`scoreScatter: x and y must be equally long, got ${x.length} and ${y.length}`);
  if (!(Number.isInteger(most) && most > 0))
    throw new RangeError(`scoreScatter: most must be 1, 2, 3 ..., got ${most}`);
  const step = Math.max(1, x.length / most);
  const points: [number, number][] = [];
  let left = 0;
  for (let i = 0; i < Math.min(most, x.length); i++) {
    const at = Math.floor(i * step);
    const pair: [number, number] = [x[at]!, y[at]!];
    if (pair.every((value) => value > 0 && Number.isFinite(value))) points.push(pair);
    else left++;
  }
  if (points.length === 0) throw new RangeError("scoreScatter: no pair of positive values");
  const log = { type: "log", exponentformat: "power", dtick: 2 };
  return frame({
    data: [
      {
        type: "scatter",
        mode: "markers",
        x: points.map((p) => p[0]),
        y: points.map((p) => p[1]),
        marker: { size: 4, color: fade(colourOf("diagonal"), 0.35) },
        hoverinfo: "skip",
        showlegend: false,
      },
    ],
    title: options.title,
    caption: options.caption,
    note: `n = ${points.length.toLocaleString("en-US")} of ${x.length.toLocaleString("en-US")} weights, evenly taken.${left > 0 ? ` Not shown: ${left} that are not positive.` : ""}`,
    height: 440,
    margin: { r: 20, l: 80, t: options.title ? 46 : 12, b: 54 },
    layout: { xaxis: axis(options.x, log), yaxis: axis(options.y, log) },
  });
}
