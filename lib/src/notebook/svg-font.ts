import { readFileSync } from "node:fs";

export type Weight = "regular" | "bold";

/** Width of a character in em. */
export type Font = (codePoint: number) => number;

const names: Readonly<Record<Weight, string>> = { regular: "400Regular", bold: "700Bold" };

export function fontFile(weight: Weight): string {
  const name = names[weight];
  return require.resolve(`@expo-google-fonts/arimo/${name}/Arimo_${name}.ttf`);
}

/** Advance widths out of a TrueType file (tables head, hhea, hmtx and cmap format 4). Unknown characters have glyph 0's width. */
export function readFont(weight: Weight): Font {
  const file = readFileSync(fontFile(weight));
  const table = (tag: string): number => {
    for (let i = 0, at = 12; i < file.readUInt16BE(4); i++, at += 16)
      if (file.toString("latin1", at, at + 4) === tag) return file.readUInt32BE(at + 8);
    throw new Error(`${fontFile(weight)}: no table '${tag}'`);
  };
  const unitsPerEm = file.readUInt16BE(table("head") + 18);
  const metrics = file.readUInt16BE(table("hhea") + 34);
  const hmtx = table("hmtx");
  const glyphOf = readCmap(file, table("cmap"));
  return (codePoint) => file.readUInt16BE(hmtx + 4 * Math.min(glyphOf(codePoint), metrics - 1)) / unitsPerEm;
}

function readCmap(file: Buffer, cmap: number): (codePoint: number) => number {
  const offsets = Array.from(
    { length: file.readUInt16BE(cmap + 2) },
    (_, i) => cmap + file.readUInt32BE(cmap + 8 + 8 * i),
  );
  const at = offsets.find((offset) => file.readUInt16BE(offset) === 4);
  if (at === undefined) throw new Error("font: no cmap of format 4");
  const twice = file.readUInt16BE(at + 6);
  const [ends, starts, deltas, ranges] = [at + 14, at + 16 + twice, at + 16 + 2 * twice, at + 16 + 3 * twice];
  return (codePoint) => {
    for (let i = 0; i < twice; i += 2) {
      if (codePoint > file.readUInt16BE(ends + i)) continue;
      const start = file.readUInt16BE(starts + i);
      if (codePoint < start) return 0;
      const range = file.readUInt16BE(ranges + i);
      const delta = file.readUInt16BE(deltas + i);
      if (range === 0) return (codePoint + delta) & 0xffff;
      const glyph = file.readUInt16BE(ranges + i + range + 2 * (codePoint - start));
      return glyph === 0 ? 0 : (glyph + delta) & 0xffff;
    }
    return 0;
  };
}
