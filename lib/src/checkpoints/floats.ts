/**
 * float16 and bfloat16 as their 16 bits, to and from float32. Widening is exact; narrowing rounds to nearest, ties to even.
 * All bits go through a DataView: in the float64 process of the tests the name Float32Array means eight bytes a value.
 */

/** Little-endian float32 bytes -> values. */
export function readFloat32(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  return values;
}

/** Values -> little-endian float32 bytes. */
export function writeFloat32(values: Float32Array | Float64Array): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) view.setFloat32(4 * i, values[i]!, true);
  return bytes;
}

/** float16 bits -> float32 values, exact, subnormals included. */
export function float16ToFloat32(half: Uint16Array): Float32Array {
  const values = new Float32Array(half.length);
  for (let i = 0; i < half.length; i++) {
    const h = half[i]!;
    const sign = (h & 0x8000) << 16;
    const exponent = (h >>> 10) & 0x1f;
    const fraction = h & 0x3ff;
    if (exponent === 0) values[i] = (sign === 0 ? 1 : -1) * fraction * 2 ** -24;
    else if (exponent === 31) values[i] = fromBits(sign | 0x7f800000 | (fraction << 13));
    else values[i] = fromBits(sign | ((exponent + 112) << 23) | (fraction << 13));
  }
  return values;
}

/** float32 values -> float16 bits. From 65520 on the result is infinite, up to 2^-25 it is zero. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const half = new Uint16Array(values.length);
  for (let i = 0; i < half.length; i++) {
    const bits = toBits(values[i]!);
    const sign = (bits >>> 16) & 0x8000;
    const magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) half[i] = sign | 0x7e00;
    else if (magnitude >= 0x477ff000) half[i] = sign | 0x7c00;
    else if (magnitude >= 0x38800000)
      half[i] = sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - (112 << 23)) >>> 13);
    else half[i] = sign | roundHalfToEven(Math.abs(fromBits(bits)) * 2 ** 24);
  }
  return half;
}

/** bfloat16 bits -> float32 values, exact. */
export function bfloat16ToFloat32(brain: Uint16Array): Float32Array {
  const values = new Float32Array(brain.length);
  for (let i = 0; i < brain.length; i++) values[i] = fromBits(brain[i]! << 16);
  return values;
}

/** float32 values -> bfloat16 bits. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const brain = new Uint16Array(values.length);
  for (let i = 0; i < brain.length; i++) {
    const bits = toBits(values[i]!);
    const notANumber = (bits & 0x7fffffff) > 0x7f800000;
    brain[i] = notANumber ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return brain;
}

const word = new DataView(new ArrayBuffer(4));

function toBits(value: number): number {
  word.setFloat32(0, value);
  return word.getUint32(0);
}

function fromBits(bits: number): number {
  word.setUint32(0, bits);
  return word.getFloat32(0);
}

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
