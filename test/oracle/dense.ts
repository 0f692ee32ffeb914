/** Dense symmetric matrices of known spectrum, and their products with trees. */
import { backend, type curvature, type Tree } from "secateur";

const { stream, tf } = backend;

export type Rows = readonly Float64Array[];

export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** n orthonormal vectors of length n by Gram-Schmidt, in double precision whatever the backend. */
export function randomRotation(n: number, seed: number): Rows {
  const numbers = stream(seed, "rotation");
  const rows: Float64Array[] = [];
  for (let i = 0; i < n; i++) {
    let row = Float64Array.from({ length: n }, () => numbers.normal());
    for (let pass = 0; pass < 2; pass++)
      for (const other of rows) {
        const part = dot(row, other);
        row = row.map((x, j) => x - part * other[j]!);
      }
    const length = Math.sqrt(dot(row, row));
    rows.push(row.map((x) => x / length));
  }
  return rows;
}

/** sum_i values[i] q_i q_i^T */
export const withSpectrum = (values: readonly number[], q: Rows): Rows =>
  q[0]!.length === 0
    ? []
    : Array.from({ length: q[0]!.length }, (_, a) =>
        Float64Array.from({ length: q[0]!.length }, (__, b) =>
          values.reduce((sum, value, i) => sum + value * q[i]![a]! * q[i]![b]!, 0),
        ),
      );

/** Values of a tree in one list. */
export const listOf = (tree: Tree): number[] => Object.values(tree).flatMap((t) => Array.from(t.dataSync()));

/** A list in the form of the template. */
export function treeOf(values: ArrayLike<number>, template: Tree): Tree {
  let from = 0;
  return Object.fromEntries(
    Object.entries(template).map(([name, t]) => {
      const part = Array.from({ length: t.size }, (_, i) => values[from + i]!);
      from += t.size;
      return [name, tf.tensor(part, t.shape)];
    }),
  );
}

/** v -> A v */
export const denseOperator =
  (matrix: Rows): curvature.Operator =>
  (v) => {
    const list = listOf(v);
    return treeOf(
      matrix.map((row) => dot(row, list)),
      v,
    );
  };
