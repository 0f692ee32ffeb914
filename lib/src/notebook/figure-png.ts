import { readFileSync } from "node:fs";
import type { Figure } from "../types";
import { encodePng } from "./encode-png";
import { installBoxes } from "./svg-boxes";
import { installCanvas } from "./svg-canvas";
import { fontFile, readFont } from "./svg-font";
import type { Window } from "./svg-window";

let window: Window | undefined;
let seed = 1;

/**
 * A PNG of a plotly figure without a browser: plotly draws SVG in jsdom, resvg rasterises it with the font Arimo (Arial's
 * widths). The same figure gives the same bytes. About 1.5 s for the first picture, 0.1 to 0.4 s for the next.
 * @param figure  with layout.width and layout.height in pixels
 * @param zoom    pixels of the PNG for one pixel of the figure
 */
export async function figureToPng(figure: Figure, zoom = 1): Promise<Buffer> {
  const { Resvg } = require("@resvg/resvg-js") as typeof import("@resvg/resvg-js");
  const picture = new Resvg(await figureToSvg(figure), {
    background: "#ffffff",
    imageRendering: 1, // keeps the cells of a heatmap sharp
    fitTo: { mode: "zoom", value: zoom },
    font: {
      loadSystemFonts: false,
      fontFiles: [fontFile("regular"), fontFile("bold")],
      defaultFontFamily: "Arimo",
      sansSerifFamily: "Arimo",
    },
  });
  const { pixels, width, height } = picture.render();
  return encodeOpaque(pixels, width, height);
}

/** RGBA pixels without transparency, as grey where no pixel has a colour, else as RGB: a half to two thirds of resvg's own PNG. */
function encodeOpaque(rgba: Uint8Array, width: number, height: number): Buffer {
  const n = width * height;
  const rgb = new Uint8Array(3 * n);
  const grey = new Uint8Array(n);
  let coloured = false;
  for (let i = 0; i < n; i++) {
    const [red, green, blue] = [rgba[4 * i]!, rgba[4 * i + 1]!, rgba[4 * i + 2]!];
    rgb.set([red, green, blue], 3 * i);
    grey[i] = red;
    coloured ||= red !== green || green !== blue;
  }
  return coloured ? encodePng(rgb, width, height, 3) : encodePng(grey, width, height);
}

async function figureToSvg(figure: Figure): Promise<string> {
  window ??= openWindow();
  seed = 1;
  // objects of the window's own realm: plotly looks at constructors
  const own = window.JSON.parse(JSON.stringify(figure)) as { layout: { width: number; height: number } };
  const { width, height } = own.layout;
  const svg = await window.Plotly.toImage(own, { format: "svg", width, height, imageDataOnly: true });
  // inside tags only, text is left alone: two decimals are steadier across machines, and resvg wants url(#id) without quotes
  return svg.replace(/<[^>]*>/g, (tag) =>
    tag.replace(/(\d+\.\d{2})\d+/g, "$1").replace(/url\('(#[^']+)'\)/g, "url($1)"),
  );
}

function openWindow(): Window {
  const { JSDOM } = require("jsdom") as { JSDOM: new (html: string, options: object) => { window: Window } };
  const opened = new JSDOM("<!doctype html><body></body>", { runScripts: "outside-only", pretendToBeVisual: true })
    .window;
  // plotly takes the ids of clip paths from here
  opened.Math.random = () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed / 2147483648;
  };
  const nothing = (): void => undefined;
  opened.matchMedia ??= () => ({
    matches: false,
    addListener: nothing,
    removeListener: nothing,
    addEventListener: nothing,
    removeEventListener: nothing,
  });
  opened.URL.createObjectURL ??= () => "blob:none";
  installCanvas(opened);
  installBoxes(opened, { regular: readFont("regular"), bold: readFont("bold") });
  opened.eval(readFileSync(require.resolve("plotly.js/dist/plotly-cartesian.min.js"), "utf8"));
  return opened;
}
