import { type Stream, stream, tf } from "../backend";
import type { Net, ParamSpec, Tensor, Tree } from "../types";

/**
 * Linear weights of nets with embeddings (ViTs), normal and cut off at 2 sd: sd .02 (timm's, made for widths of 768 and more), or
 * "glorot" sqrt(2 / (in + out)), which is four times that at width 128.
 */
export type TransformerLinear = "0.02" | "glorot";

/**
 * Parameters before any training. Convolutions: N(0, 2 / (kh kw out)) (Kaiming, fan-out); linear: U(+-1/sqrt(in)), in nets with
 * embeddings (ViTs) as `transformerLinear` says; embeddings: N(0, .02^2) cut off at 2 sd; norms: scale 1, shift 0, mean 0, variance 1;
 * biases 0.
 * The same numbers on every machine for one seed.
 * @throws RangeError for an unknown transformerLinear
 */
export function initialise(
  net: Net,
  seed: number,
  { transformerLinear = "0.02" }: { readonly transformerLinear?: TransformerLinear } = {},
): Tree {
  if (transformerLinear !== "0.02" && transformerLinear !== "glorot")
    throw new RangeError(`transformerLinear must be '0.02' or 'glorot', got '${transformerLinear}'`);
  const transformer = Object.values(net.params).some(({ role }) => role === "embedding");
  return Object.fromEntries(
    Object.entries(net.params).map(([key, spec]) => [
      key,
      initialParam(key, spec, seed, transformer ? transformerLinear : undefined),
    ]),
  );
}

function initialParam(
  key: string,
  { role, shape }: ParamSpec,
  seed: number,
  transformerLinear: TransformerLinear | undefined,
): Tensor {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const numbers = stream(seed, "initialise", key);
  if (role === "convWeight") {
    const [kh, kw, , out] = shape as readonly [number, number, number, number];
    const sd = Math.sqrt(2 / (kh * kw * out));
    for (let i = 0; i < values.length; i++) values[i] = sd * numbers.normal();
  } else if (role === "embedding" || (role === "linearWeight" && transformerLinear)) {
    const sd =
      role === "linearWeight" && transformerLinear === "glorot" ? Math.sqrt(2 / (shape[0]! + shape[1]!)) : 0.02;
    for (let i = 0; i < values.length; i++) values[i] = sd * truncatedNormal(numbers);
  } else if (role === "linearWeight") {
    const bound = 1 / Math.sqrt(shape[0]!);
    for (let i = 0; i < values.length; i++) values[i] = numbers.uniform(-bound, bound);
  } else values.fill(role === "normScale" || role === "normVariance" ? 1 : 0);
  return tf.tensor(values, shape as number[]);
}

/** N(0, 1) between -2 and 2; what falls outside is drawn again. */
function truncatedNormal(numbers: Stream): number {
  let value = numbers.normal();
  while (Math.abs(value) > 2) value = numbers.normal();
  return value;
}
