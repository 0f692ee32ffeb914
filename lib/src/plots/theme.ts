import { compactFigure } from "../notebook";
import type { Figure, TaskKind } from "../types";

export type Trace = Readonly<Record<string, unknown>>;
export type Part = Readonly<Record<string, unknown>>;

/** What every figure function takes. */
export interface FigureOptions {
  readonly title?: string;
  /** under the plot, after what the function says itself (n, what the band is) */
  readonly caption?: string;
}

export const ink = "#222222";
export const muted = "#666666";
export const faint = "#e6e6e6";
export const width = 760;
/** pixels between the edge and title or caption */
const edge = 12;

// Okabe and Ito's palette, told apart by colour-blind readers, in an order of its own for each family of scores
const colours: readonly (readonly [family: string, colour: string])[] = [
  ["dense", "#7a7a7a"],
  ["magnitude", "#000000"],
  ["diagonal", "#0072b2"],
  ["blockObs", "#d55e00"],
  ["blockQuadratic-signed", "#cc79a7"],
  ["blockQuadratic", "#e69f00"],
  ["pathExclusion", "#009e73"],
  ["snip", "#56b4e9"],
  ["random", "#999999"],
];
const spare: readonly string[] = ["#8c510a", "#5d3a9b", "#01665e", "#b2182b"];

/** The colour of a score by its family (the name up to an option: "diagonal-exact" is a diagonal), the same in every figure. */
export function colourOf(score: string): string {
  const family = colours.find(([name]) => score.toLowerCase().startsWith(name.toLowerCase()));
  if (family) return family[1];
  const hash = [...score].reduce((sum, character) => (31 * sum + character.codePointAt(0)!) % 65_521, 7);
  return spare[hash % spare.length]!;
}

/** Place of a score in legends: families in the order of the table above, others after them by name. */
export function orderOf(score: string): number {
  const place = colours.findIndex(([name]) => score.toLowerCase().startsWith(name.toLowerCase()));
  return place < 0 ? colours.length : place;
}

/** Scores by family, then name, then rounds. */
export function bySeries(a: { score: string; rounds: number }, b: { score: string; rounds: number }): number {
  return orderOf(a.score) - orderOf(b.score) || (a.score < b.score ? -1 : a.score > b.score ? 1 : a.rounds - b.rounds);
}

/** One shot: dashed with open markers. Rounds: solid with filled markers. */
export function seriesStyle(score: string, rounds: number): { line: Part; marker: Part } {
  const color = colourOf(score);
  const base = markers[orderOf(score) % markers.length]!;
  return rounds > 1
    ? {
        line: { color, width: 2.2 },
        marker: { color, symbol: base, size: 7, line: { color, width: base === "x-thin" ? 1.6 : 0 } },
      }
    : {
        line: { color, width: 1.6, dash: "6px,3px" },
        marker: { color, symbol: `${base}-open`, size: 7, line: { color, width: 1.6 } },
      };
}
const markers = [
  "circle",
  "circle",
  "square",
  "diamond",
  "triangle-down",
  "triangle-up",
  "cross",
  "hexagon",
  "x-thin",
  "pentagon",
];

export function roundsText(rounds: number): string {
  return rounds > 1 ? `${rounds} rounds` : "one shot";
}

/** Legend text; long names get a second line. */
export function seriesName(score: string, rounds: number): string {
  const text = `${score}, ${roundsText(rounds)}`;
  return text.length <= 22 ? escapeText(text) : `${escapeText(score)},<br>${roundsText(rounds)}`;
}

export const kindTitles: Readonly<Record<TaskKind, string>> = {
  source: "the source task itself",
  transfer: "transfer: other tasks of pre-training",
  unseen: "unseen: tasks not in pre-training",
  far: "far: another kind of image",
};
export const kinds: readonly TaskKind[] = ["source", "transfer", "unseen", "far"];

/** A transparent version of a #rrggbb colour. */
export function fade(colour: string, opacity: number): string {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${red},${green},${blue},${opacity})`;
}

/** Text that plotly shows as it stands. */
export function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

export function axis(title: string, more: Part = {}): Part {
  return {
    title: { text: title, font: { size: 13 }, standoff: 8 },
    showline: true,
    linecolor: ink,
    linewidth: 1,
    ticks: "outside",
    ticklen: 4,
    tickcolor: ink,
    tickfont: { size: 11 },
    gridcolor: faint,
    zeroline: false,
    ...more,
  };
}

/**
 * Logarithmic axis of keep ratios, dense to sparse from left to right, a tick at each ratio of the grid with the share of
 * removed weights below it.
 * @param labels  false: ticks without text and title
 * @param pixels  length of the axis; where labels would touch, every second one is left out
 */
export function keepAxis(
  keeps: readonly number[],
  { labels, pixels, ...more }: Part & { readonly labels: boolean; readonly pixels: number },
): Part {
  const grid = keepTicks(keeps);
  const [high, low] = [Math.log10(grid[0]!), Math.log10(grid.at(-1)!)];
  const room = Math.max(0.03, 0.04 * (high - low));
  const every = pixels / grid.length < 25 ? 2 : 1;
  const text = (keep: number): string =>
    `${keepText(keep)}<br><span style="color:${muted}">${removedText(keep)}</span>`;
  return axis("", {
    type: "log",
    range: [high + room, low - room],
    tickmode: "array",
    tickvals: grid,
    ticktext: grid.map((keep, i) => (labels && i % every === 0 ? text(keep) : "")),
    tickangle: 0,
    ...(labels
      ? {
          title: {
            text: `keep ratio${pixels > 400 ? ", log scale (below: share of weights removed)" : " (below: removed)"}`,
            font: { size: pixels > 400 ? 13 : 12 },
            standoff: 6,
          },
          tickfont: { size: 10 },
        }
      : { title: undefined }),
    minor: { ticks: "" },
    ...more,
  });
}

/** The ratios themselves; where they lie too close for labels, the powers of 0.64 in their range. */
function keepTicks(keeps: readonly number[]): number[] {
  const own = [...new Set(keeps)].sort((a, b) => b - a);
  if (own.length <= 11) return own;
  const grid = Array.from({ length: 20 }, (_, i) => 0.64 ** i);
  return grid.filter((keep) => keep <= own[0]! * 1.001 && keep >= own.at(-1)! * 0.999);
}

export function keepText(keep: number): string {
  return keep >= 0.0145 ? keep.toFixed(2).replace(/^1\.00$/, "1") : keep.toPrecision(2);
}

function removedText(keep: number): string {
  const percent = 100 * (1 - keep);
  return `${percent < 99 ? Math.round(percent) : percent.toFixed(1)}%`;
}

export interface Panel {
  /** "", "2", "3" ...: plotly's names of the axes are "x" + id */
  readonly id: string;
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
  readonly left: boolean;
  readonly bottom: boolean;
}

/** Panels row by row, top left first, with gaps as shares of the whole plot. */
export function panels(n: number, columns: number, gap: { readonly x: number; readonly y: number }): Panel[] {
  const rows = Math.ceil(n / columns);
  const [w, h] = [(1 - gap.x * (columns - 1)) / columns, (1 - gap.y * (rows - 1)) / rows];
  return Array.from({ length: n }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const [x, y] = [column * (w + gap.x), 1 - row * (h + gap.y)];
    return {
      id: i === 0 ? "" : String(i + 1),
      x: [x, x + w],
      y: [y - h, y],
      left: column === 0,
      bottom: i + columns >= n,
    };
  });
}

/** Heading over a panel. */
export function panelTitle(panel: Panel, text: string): Part {
  return {
    text: `<b>${text}</b>`,
    x: panel.x[0],
    y: panel.y[1],
    xref: "paper",
    yref: "paper",
    xanchor: "left",
    yanchor: "bottom",
    yshift: 3,
    showarrow: false,
    font: { size: 12 },
  };
}

/** A horizontal line across a panel, with a small label at one end. */
export function level(
  panel: Panel,
  y: number,
  dash: "dash" | "dot",
  label: string,
  end: "left" | "right" = "right",
): { shape: Part; annotation: Part } {
  const refs = { xref: `x${panel.id} domain`, yref: `y${panel.id}` };
  return {
    shape: {
      type: "line",
      ...refs,
      x0: 0,
      x1: 1,
      y0: y,
      y1: y,
      layer: "below",
      line: { color: muted, width: 1.2, dash },
    },
    annotation: {
      text: label,
      ...refs,
      x: end === "left" ? 0 : 1,
      y,
      xanchor: end,
      yanchor: dash === "dot" ? "top" : "bottom",
      xshift: end === "left" ? 3 : -3,
      showarrow: false,
      font: { size: 10, color: muted },
    },
  };
}

interface Frame extends FigureOptions {
  readonly data: readonly Trace[];
  readonly height: number;
  readonly margin?: { readonly l?: number; readonly r?: number; readonly t?: number; readonly b?: number };
  /** what the function itself has to say under the plot */
  readonly note?: string;
  readonly annotations?: readonly Part[];
  /** axes and other parts of the layout */
  readonly layout?: Part;
}

/** Title, caption, fonts and margins around the traces: the look that all figures share. */
export function frame({
  data,
  title,
  note = "",
  caption = "",
  height,
  margin = {},
  annotations = [],
  layout = {},
}: Frame): Figure {
  const room = {
    l: Math.round(margin.l ?? 62),
    r: Math.round(margin.r ?? 170),
    t: margin.t ?? 52,
    b: Math.round(margin.b ?? 62),
  };
  const lines = wrap([note, caption].filter(Boolean).join(" "), (width - 2 * edge) / 5.3);
  const bottom = room.b + (lines.length > 0 ? 14 * lines.length + 8 : 0);
  const under: Part = {
    text: lines.map(escapeText).join("<br>"),
    xref: "paper",
    yref: "paper",
    x: 0,
    y: 0,
    xanchor: "left",
    yanchor: "top",
    xshift: edge - room.l,
    yshift: -room.b,
    align: "left",
    showarrow: false,
    font: { size: 11, color: muted },
  };
  return compactFigure({
    data,
    layout: {
      width,
      height: Math.round(height) + bottom - room.b,
      margin: { ...room, b: bottom },
      paper_bgcolor: "#ffffff",
      plot_bgcolor: "#ffffff",
      font: { family: "Arimo, Arial, Helvetica, sans-serif", size: 12, color: ink },
      ...(title
        ? {
            title: {
              text: `<b>${escapeText(title)}</b>`,
              x: 0,
              xref: "container",
              xanchor: "left",
              y: 1,
              yref: "container",
              yanchor: "top",
              pad: { t: 12, l: edge },
              font: { size: 15 },
            },
          }
        : {}),
      legend: { x: 1.02, y: 1, xanchor: "left", yanchor: "top", font: { size: 11 }, tracegroupgap: 4 },
      hovermode: "closest",
      ...layout,
      annotations: [...annotations, ...(lines.length > 0 ? [under] : [])],
    },
  });
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
