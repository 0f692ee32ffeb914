import type { Figure } from "../types";
import type { FigureOptions, Trace } from "./theme";
import { axis, escapeText, fade, frame, ink } from "./theme";

/** One line of `eigenvalues`. */
export interface Eigenvalues {
  /** in the legend: "hebrew (source)" */
  readonly name: string;
  /** falling */
  readonly values: readonly number[];
  /** as many; an eigenvalue lies within this distance of its value */
  readonly residuals: readonly number[];
}

const lineColours = [ink, "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c510a"];
const colourAt = (i: number): string => lineColours[i % lineColours.length]!;

/**
 * The largest eigenvalues by rank on a logarithmic axis, a line for each matrix; bars: how far an eigenvalue may be off.
 * @throws RangeError without a positive value
 */
export function eigenvalues(
  spectra: readonly Eigenvalues[],
  options: FigureOptions & { readonly y?: string } = {},
): Figure {
  const count = spectra.reduce((sum, { values }) => sum + values.filter((v) => v > 0).length, 0);
  if (count === 0) throw new RangeError("eigenvalues: there is no positive value");
  const longest = Math.max(...spectra.map(({ name }) => name.length));
  return frame({
    data: spectra.map(({ name, values, residuals }, i): Trace => {
      const shown = values
        .map((value, rank) => ({ rank: rank + 1, value, residual: residuals[rank]! }))
        .filter(({ value }) => value > 0);
      return {
        type: "scatter",
        mode: "lines+markers",
        name: escapeText(name),
        x: shown.map(({ rank }) => rank),
        y: shown.map(({ value }) => value),
        error_y: { type: "data", array: shown.map(({ residual }) => residual), thickness: 1, width: 2 },
        line: { color: colourAt(i), width: i === 0 ? 2.4 : 1.6 },
        marker: { color: colourAt(i), size: 5 },
        hovertemplate: "eigenvalue %{x}: %{y:.3g}",
      };
    }),
    title: options.title,
    caption: options.caption,
    note: `n = ${count} eigenvalues of ${spectra.length} matrices; bars: residuals (an eigenvalue lies within).`,
    height: 380,
    margin: { r: 46 + 6.2 * longest, t: options.title ? 46 : 12, b: 50 },
    layout: {
      xaxis: axis("rank", { dtick: 1 }),
      yaxis: axis(options.y ?? "eigenvalue (loss / weight<sup>2</sup>)", { type: "log", exponentformat: "power" }),
    },
  });
}

/** One curve of `spectralDensity`: what `curvature.gaussianDensity` returns on a logarithmic axis, and the order of the matrix. */
export interface DensityCurve {
  readonly name: string;
  readonly dimension: number;
  readonly points: readonly { readonly at: number; readonly density: number; readonly standardError: number }[];
}

/**
 * How many eigenvalues a matrix has around a value: density times order of the matrix, per power of ten; band: standard error.
 * @param options.gaussianWidth of the points, in powers of ten: it is part of what the figure shows
 */
export function spectralDensity(
  curves: readonly DensityCurve[],
  options: FigureOptions & { readonly gaussianWidth: number },
): Figure {
  if (curves.length === 0) throw new RangeError("spectralDensity: curves must not be empty");
  const data: Trace[] = curves.flatMap(({ name, dimension, points }, i) => {
    const shown = points.filter(({ density }) => density * dimension > 0.01);
    const x = shown.map(({ at }) => at);
    const least = 0.01;
    const edge = (sign: number): number[] =>
      shown.map(({ density, standardError }) =>
        Math.max(least, dimension * (density + sign * (Number.isFinite(standardError) ? standardError : 0))),
      );
    const band = { type: "scatter", mode: "lines", x, line: { width: 0 }, hoverinfo: "skip", showlegend: false };
    return [
      { ...band, y: edge(-1) },
      { ...band, y: edge(1), fill: "tonexty", fillcolor: fade(colourAt(i), 0.18) },
      {
        type: "scatter",
        mode: "lines",
        name: escapeText(name),
        legendrank: i + 1,
        x,
        y: shown.map(({ density }) => density * dimension),
        line: { color: colourAt(i), width: 2 },
        hovertemplate: "%{y:.3g} eigenvalues per power of ten at %{x:.3g}",
      },
    ];
  });
  const longest = Math.max(...curves.map(({ name }) => name.length));
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `Gaussian width ${options.gaussianWidth} powers of ten; n = ${curves.map(({ dimension }) => dimension.toLocaleString("en-US")).join(", ")} eigenvalues in all, the rest below the axis; band: standard error over probes.`,
    height: 380,
    margin: { l: 76, r: curves.length > 1 ? 46 + 6.2 * longest : 20, t: options.title ? 46 : 12, b: 50 },
    layout: {
      showlegend: curves.length > 1,
      xaxis: axis("eigenvalue (loss / weight<sup>2</sup>)", { type: "log", exponentformat: "power" }),
      yaxis: axis("eigenvalues per power of ten (count)", { type: "log", exponentformat: "power" }),
    },
  });
}
