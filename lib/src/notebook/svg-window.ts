interface Plotly {
  toImage(
    figure: unknown,
    options: { format: "svg"; width: number; height: number; imageDataOnly: true },
  ): Promise<string>;
}

/** The parts of a jsdom window that plotly is given or that are read here. */
export interface Window {
  eval(code: string): unknown;
  close(): void;
  Plotly: Plotly;
  JSON: JSON;
  Math: { random: () => number };
  URL: { createObjectURL?: unknown };
  matchMedia?: unknown;
  HTMLCanvasElement: { prototype: Record<string, unknown> };
  SVGElement: { prototype: Record<string, unknown> };
}
