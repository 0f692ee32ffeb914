import type { Figure, Line, WidthTrend } from "../types";
import type { FigureOptions, Part, Trace } from "./theme";
import { axis, bySeries, colourOf, escapeText, frame, muted, seriesName, seriesStyle } from "./theme";

/** ends of the axis of keep ratios */
const [LOWEST, HIGHEST] = [0.005, 1];

/**
 * Mean knee against the number of prunable weights, both logarithmic, a point a backbone (bar: sd over its runs; triangle: an upper
 * bound). The fitted line is solid where there are points and DASHED where it is carried on, with the prediction interval at its end:
 * an extrapolation, and labelled so.
 * @throws RangeError for no point
 */
export function widthTrend(trends: readonly WidthTrend[], options: FigureOptions = {}): Figure {
  const all = trends.flatMap(({ points }) => points);
  if (all.length === 0) throw new RangeError("widthTrend: trends must hold at least one point");
  const sorted = [...trends].sort(bySeries);
  const data: Trace[] = sorted.flatMap((trend, i) => [
    measured(trend),
    ...fitted(trend),
    ...extrapolated(trend, 1.12 ** (i - (sorted.length - 1) / 2)),
  ]);
  const target = trends.find(({ predicted }) => predicted)?.predicted;
  const weights = [...new Set(all.map((point) => point.weights))];
  const last = Math.max(...weights);
  const ends = [Math.min(...weights) / 1.7, (target?.weights ?? last) * 1.7];
  const backbones = new Set(all.map(({ model, seed }) => `${model} ${seed}`)).size;
  const labels = [
    ...new Map(all.map(({ weights: w, model }) => [w, model])),
    ...(target ? [[target.weights, target.net] as const] : []),
  ];
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `Knee: keep ratio at which the level is lost; lower is better. A point is one backbone, n = ${backbones}; bars: sd over its runs; triangles: upper bounds, not fitted. Solid: least squares in logarithms. Dashed: EXTRAPOLATION of that line, with the prediction interval for one more backbone (cut at ${LOWEST} and ${HIGHEST}); it knows the scatter around the line, not whether the line goes on.`,
    height: 400,
    margin: { t: options.title ? 52 : 20, b: 68 },
    annotations: target ? [extrapolationLabel(last, ends[1]!)] : [],
    layout: {
      xaxis: axis("prunable weights, log scale", {
        type: "log",
        range: ends.map(Math.log10),
        tickvals: labels.map(([w]) => w),
        ticktext: labels.map(
          ([w, name]) => `${sizeText(w)}<br><span style="color:${muted}">${escapeText(name)}</span>`,
        ),
        tickangle: 0,
      }),
      yaxis: axis("knee (keep ratio, log scale)", {
        type: "log",
        range: [Math.log10(LOWEST), Math.log10(HIGHEST)],
        tickvals: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1],
        ticktext: ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"],
      }),
      ...(target
        ? {
            shapes: [
              {
                type: "rect",
                xref: "x",
                yref: "paper",
                x0: last * 1.15,
                x1: ends[1],
                y0: 0,
                y1: 1,
                layer: "below",
                line: { width: 0 },
                fillcolor: "#f4f4f4",
              },
            ],
          }
        : {}),
    },
  });
}

function measured({ score, rounds, points }: WidthTrend): Trace {
  const { marker } = seriesStyle(score, rounds);
  return {
    type: "scatter",
    mode: "markers",
    name: seriesName(score, rounds),
    legendgroup: seriesName(score, rounds),
    x: points.map((point) => point.weights),
    y: points.map(({ knee }) => knee),
    error_y: {
      type: "data",
      array: points.map(({ sd }) => (Number.isFinite(sd) ? sd : 0)),
      color: colourOf(score),
      thickness: 1,
      width: 3,
    },
    marker: {
      ...marker,
      ...(points.some(({ censored }) => censored > 0)
        ? { symbol: points.map(({ censored }) => (censored > 0 ? "triangle-down" : String(marker.symbol))) }
        : {}),
    },
    text: points.map(({ model, seed, runs }) => `${escapeText(model)} seed ${seed}, ${runs} runs`),
    hovertemplate: "%{text}: %{y:.3f}<extra></extra>",
  };
}

function fitted({ score, rounds, points, line }: WidthTrend): Trace[] {
  if (!line) return [];
  const own = points.filter(({ censored }) => censored === 0).map((point) => point.weights);
  const x = [Math.min(...own), Math.max(...own)];
  return [
    lineTrace(
      score,
      rounds,
      x,
      x.map((w) => along(line, w)),
      {},
    ),
  ];
}

/** @param aside  moves the end sideways, so that intervals do not cover each other */
function extrapolated({ score, rounds, points, line, predicted }: WidthTrend, aside: number): Trace[] {
  if (!line || !predicted) return [];
  const from = Math.max(...points.filter(({ censored }) => censored === 0).map((point) => point.weights));
  const [x, y] = [predicted.weights * aside, predicted.knee];
  const { marker } = seriesStyle(score, rounds);
  return [
    lineTrace(score, rounds, [from, x], [along(line, from), y], { dash: "dash" }),
    {
      type: "scatter",
      mode: "markers",
      x: [x],
      y: [Math.min(Math.max(y, LOWEST), HIGHEST)],
      ...(Number.isFinite(predicted.high)
        ? {
            error_y: {
              type: "data",
              symmetric: false,
              array: [Math.max(0, Math.min(predicted.high, HIGHEST) - y)],
              arrayminus: [Math.max(0, y - Math.max(predicted.low, LOWEST))],
              color: colourOf(score),
              thickness: 1.4,
              width: 4,
            },
          }
        : {}),
      marker: { ...marker, symbol: "line-ew", size: 10, line: { color: colourOf(score), width: 2 } },
      hovertemplate: `EXTRAPOLATED to ${escapeText(predicted.net)}: ${y.toPrecision(3)}<extra></extra>`,
      legendgroup: seriesName(score, rounds),
      showlegend: false,
    },
  ];
}

function lineTrace(score: string, rounds: number, x: readonly number[], y: readonly number[], more: Part): Trace {
  return {
    type: "scatter",
    mode: "lines",
    x,
    y,
    line: { color: colourOf(score), width: 1.6, ...more },
    hoverinfo: "skip",
    legendgroup: seriesName(score, rounds),
    showlegend: false,
  };
}

const along = ({ intercept, slope }: Line, weights: number): number => Math.exp(intercept + slope * Math.log(weights));

function extrapolationLabel(from: number, to: number): Part {
  return {
    text: "extrapolation: not measured",
    xref: "x",
    yref: "paper",
    x: (Math.log10(from * 1.15) + Math.log10(to)) / 2,
    y: 1,
    xanchor: "center",
    yanchor: "top",
    yshift: -4,
    showarrow: false,
    font: { size: 10, color: muted },
  };
}

function sizeText(weights: number): string {
  return weights >= 1e6 ? `${(weights / 1e6).toPrecision(3)} M` : `${Math.round(weights / 1e3)} k`;
}
