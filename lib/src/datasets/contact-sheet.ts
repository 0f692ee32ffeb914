import type { ImageSet } from "../types";

/** A grey picture, 8 bits a pixel, row by row. */
export interface GreyImage {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

export interface ContactSheetOptions {
  /** images of each class; default 3 */
  readonly perClass?: number;
  /** every pixel drawn as zoom x zoom; default 1 */
  readonly zoom?: number;
  /** pixels between images, at zoom 1; default 1 */
  readonly gap?: number;
}

/**
 * The first images of every class side by side: a row a set, class after class.
 * @throws RangeError when sets differ in image size or classes, or a class has too few images
 */
export function contactSheet(
  sets: ImageSet | readonly ImageSet[],
  { perClass = 3, zoom = 1, gap = 1 }: ContactSheetOptions = {},
): GreyImage {
  const list = Array.isArray(sets) ? (sets as readonly ImageSet[]) : [sets as ImageSet];
  const first = list[0];
  if (!first) throw new RangeError("contactSheet: at least one set expected");
  for (const [option, value, least] of [
    ["perClass", perClass, 1],
    ["zoom", zoom, 1],
    ["gap", gap, 0],
  ] as const) {
    if (!(Number.isInteger(value) && value >= least))
      throw new RangeError(`contactSheet: ${option} must be an integer >= ${least}, got ${value}`);
  }
  const [, height, width, channels] = first.shape;
  for (const set of list) {
    if (String(set.shape.slice(1)) !== String(first.shape.slice(1)) || set.classes !== first.classes)
      throw new RangeError(
        `contactSheet: sets must agree in image size and classes; "${set.name}" has [${set.shape.slice(1)}] and ` +
          `${set.classes}, "${first.name}" [${first.shape.slice(1)}] and ${first.classes}`,
      );
  }
  const columns = first.classes * perClass;
  const sheetWidth = (columns * (width + gap) - gap) * zoom;
  const sheetHeight = (list.length * (height + gap) - gap) * zoom;
  const pixels = new Uint8Array(sheetWidth * sheetHeight).fill(255);
  list.forEach((set, row) => {
    const chosen = firstOfEachClass(set, perClass);
    for (let y = 0; y < height * zoom; y++) {
      const line = (row * (height + gap) * zoom + y) * sheetWidth;
      chosen.forEach((image, column) => {
        for (let x = 0; x < width * zoom; x++) {
          const source = ((image * height + Math.floor(y / zoom)) * width + Math.floor(x / zoom)) * channels;
          let sum = 0;
          for (let c = 0; c < channels; c++) sum += set.pixels[source + c] as number;
          pixels[line + column * (width + gap) * zoom + x] = Math.round(
            (sum * 255) / (channels * set.normalise.levels),
          );
        }
      });
    }
  });
  return { width: sheetWidth, height: sheetHeight, pixels };
}

/** Image numbers, class after class. */
function firstOfEachClass(set: ImageSet, perClass: number): number[] {
  const found: number[][] = Array.from({ length: set.classes }, () => []);
  set.labels.forEach((label, i) => {
    const own = found[label] as number[];
    if (own.length < perClass) own.push(i);
  });
  found.forEach((own, label) => {
    if (own.length < perClass)
      throw new RangeError(
        `contactSheet: class ${label} of "${set.name}" has ${own.length} images, perClass is ${perClass}`,
      );
  });
  return found.flat();
}
