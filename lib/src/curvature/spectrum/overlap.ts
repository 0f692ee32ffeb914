import { tf } from "../../backend";
import { countTree } from "../../tree";
import type { Tensor2D, Tree } from "../../types";
import { symmetricEigen } from "./dense";

export interface SubspaceOverlap {
  /** mean of the squared cosines of the principal angles: 0 orthogonal, 1 the smaller one lies in the larger */
  readonly meanSquaredCosine: number;
  /** falling, as many as the smaller subspace has dimensions */
  readonly cosines: readonly number[];
  /** mean of meanSquaredCosine when one of the two is random: the larger number of dimensions / number of weights */
  readonly chance: number;
}

/**
 * How much two subspaces have in common, each given by orthonormal vectors (for instance `Eigenpairs.vectors`).
 * @throws RangeError when there is no vector or the vectors are not orthonormal to 1e-3
 */
export function subspaceOverlap(u: readonly Tree[], v: readonly Tree[]): SubspaceOverlap {
  assertOrthonormal("left", u);
  assertOrthonormal("right", v);
  const [small, large] = u.length <= v.length ? [u, v] : [v, u];
  const [k, l] = [small.length, large.length];
  const products = gram(small, large);
  const square = Float64Array.from({ length: k * k }, (_, at) => {
    const [i, j] = [Math.floor(at / k), at % k];
    let sum = 0;
    for (let m = 0; m < l; m++) sum += products[i * l + m]! * products[j * l + m]!;
    return sum;
  });
  const squares = symmetricEigen(square, k).values.map((x) => Math.min(1, Math.max(0, x)));
  return {
    meanSquaredCosine: squares.reduce((a, b) => a + b, 0) / k,
    cosines: squares.map(Math.sqrt),
    chance: l / countTree(small[0]!),
  };
}

export interface SubspaceShare {
  /** |projection of the step on the subspace|^2 / |step|^2 */
  readonly share: number;
  /** u_i . step */
  readonly coefficients: readonly number[];
  /** mean share of a random step: dimensions / number of weights */
  readonly chance: number;
}

/**
 * How much of a step lies in the subspace of these orthonormal vectors.
 * @throws RangeError when the vectors are not orthonormal to 1e-3 or the step is zero
 */
export function subspaceShare(u: readonly Tree[], step: Tree): SubspaceShare {
  assertOrthonormal("subspaceShare", u);
  const coefficients = Array.from(gram(u, [step]));
  const length = gram([step], [step])[0]!;
  if (!(length > 0)) throw new RangeError("subspaceShare: the step must not be zero");
  return {
    share: coefficients.reduce((sum, x) => sum + x * x, 0) / length,
    coefficients,
    chance: u.length / countTree(step),
  };
}

function assertOrthonormal(side: string, u: readonly Tree[]): void {
  if (u.length === 0) throw new RangeError(`subspace (${side}): there must be at least one vector, got none`);
  const products = gram(u, u);
  const bad = products.findIndex((x, i) => !(Math.abs(x - Number(i % (u.length + 1) === 0)) <= 1e-3));
  if (bad >= 0)
    throw new RangeError(
      `subspace (${side}): vectors must be orthonormal, the product of ${Math.floor(bad / u.length)} and ${bad % u.length} is ${products[bad]}`,
    );
}

/** u_i . v_j, [u.length, v.length] row by row. */
function gram(u: readonly Tree[], v: readonly Tree[]): Float64Array {
  const sum = new Float64Array(u.length * v.length);
  for (const [name, first] of Object.entries(u[0]!)) {
    const rows = (trees: readonly Tree[]): Tensor2D => {
      const misfit = trees.find((tree) => tree[name]?.shape.join() !== first.shape.join());
      if (misfit)
        throw new Error(
          `subspace: '${name}' must be [${first.shape}] in every vector, got ${misfit[name] ? `[${misfit[name]!.shape}]` : "nothing"}`,
        );
      return tf.concat2d(
        trees.map((tree) => tf.reshape(tree[name]!, [1, first.size]) as Tensor2D),
        0,
      );
    };
    const products = tf.tidy(() => tf.matMul(rows(u), rows(v), false, true).dataSync());
    for (let i = 0; i < sum.length; i++) sum[i]! += products[i]!;
  }
  return sum;
}
