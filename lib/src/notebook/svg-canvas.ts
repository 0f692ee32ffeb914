import { encodePng } from "./encode-png";
import type { Window } from "./svg-window";

interface Canvas {
  width: number;
  height: number;
  context?: Context;
}

/** As much of CanvasRenderingContext2D as plotly's heatmap and image traces use. */
class Context {
  fillStyle = "rgb(0,0,0)";
  private buffer = new Uint8ClampedArray(0);
  private width = 0;
  private height = 0;

  constructor(readonly canvas: Canvas) {}

  fillRect(x: number, y: number, width: number, height: number): void {
    const pixels = this.pixels();
    const [red = 0, green = 0, blue = 0, alpha = 1] = (this.fillStyle.match(/[\d.]+/g) ?? []).map(Number);
    const colour = [red, green, blue, Math.round(255 * alpha)];
    const [left, right] = [Math.max(0, Math.round(x)), Math.min(this.width, Math.round(x + width))];
    for (let row = Math.max(0, Math.round(y)); row < Math.min(this.height, Math.round(y + height)); row++)
      for (let column = left; column < right; column++) pixels.set(colour, (row * this.width + column) * 4);
  }

  createImageData(width: number, height: number): { width: number; height: number; data: Uint8ClampedArray } {
    return { width, height, data: new Uint8ClampedArray(width * height * 4) };
  }

  putImageData(image: { data: Uint8ClampedArray }): void {
    this.pixels().set(image.data);
  }

  toDataURL(): string {
    const pixels = this.pixels();
    return `data:image/png;base64,${encodePng(pixels, this.width, this.height, 4).toString("base64")}`;
  }

  private pixels(): Uint8ClampedArray {
    if (this.width !== this.canvas.width || this.height !== this.canvas.height) {
      this.width = this.canvas.width;
      this.height = this.canvas.height;
      this.buffer = new Uint8ClampedArray(this.width * this.height * 4);
    }
    return this.buffer;
  }
}

/** Gives the window a 2D canvas; jsdom has none of its own. */
export function installCanvas(window: Window): void {
  const contextOf = (canvas: Canvas): Context => {
    canvas.context ??= new Context(canvas);
    return canvas.context;
  };
  const prototype = window.HTMLCanvasElement.prototype;
  prototype.getContext = function (this: Canvas, kind: string): Context | null {
    return kind === "2d" ? contextOf(this) : null;
  };
  prototype.toDataURL = function (this: Canvas): string {
    return contextOf(this).toDataURL();
  };
}
