/** The part of fontkit 2 that the glyph builder uses; the package ships no types. */
declare module "fontkit" {
  export interface Path {
    readonly commands: readonly {
      readonly command: "moveTo" | "lineTo" | "quadraticCurveTo" | "bezierCurveTo" | "closePath";
      readonly args: readonly number[];
    }[];
    readonly bbox: { readonly minX: number; readonly minY: number; readonly maxX: number; readonly maxY: number };
  }
  export interface Font {
    readonly directory: { readonly tables: Readonly<Record<string, unknown>> };
    getName(key: string): string | Uint8Array | null;
    hasGlyphForCodePoint(codePoint: number): boolean;
    glyphForCodePoint(codePoint: number): { readonly path: Path };
  }
  export interface Collection {
    readonly fonts: readonly Font[];
  }
  export function create(file: Buffer): Font | Collection;
}
