import { crc32, deflateSync } from "node:zlib";

const colourType = { 1: 0, 3: 2, 4: 6 } as const;

/**
 * A PNG file of 8-bit pixels.
 * @param pixels    row by row, width * height * channels bytes
 * @param channels  1 grey, 3 RGB, 4 RGBA
 * @throws RangeError when the number of bytes is another
 */
export function encodePng(
  pixels: Uint8Array | Uint8ClampedArray,
  width: number,
  height: number,
  channels: 1 | 3 | 4 = 1,
): Buffer {
  for (const [name, value] of Object.entries({ width, height }))
    if (!Number.isInteger(value) || value < 1 || value > 32_767)
      throw new RangeError(`encodePng: ${name} must be a whole number in [1, 32767], got ${value}`);
  if (!(channels in colourType)) throw new RangeError(`encodePng: channels must be 1, 3 or 4, got ${channels}`);
  const stride = width * channels;
  if (pixels.length !== stride * height)
    throw new RangeError(
      `encodePng: pixels must have ${height} * ${width} * ${channels} = ${stride * height} bytes, got ${pixels.length}`,
    );

  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, colourType[channels], 0, 0, 0], 8);
  const scanlines = Buffer.alloc((stride + 1) * height); // each begins with filter 0, none
  for (let y = 0; y < height; y++) scanlines.set(pixels.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1);
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(scanlines, { level: 9 })),
    chunk("IEND"),
  ]);
}

function chunk(type: string, data: Uint8Array = new Uint8Array(0)): Buffer {
  const out = Buffer.alloc(data.length + 12);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, "latin1");
  out.set(data, 8);
  out.writeUInt32BE(crc32(out.subarray(4, data.length + 8)), data.length + 8);
  return out;
}
