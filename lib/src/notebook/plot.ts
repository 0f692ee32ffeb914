import type { Figure } from "../types";
import { figureToPng } from "./figure-png";
import { show } from "./show";

/** Trace types of plotly's cartesian bundle, which can be drawn without a browser. */
const drawable = [
  "bar",
  "box",
  "contour",
  "heatmap",
  "histogram",
  "histogram2d",
  "histogram2dcontour",
  "image",
  "pie",
  "scatter",
  "violin",
];

/**
 * Shows a figure: live where the front end knows plotly, as a PNG elsewhere (GitHub, a page without scripts), as a line of text
 * in a terminal. Await it.
 * @throws RangeError for a trace type that needs WebGL or another bundle of plotly
 */
export async function plot(figure: Figure): Promise<void> {
  const compact = compactFigure(figure);
  const png = await figureToPng(compact);
  const { width, height, title } = compact.layout as { width: number; height: number; title?: { text?: string } };
  show(
    {
      "application/vnd.plotly.v1+json": compact,
      "image/png": png.toString("base64"),
      "text/plain": `[figure: ${String(title?.text ?? "plotly")
        .replace(/<[^>]*>/g, " ")
        .replace(/\s+/g, " ")
        .trim()}]`,
    },
    { "image/png": { width, height } },
  );
}

/**
 * The figure as plain JSON with a size and with numbers of 6 significant digits: small notebooks, and no difference from the
 * last bits of float arithmetic. Values that are not finite become null, a gap.
 */
export function compactFigure(figure: Figure): Figure {
  if (!Array.isArray(figure?.data)) throw new TypeError("plot: figure must be { data: [...], layout: {...} }");
  for (const { type = "scatter" } of figure.data)
    if (!drawable.includes(String(type)))
      throw new RangeError(`plot: trace type must be one of ${drawable.join(", ")}, got '${type}'`);
  const plain = { data: figure.data, layout: { width: 700, height: 420, ...figure.layout } };
  return JSON.parse(
    JSON.stringify(plain, (_key, value) => (typeof value === "number" ? round(value) : plainArray(value))),
  ) as Figure;
}

function round(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}

function plainArray(value: unknown): unknown {
  return ArrayBuffer.isView(value) && !(value instanceof DataView)
    ? Array.from(value as unknown as ArrayLike<number>)
    : value;
}
