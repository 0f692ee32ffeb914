import type { Figure } from "../types";
import type { FigureOptions } from "./theme";
import { axis, colourOf, escapeText, frame, muted } from "./theme";

/** As much of a pair of masks as the figure needs (`experiments.forensics`, `experiments.forensicsAcross`). */
export interface OverlapOfMasks {
  /** heading of the line: what the two masks differ in */
  readonly differsIn: string;
  /** kept in both / kept in either */
  readonly intersectionOverUnion: number;
  /** the same for masks of these layers' densities that know nothing of each other */
  readonly byChance: number;
}

/**
 * How much masks agree: a line for each thing that pairs differ in, a dot for each pair, a bar where chance alone would put it.
 * @param overlaps  of one keep ratio; lines in order of first appearance
 * @throws RangeError for an empty list or a number outside [0, 1]
 */
export function maskOverlap(overlaps: readonly OverlapOfMasks[], options: FigureOptions = {}): Figure {
  if (overlaps.length === 0) throw new RangeError("maskOverlap: overlaps must not be empty");
  for (const { differsIn, intersectionOverUnion, byChance } of overlaps)
    for (const value of [intersectionOverUnion, byChance])
      if (!(value >= 0 && value <= 1))
        throw new RangeError(`maskOverlap: overlaps must be in [0, 1], got ${value} for '${differsIn}'`);
  const lines = [...new Set(overlaps.map(({ differsIn }) => differsIn))];
  const counts = lines.map((line) => overlaps.filter(({ differsIn }) => differsIn === line).length);
  const room = 46 + 6.2 * Math.max(...lines.map((line) => line.length + 5));
  const dots = (name: string, x: readonly number[], marker: object): object => ({
    type: "scatter",
    mode: "markers",
    name,
    x,
    y: overlaps.map(({ differsIn }, i) => lines.indexOf(differsIn) + 0.5 * (((i * 0.618) % 1) - 0.5)),
    marker,
    hovertemplate: `${name}: %{x:.3f}<extra></extra>`,
  });
  return frame({
    data: [
      dots(
        "by chance",
        overlaps.map(({ byChance }) => byChance),
        { symbol: "line-ns-open", size: 9, color: muted, line: { color: muted, width: 1.4 } },
      ) as never,
      dots(
        "measured",
        overlaps.map(({ intersectionOverUnion }) => intersectionOverUnion),
        { symbol: "circle", size: 6, color: colourOf("diagonal"), opacity: 0.7 },
      ) as never,
    ],
    title: options.title,
    caption: options.caption,
    note: `n = ${overlaps.length} pairs of masks, each a dot; the bar at its height: expected of masks with the same layer densities that know nothing of each other.`,
    height: 110 + 52 * lines.length,
    margin: { l: room, r: 120, t: options.title ? 46 : 12, b: 46 },
    layout: {
      xaxis: axis("kept by both / kept by either", { range: [0, 1.02], dtick: 0.2 }),
      yaxis: axis("masks differ in", {
        range: [lines.length - 0.5, -0.5],
        tickmode: "array",
        tickvals: lines.map((_, i) => i),
        ticktext: lines.map((line, i) => `${escapeText(line)} (${counts[i]})`),
        ticks: "",
      }),
    },
  });
}
