import { type Stream, stream, tf } from "../../backend";
import type { Tensor2D, Tree } from "../../types";
import { type DenseEigen, symmetricEigen } from "./dense";
import { assertCount, Basis, dotRows, type OnProduct, type Operator, Space } from "./operator";

/**
 * A Q = Q T + beta q e^T: orthonormal rows Q of the Krylov space, T tridiagonal. Every row is made orthogonal to all others
 * (twice), so that rounding brings no copies of an eigenvalue. Where the space ends (beta = 0) a random direction goes on.
 */
export class Lanczos {
  readonly basis: Basis = new Basis();
  private readonly diagonal: number[] = [];
  private readonly off: number[] = [];
  private next: Tensor2D;

  constructor(
    private readonly operator: Operator,
    private readonly space: Space,
    private readonly numbers: Stream,
  ) {
    this.next = tf.keep(space.direction(numbers));
  }

  step(): void {
    const q = this.next;
    const product = tf.keep(this.space.apply(this.operator, q));
    this.diagonal.push(dotRows(product, q));
    this.basis.add(q);
    const rest = tf.keep(this.basis.reject(product));
    product.dispose();
    const beta = Math.sqrt(dotRows(rest, rest));
    if (!Number.isFinite(beta)) {
      rest.dispose();
      throw new Error(`spectrum: product ${this.diagonal.length} with the matrix is not finite`);
    }
    const largest = Math.max(...this.diagonal.map(Math.abs), ...this.off);
    const ended = !(beta > 1e-14 * largest);
    this.off.push(ended ? 0 : beta);
    this.next = tf.keep(ended ? this.freshDirection() : tf.tidy(() => tf.div(rest, beta)));
    rest.dispose();
  }

  /** Eigenpairs of T: values are those of A, to within `residual(i)`; vectors are coefficients in the rows of Q. */
  ritz(): DenseEigen {
    const n = this.diagonal.length;
    const t = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      t[i * n + i] = this.diagonal[i]!;
      if (i + 1 < n) t[i * n + i + 1] = t[(i + 1) * n + i] = this.off[i]!;
    }
    return symmetricEigen(t, n);
  }

  /** what couples the rows to the rest of the space; |A v - value v| = |beta * last coefficient| */
  get beta(): number {
    return this.off[this.off.length - 1]!;
  }

  dispose(): void {
    this.basis.dispose();
    this.next.dispose();
  }

  private freshDirection(): Tensor2D {
    if (this.basis.size >= this.space.dimension) return tf.zeros([1, this.space.dimension]);
    return tf.tidy(() => {
      const rest = this.basis.reject(this.space.direction(this.numbers));
      return tf.div(rest, tf.norm(rest));
    });
  }
}

export interface EigenpairOptions {
  /** how many (default 10) */
  readonly k?: number;
  /** largest, or most negative, first */
  readonly end?: "largest" | "smallest";
  /** Lanczos steps at most, a product each (default 10 k + 20, never more than the matrix is wide) */
  readonly steps?: number;
  /** stops when the residuals of all k pairs are below tolerance x the largest |eigenvalue| (default 1e-3) */
  readonly tolerance?: number;
  readonly seed?: number;
  readonly onProduct?: OnProduct;
}

export interface Eigenpairs {
  /** falling (end "smallest": rising) */
  readonly values: readonly number[];
  /** |A v - value v| measured with one more product each: an eigenvalue of A lies within this distance of the value */
  readonly residuals: readonly number[];
  /** unit length, orthogonal to each other; the caller disposes them */
  readonly vectors: readonly Tree[];
  /** Lanczos steps taken */
  readonly steps: number;
  /** false: `steps` were not enough for the tolerance */
  readonly converged: boolean;
}

/**
 * Eigenpairs at one end of the spectrum of a symmetric matrix, by Lanczos with full reorthogonalisation from a random start.
 * Cost: a product a step, k for the residuals; memory: a vector a step.
 * @param template names and shapes of the vectors that the operator takes
 * @throws RangeError for options out of range; Error when a product is not finite or has another form
 */
export function topEigenpairs(operator: Operator, template: Tree, options: EigenpairOptions = {}): Eigenpairs {
  const space = new Space(template);
  const { k = 10, end = "largest", tolerance = 1e-3, seed = 0, onProduct } = options;
  assertCount("k", k, 1, space.dimension);
  const most = Math.min(options.steps ?? 10 * k + 20, space.dimension);
  assertCount("steps", options.steps ?? most, k);
  if (end !== "largest" && end !== "smallest")
    throw new RangeError(`end must be 'largest' or 'smallest', got '${end}'`);
  if (!(tolerance > 0)) throw new RangeError(`tolerance must be positive, got ${tolerance}`);
  const lanczos = new Lanczos(operator, space, stream(seed, "lanczos"));
  try {
    for (let steps = 1; ; steps++) {
      lanczos.step();
      onProduct?.(steps, most + k);
      const last = steps === most;
      if (!last && (steps < k || steps % 5 !== 0)) continue;
      const { values, vectors } = lanczos.ritz();
      const chosen = Array.from({ length: k }, (_, i) => (end === "largest" ? i : steps - 1 - i));
      const bound = tolerance * Math.max(Math.abs(values[0]!), Math.abs(values[steps - 1]!));
      const converged = chosen.every((i) => Math.abs(lanczos.beta * vectors[i]![steps - 1]!) <= bound);
      if (!converged && !last) continue;
      const pairs = measured(
        operator,
        space,
        lanczos,
        chosen.map((i) => ({ value: values[i]!, coefficients: vectors[i]! })),
        (i) => onProduct?.(steps + i + 1, steps + k),
      );
      return { ...pairs, steps, converged };
    }
  } finally {
    lanczos.dispose();
  }
}

/** Vectors from coefficients, and how far they are from being eigenvectors. */
function measured(
  operator: Operator,
  space: Space,
  { basis }: Lanczos,
  ritz: readonly { value: number; coefficients: Float64Array }[],
  onPair: (i: number) => void,
): Pick<Eigenpairs, "values" | "residuals" | "vectors"> {
  const weights = tf.tensor2d(
    ritz.flatMap(({ coefficients }) => Array.from(coefficients)),
    [ritz.length, basis.size],
  );
  const rows = tf.keep(basis.combine(weights));
  weights.dispose();
  const vectors: Tree[] = [];
  try {
    const residuals = ritz.map(({ value }, i) => {
      const row = tf.keep(tf.slice(rows, [i, 0], [1, space.dimension]));
      try {
        vectors.push(space.unflatten(row));
        const residual = tf.tidy(() => {
          const rest = tf.sub(space.apply(operator, row), tf.mul(row, value)) as Tensor2D;
          return Math.sqrt(dotRows(rest, rest));
        });
        onPair(i);
        return residual;
      } finally {
        row.dispose();
      }
    });
    return { values: ritz.map(({ value }) => value), residuals, vectors };
  } catch (error) {
    tf.dispose(vectors as never);
    throw error;
  } finally {
    rows.dispose();
  }
}
