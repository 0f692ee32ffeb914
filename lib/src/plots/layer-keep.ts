import type { Figure } from "../types";
import { sequential } from "./task-matrix";
import type { FigureOptions } from "./theme";
import { axis, colourOf, escapeText, frame, ink, keepText, muted, width } from "./theme";

/** As much of a mask's report as the figure needs. */
export interface KeptLayers {
  readonly layers: readonly { readonly name: string; readonly keep: number; readonly total: number }[];
  readonly keep: number;
}

/**
 * How much of every layer a mask keeps: bars for one mask, a heatmap for several with the layers below each other in order
 * of execution.
 * @param reports  one report, or reports by name of the score
 * @throws RangeError when reports are of different layers
 */
export function layerKeep(
  reports: KeptLayers | Readonly<Record<string, KeptLayers>>,
  options: FigureOptions = {},
): Figure {
  return isReport(reports) ? bars(reports, options) : heatmap(reports, options);
}

function isReport(reports: KeptLayers | Readonly<Record<string, KeptLayers>>): reports is KeptLayers {
  return Array.isArray((reports as KeptLayers).layers);
}

function bars({ layers, keep }: KeptLayers, options: FigureOptions): Figure {
  const names = layers.map((layer) => escapeText(layer.name));
  const total = layers.reduce((sum, layer) => sum + layer.total, 0);
  return frame({
    data: [
      {
        type: "bar",
        orientation: "h",
        y: names,
        x: layers.map((layer) => 100 * layer.keep),
        text: layers.map((layer) => percent(layer.keep)),
        textposition: "outside",
        textfont: { size: 10 },
        cliponaxis: false,
        marker: { color: colourOf("diagonal") },
        customdata: layers.map((layer) => layer.total),
        hovertemplate: "%{y}: %{x:.2f} % of %{customdata} weights<extra></extra>",
      },
    ],
    title: options.title,
    caption: options.caption,
    note: `Dashed: ${percent(keep)} % of all ${total.toLocaleString("en-US")} weights are kept.`,
    height: 110 + 18 * layers.length,
    margin: { l: labelRoom(names), r: 30, t: options.title ? 46 : 12, b: 46 },
    layout: {
      showlegend: false,
      bargap: 0.25,
      xaxis: axis("weights kept (%)", { range: [0, 108], dtick: 20 }),
      yaxis: axis("layer", { type: "category", autorange: "reversed", showgrid: false, ticks: "" }),
      shapes: [
        {
          type: "line",
          xref: "x",
          yref: "paper",
          x0: 100 * keep,
          x1: 100 * keep,
          y0: 0,
          y1: 1,
          line: { color: ink, width: 1.2, dash: "dash" },
        },
      ],
    },
  });
}

function heatmap(reports: Readonly<Record<string, KeptLayers>>, options: FigureOptions): Figure {
  const scores = Object.keys(reports);
  const first = reports[scores[0] ?? ""]?.layers;
  if (!first) throw new RangeError("layerKeep: reports must not be empty");
  const names = first.map((layer) => layer.name);
  for (const [score, { layers }] of Object.entries(reports))
    if (layers.length !== names.length || layers.some((layer, i) => layer.name !== names[i]))
      throw new RangeError(`layerKeep: '${score}' reports other layers than '${scores[0]}'`);
  const z = names.map((_, i) => scores.map((score) => 100 * reports[score]!.layers[i]!.keep));
  const longest = Math.max(...scores.map((score) => score.length));
  return frame({
    data: [
      {
        type: "heatmap",
        x: scores.map(escapeText),
        y: names.map(escapeText),
        z,
        zmin: 0,
        zmax: 100,
        colorscale: sequential,
        text: z.map((row) => row.map((value) => percent(value / 100))),
        texttemplate: "%{text}",
        textfont: { size: 10 },
        xgap: 1,
        ygap: 1,
        showscale: false,
        hovertemplate: "%{x}, %{y}: %{z:.2f} % kept<extra></extra>",
      },
    ],
    title: options.title,
    caption: options.caption,
    note: `Cells: weights kept (%). All layers together: ${scores.map((score) => `${score} ${keepText(reports[score]!.keep)}`).join(", ")}.`,
    height: 120 + 18 * names.length + (longest > 14 ? 3.4 * longest : 0),
    margin: {
      l: labelRoom(names),
      r: Math.max(20, width - labelRoom(names) - 130 * scores.length),
      t: options.title ? 46 : 12,
      b: longest > 14 ? 50 + 3.4 * longest : 56,
    },
    layout: {
      xaxis: axis("score", {
        type: "category",
        showgrid: false,
        ticks: "",
        showline: false,
        tickangle: longest > 14 ? -30 : 0,
      }),
      yaxis: axis("layer", {
        type: "category",
        autorange: "reversed",
        showgrid: false,
        ticks: "",
        showline: false,
        tickfont: { size: 10, color: muted },
      }),
    },
  });
}

function percent(share: number): string {
  const value = 100 * share;
  return value >= 9.95 || value === 0 ? value.toFixed(0) : value.toPrecision(2);
}

function labelRoom(names: readonly string[]): number {
  return 36 + 6 * Math.max(...names.map((name) => name.length));
}
