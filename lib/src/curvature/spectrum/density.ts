import { stream } from "../../backend";
import type { Tree } from "../../types";
import { Lanczos } from "./lanczos";
import { assertCount, type OnProduct, type Operator, Space } from "./operator";

export interface SpectralDensityOptions {
  /** random start vectors (default 4) */
  readonly probes?: number;
  /** Lanczos steps, that is nodes, of a probe (default 30) */
  readonly steps?: number;
  readonly seed?: number;
  readonly onProduct?: OnProduct;
}

/** Where one probe sees eigenvalues, and what share of all: weights add up to 1. */
export interface SpectralNode {
  readonly value: number;
  readonly weight: number;
}

export interface SpectralDensity {
  /** order of the matrix: density x dimension counts eigenvalues */
  readonly dimension: number;
  /** nodes of each probe */
  readonly probes: readonly (readonly SpectralNode[])[];
}

/**
 * Stochastic Lanczos quadrature: for each random probe the nodes and weights of Gauss's formula for the spectral measure, exact for
 * polynomials up to degree 2 steps - 1. `gaussianDensity` draws the curve.
 * @throws RangeError for options out of range
 */
export function spectralDensity(
  operator: Operator,
  template: Tree,
  options: SpectralDensityOptions = {},
): SpectralDensity {
  const { probes = 4, steps = 30, seed = 0, onProduct } = options;
  assertCount("probes", probes, 1);
  assertCount("steps", steps, 1);
  const space = new Space(template);
  const length = Math.min(steps, space.dimension);
  return {
    dimension: space.dimension,
    probes: Array.from({ length: probes }, (_, probe) => {
      const lanczos = new Lanczos(operator, space, stream(seed, "density", probe));
      try {
        for (let i = 1; i <= length; i++) {
          lanczos.step();
          onProduct?.(probe * length + i, probes * length);
        }
        const { values, vectors } = lanczos.ritz();
        return values.map((value, i) => ({ value, weight: vectors[i]![0]! ** 2 }));
      } finally {
        lanczos.dispose();
      }
    }),
  };
}

export interface GaussianDensityOptions {
  /** where the density is wanted, in eigenvalues (positive on the logarithmic axis) */
  readonly at: readonly number[];
  /** standard deviation of the Gaussian that stands for a node: in eigenvalues, or in powers of ten on the logarithmic axis */
  readonly gaussianWidth: number;
  /** log10: density per power of ten; nodes that are not positive have no place there */
  readonly axis?: "linear" | "log10";
}

export interface DensityPoint {
  readonly at: number;
  /** share of all eigenvalues per unit of the axis, mean over the probes */
  readonly density: number;
  /** of that mean; NaN for a single probe */
  readonly standardError: number;
}

/** The density of a quadrature with every node spread to a Gaussian. */
export function gaussianDensity(quadrature: SpectralDensity, options: GaussianDensityOptions): DensityPoint[] {
  const { at, gaussianWidth, axis = "linear" } = options;
  if (!(gaussianWidth > 0)) throw new RangeError(`gaussianWidth must be positive, got ${gaussianWidth}`);
  if (axis !== "linear" && axis !== "log10") throw new RangeError(`axis must be 'linear' or 'log10', got '${axis}'`);
  const place = axis === "linear" ? (x: number): number => x : Math.log10;
  const bad = at.find((x) => !Number.isFinite(place(x)));
  if (bad !== undefined)
    throw new RangeError(`at must be finite${axis === "log10" ? " and positive" : ""}, got ${bad}`);
  const n = quadrature.probes.length;
  return at.map((x) => {
    const values = quadrature.probes.map((nodes) =>
      nodes.reduce((sum, { value, weight }) => {
        const z = (place(x) - place(value)) / gaussianWidth;
        return (
          sum + (Number.isFinite(z) ? (weight * Math.exp((-z * z) / 2)) / (gaussianWidth * Math.sqrt(2 * Math.PI)) : 0)
        );
      }, 0),
    );
    const density = values.reduce((a, b) => a + b, 0) / n;
    const variance = values.reduce((sum, v) => sum + (v - density) ** 2, 0) / (n - 1);
    return { at: x, density, standardError: Math.sqrt(variance / n) };
  });
}
