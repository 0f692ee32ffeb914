import type { Figure } from "../types";
import type { FigureOptions } from "./theme";
import { axis, escapeText, frame } from "./theme";

const diverging: readonly (readonly [number, string])[] = [
  [0, "#b2182b"],
  [0.25, "#f4a582"],
  [0.5, "#ffffff"],
  [0.75, "#92c5de"],
  [1, "#2166ac"],
];

/**
 * How pruned layers act together: for every pair of layers its share of the quadratic form 1/2 d^T G d, in percent. On the diagonal
 * a layer by itself; blue beside it: two layers whose damages add up; red: they make up for each other.
 * @param coupling the matrix of `curvature.lossParts`
 * @throws RangeError unless it is square with a row for every layer
 */
export function layerCoupling(
  layers: readonly string[],
  coupling: readonly (readonly number[])[],
  options: FigureOptions = {},
): Figure {
  const n = layers.length;
  if (n === 0 || coupling.length !== n || coupling.some((row) => row.length !== n))
    throw new RangeError(`layerCoupling: coupling must be ${n} x ${n}, got rows of ${coupling.map((r) => r.length)}`);
  const total = coupling.flat().reduce((a, b) => a + b, 0);
  if (!(Math.abs(total) > 0)) throw new RangeError("layerCoupling: the quadratic form is 0: the step moves nothing");
  const share = coupling.map((row) => row.map((value) => (100 * value) / total));
  const most = Math.max(...share.flat().map(Math.abs));
  const names = layers.map((name) => escapeText(name.replace(/\.weight$/, "")));
  const longest = 6.2 * Math.max(...names.map((name) => name.length));
  const own = share.reduce((sum, row, i) => sum + row[i]!, 0);
  return frame({
    data: [
      {
        type: "heatmap",
        x: names,
        y: names,
        z: share,
        zmin: -most,
        zmax: most,
        colorscale: diverging,
        text: share.map((row) => row.map((value) => (Math.abs(value) >= 0.95 ? value.toFixed(0) : ""))),
        texttemplate: "%{text}",
        textfont: { size: 10 },
        xgap: 1,
        ygap: 1,
        showscale: false,
        hovertemplate: "%{y} with %{x}: %{z:.2f} % of the quadratic form<extra></extra>",
      },
    ],
    title: options.title,
    caption: options.caption,
    note: `Cells: percent of the quadratic form, n = ${n} layers; ${own.toFixed(0)} % on the diagonal (layers by themselves), ${(100 - own).toFixed(0)} % beside it.`,
    height: (options.title ? 52 : 16) + 30 + longest + 24 * n,
    margin: { l: 40 + longest, r: 20, t: options.title ? 52 : 16, b: 30 + longest },
    layout: {
      xaxis: axis("layer", { type: "category", tickangle: -90, showgrid: false, ticks: "", showline: false }),
      yaxis: axis("layer", { type: "category", autorange: "reversed", showgrid: false, ticks: "", showline: false }),
    },
  });
}
