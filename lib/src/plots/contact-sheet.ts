import { encodePng } from "../notebook";
import type { Figure } from "../types";
import type { FigureOptions } from "./theme";
import { axis, escapeText, width as figureWidth, frame, muted } from "./theme";

export interface ContactSheetOptions extends FigureOptions {
  /** names of the rows of pictures, top to bottom, evenly spaced over the height */
  readonly rows?: readonly string[];
  readonly columns?: readonly string[];
}

/**
 * Grey pictures side by side, as one small PNG inside the figure.
 * @param pixels  the whole sheet row by row, 0 black to 255 white, width * height bytes; `tile` makes one
 */
export function contactSheet(
  pixels: Uint8Array | Uint8ClampedArray,
  width: number,
  height: number,
  options: ContactSheetOptions = {},
): Figure {
  const { rows = [], columns = [] } = options;
  const source = `data:image/png;base64,${encodePng(pixels, width, height).toString("base64")}`;
  const left = rows.length > 0 ? 14 + 6.6 * Math.max(...rows.map((name) => name.length)) : 12;
  const top = (options.title ? 40 : 8) + (columns.length > 0 ? 22 : 0);
  const plotWidth = Math.min(figureWidth - left - 12, 3 * width);
  const plotHeight = (plotWidth * height) / width;
  const middles = (n: number, length: number): number[] =>
    Array.from({ length: n }, (_, i) => ((i + 0.5) * length) / n);
  const plain = { showgrid: false, showline: false, ticks: "", fixedrange: true, title: undefined };
  return frame({
    data: [
      {
        type: "scatter",
        mode: "markers",
        x: [0, width],
        y: [0, height],
        marker: { opacity: 0 },
        hoverinfo: "skip",
        showlegend: false,
      },
    ],
    title: options.title,
    caption: options.caption,
    height: Math.round(plotHeight + top + 12),
    margin: { l: left, r: Math.max(12, figureWidth - left - plotWidth), t: top, b: 12 },
    layout: {
      images: [
        {
          source,
          xref: "x",
          yref: "y",
          x: 0,
          y: 0,
          sizex: width,
          sizey: height,
          xanchor: "left",
          yanchor: "top",
          sizing: "stretch",
          layer: "above",
        },
      ],
      xaxis: axis("", {
        ...plain,
        range: [0, width],
        side: "top",
        tickvals: middles(columns.length, width),
        ticktext: columns.map(escapeText),
      }),
      yaxis: axis("", {
        ...plain,
        range: [height, 0],
        tickvals: middles(rows.length, height),
        ticktext: rows.map(escapeText),
        tickfont: { size: 11, color: muted },
      }),
    },
  });
}

/**
 * Equal grey pictures on one sheet, row by row, with a white gap between them.
 * @param pictures  each height * width bytes
 */
export function tile(
  pictures: readonly (Uint8Array | Uint8ClampedArray)[],
  {
    width,
    height,
    columns,
    gap = 2,
  }: { readonly width: number; readonly height: number; readonly columns: number; readonly gap?: number },
): { readonly pixels: Uint8Array; readonly width: number; readonly height: number } {
  if (!(Number.isInteger(columns) && columns > 0))
    throw new RangeError(`tile: columns must be 1, 2, 3 ..., got ${columns}`);
  if (pictures.length === 0) throw new RangeError("tile: pictures must not be empty");
  const rows = Math.ceil(pictures.length / columns);
  const sheet = { width: columns * width + (columns - 1) * gap, height: rows * height + (rows - 1) * gap };
  const pixels = new Uint8Array(sheet.width * sheet.height).fill(255);
  for (const [i, picture] of pictures.entries()) {
    if (picture.length !== width * height)
      throw new RangeError(`tile: picture ${i} must have ${width} * ${height} bytes, got ${picture.length}`);
    const at = Math.floor(i / columns) * (height + gap) * sheet.width + (i % columns) * (width + gap);
    for (let y = 0; y < height; y++) pixels.set(picture.subarray(y * width, (y + 1) * width), at + y * sheet.width);
  }
  return { pixels, ...sheet };
}
