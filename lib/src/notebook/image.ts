import { encodePng } from "./encode-png";
import { show } from "./show";

/**
 * Shows grey pixels as a picture.
 * @param pixels  row by row, 0 black to 255 white
 * @param zoom    every pixel becomes zoom x zoom pixels
 */
export function image(
  pixels: Uint8Array | Uint8ClampedArray,
  width: number,
  height: number,
  { zoom = 1, alt = `picture, ${width} x ${height}` }: { readonly zoom?: number; readonly alt?: string } = {},
): void {
  if (!Number.isInteger(zoom) || zoom < 1) throw new RangeError(`image: zoom must be 1, 2, 3 ..., got ${zoom}`);
  if (pixels.length !== width * height)
    throw new RangeError(`image: pixels must have ${width} * ${height} bytes, got ${pixels.length}`);
  const large = new Uint8Array(width * zoom * height * zoom);
  for (let y = 0; y < height * zoom; y++)
    for (let x = 0; x < width * zoom; x++)
      large[y * width * zoom + x] = pixels[Math.floor(y / zoom) * width + Math.floor(x / zoom)]!;
  const png = encodePng(large, width * zoom, height * zoom).toString("base64");
  show({ "image/png": png, "text/plain": `[${alt}]` });
}
