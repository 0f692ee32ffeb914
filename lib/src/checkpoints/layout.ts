import type { ParamSpec } from "../types";

type NumericArray = Uint8Array | Float32Array | Float64Array;

/** The checkpoint's shape of a parameter: conv [out, in, kh, kw], linear [out, in], everything else as in memory. */
export function torchShape(spec: ParamSpec): readonly number[] {
  return torchAxes(spec).map((axis) => spec.shape[axis]!);
}

/** Memory order (conv HWIO, linear [in, out]) -> the checkpoint's order (conv OIHW, linear [out, in]); a copy. */
export function toTorchLayout<A extends NumericArray>(spec: ParamSpec, data: A): A {
  checkLength(spec, data);
  return transpose(data, spec.shape, torchAxes(spec));
}

/** The checkpoint's order -> memory order; the inverse of `toTorchLayout`; a copy. */
export function fromTorchLayout<A extends NumericArray>(spec: ParamSpec, data: A): A {
  checkLength(spec, data);
  const axes = torchAxes(spec);
  const inverse = axes.map((_, axis) => axes.indexOf(axis));
  return transpose(data, torchShape(spec), inverse);
}

/** torchAxes[k] = the memory axis that is the checkpoint's axis k. */
function torchAxes({ role, shape }: ParamSpec): readonly number[] {
  const rank = role === "convWeight" ? 4 : role === "linearWeight" ? 2 : shape.length;
  if (shape.length !== rank) throw new RangeError(`${role} must have ${rank} axes, got [${shape}]`);
  if (role === "convWeight") return [3, 2, 0, 1];
  if (role === "linearWeight") return [1, 0];
  return shape.map((_, axis) => axis);
}

function checkLength(spec: ParamSpec, data: NumericArray): void {
  const size = spec.shape.reduce((a, b) => a * b, 1);
  if (data.length !== size)
    throw new RangeError(`data must have ${size} values for [${spec.shape}], got ${data.length}`);
}

/** result[i_0, ..., i_r] = data[j] where j has i_k on axis axes[k]. */
function transpose<A extends NumericArray>(data: A, shape: readonly number[], axes: readonly number[]): A {
  const result = data.slice() as A;
  if (axes.every((axis, k) => axis === k)) return result;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  // Padded to four axes in front, so that one loop nest serves every rank.
  const [n0, n1, n2, n3] = padded(
    axes.map((axis) => shape[axis]!),
    1,
  );
  const [s0, s1, s2, s3] = padded(
    axes.map((axis) => strides[axis]!),
    0,
  );
  let at = 0;
  for (let a = 0; a < n0; a++)
    for (let b = 0; b < n1; b++)
      for (let c = 0; c < n2; c++)
        for (let d = 0, from = a * s0 + b * s1 + c * s2; d < n3; d++, from += s3) result[at++] = data[from]!;
  return result;
}

function padded(values: readonly number[], filler: number): [number, number, number, number] {
  return [...Array<number>(4 - values.length).fill(filler), ...values] as [number, number, number, number];
}
