import type { Figure } from "../types";
import type { FigureOptions, Trace } from "./theme";
import { axis, colourOf, escapeText, frame } from "./theme";

export interface HistogramOptions extends FigureOptions {
  /** title of the x axis, with its unit: "score (loss)" */
  readonly x: string;
  /** default 60 */
  readonly bins?: number;
  /** bins of equal width in log10; values <= 0 are counted in the caption */
  readonly log?: boolean;
}

/**
 * Distribution of many values, binned here, so that the figure holds counts and not the values. One list: bars. Several, by name:
 * outlines over the same bins, as shares of each list.
 * @throws RangeError when no value can be shown
 */
export function histogram(
  values: ArrayLike<number> | Readonly<Record<string, ArrayLike<number>>>,
  options: HistogramOptions,
): Figure {
  const { bins = 60, log = false } = options;
  if (!(Number.isInteger(bins) && bins > 0)) throw new RangeError(`histogram: bins must be 1, 2, 3 ..., got ${bins}`);
  const lists = isList(values) ? { "": values } : values;
  const scale = log ? Math.log10 : (x: number): number => x;
  const [low, high] = rangeOf(Object.values(lists), scale);
  const edges = Array.from({ length: bins + 1 }, (_, i) => low + ((high - low) * i) / bins);
  const counted = Object.entries(lists).map(([name, list]) => ({ name, ...count(list, scale, low, high, bins) }));
  const single = isList(values);
  const n = counted.reduce((sum, list) => sum + list.inside, 0);
  const outside = counted.reduce((sum, list) => sum + list.outside, 0);
  return frame({
    data: counted.map((list) =>
      single ? bars(list.counts, edges) : outline(list.name, list.counts, list.inside, edges),
    ),
    title: options.title,
    caption: options.caption,
    note: `n = ${n.toLocaleString("en-US")} values in ${bins} bins.${outside > 0 ? ` Not shown: ${outside.toLocaleString("en-US")} that are ${log ? "not positive" : "not finite"}.` : ""}`,
    height: 340,
    margin: { r: single ? 20 : 170, t: options.title ? 46 : 12, b: 50 },
    layout: {
      bargap: 0,
      showlegend: !single,
      xaxis: axis(options.x, log ? powersOfTen(low, high) : {}),
      yaxis: axis(single ? "values in a bin (count)" : "values in a bin (share, %)", { rangemode: "tozero" }),
    },
  });
}

function isList(values: ArrayLike<number> | Readonly<Record<string, ArrayLike<number>>>): values is ArrayLike<number> {
  return Array.isArray(values) || ArrayBuffer.isView(values);
}

function rangeOf(lists: readonly ArrayLike<number>[], scale: (x: number) => number): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const list of lists)
    for (let i = 0; i < list.length; i++) {
      const x = scale(list[i]!);
      if (!Number.isFinite(x)) continue;
      low = Math.min(low, x);
      high = Math.max(high, x);
    }
  if (low > high) throw new RangeError("histogram: no value can be shown");
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

function count(
  list: ArrayLike<number>,
  scale: (x: number) => number,
  low: number,
  high: number,
  bins: number,
): { counts: number[]; inside: number; outside: number } {
  const counts = new Array<number>(bins).fill(0);
  let inside = 0;
  for (let i = 0; i < list.length; i++) {
    const x = scale(list[i]!);
    if (!Number.isFinite(x)) continue;
    counts[Math.min(bins - 1, Math.floor(((x - low) / (high - low)) * bins))]!++;
    inside++;
  }
  return { counts, inside, outside: list.length - inside };
}

function bars(counts: readonly number[], edges: readonly number[]): Trace {
  const step = edges[1]! - edges[0]!;
  return {
    type: "bar",
    x: counts.map((_, i) => edges[i]! + step / 2),
    y: counts,
    width: step,
    marker: { color: colourOf("diagonal"), line: { width: 0 } },
    hovertemplate: "%{y} values<extra></extra>",
  };
}

function outline(name: string, counts: readonly number[], n: number, edges: readonly number[]): Trace {
  return {
    type: "scatter",
    mode: "lines",
    name: escapeText(name),
    x: edges,
    y: [...counts, 0].map((value) => (100 * value) / n),
    line: { color: colourOf(name), width: 1.8, shape: "hv" },
    hovertemplate: "%{y:.2f} %",
  };
}

/** Ticks of a linear axis over log10 values, at whole powers. */
function powersOfTen(low: number, high: number): { tickvals: number[]; ticktext: string[] } {
  const step = Math.max(1, Math.ceil((high - low) / 10));
  const tickvals: number[] = [];
  for (let power = Math.ceil(low / step) * step; power <= high; power += step) tickvals.push(power);
  return { tickvals, ticktext: tickvals.map((power) => `10<sup>${power < 0 ? "−" : ""}${Math.abs(power)}</sup>`) };
}
