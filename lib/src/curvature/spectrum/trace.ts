import { stream, tf } from "../../backend";
import type { Tensor2D, Tree } from "../../types";
import { assertCount, Basis, dotRows, type OnProduct, type Operator, Space } from "./operator";

export interface TraceOptions {
  /**
   * hutchinson: mean of z^T A z over random signs z. hutch++ (Meyer et al. 2021): the trace on a sketched range of A exactly, a third
   * of the products each for the range and for its trace, Hutchinson for the rest: better when few eigenvalues dominate.
   */
  readonly method?: "hutchinson" | "hutch++";
  /** products with the matrix in all (default 30); at least 2, for hutch++ at least 6 */
  readonly products?: number;
  readonly seed?: number;
  readonly onProduct?: OnProduct;
}

export interface TraceEstimate {
  readonly trace: number;
  /** of the mean over the random signs; 0 when nothing was left to chance */
  readonly standardError: number;
  readonly products: number;
}

/**
 * The trace of a symmetric matrix, unbiased, with its standard error.
 * @throws RangeError for options out of range
 */
export function trace(operator: Operator, template: Tree, options: TraceOptions = {}): TraceEstimate {
  const { method = "hutchinson", products = 30, seed = 0, onProduct } = options;
  if (method !== "hutchinson" && method !== "hutch++")
    throw new RangeError(`method must be 'hutchinson' or 'hutch++', got '${method}'`);
  assertCount("products", products, method === "hutchinson" ? 2 : 6);
  const space = new Space(template);
  const numbers = stream(seed, "trace", method);
  let done = 0;
  const apply = (row: Tensor2D): Tensor2D => {
    const product = space.apply(operator, row);
    onProduct?.(++done, products);
    return product;
  };
  const form = (row: Tensor2D): number => dotRows(row, apply(row));
  const third = method === "hutchinson" ? 0 : Math.min(Math.floor(products / 3), space.dimension);
  const range = new Basis();
  try {
    let exact = 0;
    for (let i = 0; i < third; i++) addToRange(range, tf.keep(tf.tidy(() => apply(space.signs(numbers)))));
    // the rows of an orthonormal basis: each is its own product with the identity
    for (let i = 0; i < range.size; i++) exact += tf.tidy(() => form(rowOf(range, i)));
    const draws = products - third - range.size;
    const values = Array.from({ length: draws }, () => tf.tidy(() => form(range.reject(space.signs(numbers)))));
    const mean = values.reduce((a, b) => a + b, 0) / draws;
    const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (draws - 1);
    return { trace: exact + mean, standardError: Math.sqrt(variance / draws), products };
  } finally {
    range.dispose();
  }
}

/** Adds what is new in the row, unless it is rounding. Takes the row. */
function addToRange(range: Basis, row: Tensor2D): void {
  const rest = tf.keep(range.reject(row));
  const [before, after] = [row, rest].map((t) => Math.sqrt(dotRows(t, t))) as [number, number];
  if (after > 1e-5 * before) range.add(tf.tidy(() => tf.div(rest, after)));
  tf.dispose([row, rest]);
}

const rowOf = (basis: Basis, i: number): Tensor2D =>
  basis.combine(
    tf.tensor2d(
      Array.from({ length: basis.size }, (_, j) => Number(i === j)),
      [1, basis.size],
    ),
  );
