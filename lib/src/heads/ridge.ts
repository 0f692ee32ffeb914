import { addToDiagonal, choleskyInPlace, rowGram, solveCholesky } from "./solve";

export interface RidgeOptions {
  /** C; labels are 0 to C - 1, and every class has at least one image */
  readonly classes: number;
  /** penalty on all entries of weight and bias; 1e-6 is added to it; default 1 */
  readonly alpha?: number;
}

/** A linear head on the host: outputs = features . weight + bias. */
export interface RidgeFit {
  /** [features, classes], row-major */
  readonly weight: Float64Array;
  /** [classes] */
  readonly bias: Float64Array;
  readonly features: number;
  readonly classes: number;
}

/** Keeps the system solvable when alpha is 0. */
const epsilon = 1e-6;

/**
 * Ridge regression to one-hot targets with balanced classes, in closed form and float64:
 *   Theta = (X^T W X + (alpha + 1e-6) I)^-1 X^T W Y
 * X [n, d + 1] is the features and a column of ones, so the bias is penalised too; Y [n, C] is one-hot;
 * W = diag(w), w_i = n / (C n_j) for an image of class j with n_j images.
 * With n <= d the n x n system is solved instead: Theta = R^T (R R^T + (alpha + 1e-6) I)^-1 sqrt(W) Y with R = sqrt(W) X.
 * @param features [n, d], row-major
 * @throws RangeError naming the first label out of range, a class without images, a feature that is not finite (image, feature)
 */
export function fitRidge(
  features: Float32Array | Float64Array,
  labels: ArrayLike<number>,
  { classes, alpha = 1 }: RidgeOptions,
): RidgeFit {
  const [n, d] = checkSizes(features, labels, classes, alpha);
  const roots = rootWeights(labels, classes);
  checkFinite(features, d);
  const theta =
    n <= d
      ? solveDual(weightedRows(features, roots, d), labels, roots, d + 1, classes, alpha)
      : solvePrimal(weightedColumns(features, roots, d), labels, roots, d + 1, classes, alpha);
  return { weight: theta.slice(0, d * classes), bias: theta.slice(d * classes), features: d, classes };
}

/** features . weight + bias, [n, classes] in float64. */
export function applyRidge(fit: RidgeFit, features: Float32Array | Float64Array): Float64Array {
  const { weight, bias, features: d, classes } = fit;
  if (features.length % d !== 0)
    throw new RangeError(`features must have ${d} values an image, got ${features.length} values`);
  const outputs = new Float64Array((features.length / d) * classes);
  for (let i = 0; i < outputs.length / classes; i++) {
    for (let c = 0; c < classes; c++) outputs[i * classes + c] = bias[c]!;
    for (let k = 0; k < d; k++) {
      const x = features[i * d + k]!;
      for (let c = 0; c < classes; c++) outputs[i * classes + c]! += x * weight[k * classes + c]!;
    }
  }
  return outputs;
}

/** R = (sqrt(W) X)^T, [p, n]: (R R^T + penalty) Theta = R sqrt(W) Y. */
function solvePrimal(
  r: Float64Array,
  labels: ArrayLike<number>,
  roots: Float64Array,
  p: number,
  classes: number,
  alpha: number,
): Float64Array {
  const n = labels.length;
  const right = new Float64Array(p * classes);
  for (let k = 0; k < p; k++) for (let i = 0; i < n; i++) right[k * classes + labels[i]!]! += r[k * n + i]! * roots[i]!;
  const system = rowGram(r, p, n);
  addToDiagonal(system, p, alpha + epsilon);
  choleskyInPlace(system, p);
  return solveCholesky(system, p, right, classes);
}

/** R = sqrt(W) X, [n, p]: Theta = R^T Z with (R R^T + penalty) Z = sqrt(W) Y. */
function solveDual(
  r: Float64Array,
  labels: ArrayLike<number>,
  roots: Float64Array,
  p: number,
  classes: number,
  alpha: number,
): Float64Array {
  const n = labels.length;
  const right = new Float64Array(n * classes);
  for (let i = 0; i < n; i++) right[i * classes + labels[i]!] = roots[i]!;
  const system = rowGram(r, n, p);
  addToDiagonal(system, n, alpha + epsilon);
  choleskyInPlace(system, n);
  const z = solveCholesky(system, n, right, classes);
  const theta = new Float64Array(p * classes);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < p; k++) {
      const x = r[i * p + k]!;
      for (let c = 0; c < classes; c++) theta[k * classes + c]! += x * z[i * classes + c]!;
    }
  return theta;
}

function weightedRows(features: Float32Array | Float64Array, roots: Float64Array, d: number): Float64Array {
  const rows = new Float64Array(roots.length * (d + 1));
  for (let i = 0; i < roots.length; i++) {
    for (let k = 0; k < d; k++) rows[i * (d + 1) + k] = features[i * d + k]! * roots[i]!;
    rows[i * (d + 1) + d] = roots[i]!;
  }
  return rows;
}

function weightedColumns(features: Float32Array | Float64Array, roots: Float64Array, d: number): Float64Array {
  const n = roots.length;
  const columns = new Float64Array((d + 1) * n);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < d; k++) columns[k * n + i] = features[i * d + k]! * roots[i]!;
    columns[d * n + i] = roots[i]!;
  }
  return columns;
}

/** sqrt(w_i), w_i = n / (C n_j) */
function rootWeights(labels: ArrayLike<number>, classes: number): Float64Array {
  const counts = new Float64Array(classes);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (!(Number.isInteger(label) && label >= 0 && label < classes))
      throw new RangeError(`labels must be integers from 0 to ${classes - 1}, got ${label} at ${i}`);
    counts[label]!++;
  }
  const empty = counts.indexOf(0);
  if (empty >= 0) throw new RangeError(`every class must have an image, class ${empty} of ${classes} has none`);
  return Float64Array.from(labels, (label) => Math.sqrt(labels.length / (classes * counts[label]!)));
}

function checkSizes(
  features: Float32Array | Float64Array,
  labels: ArrayLike<number>,
  classes: number,
  alpha: number,
): [number, number] {
  if (!(features instanceof Float32Array || features instanceof Float64Array))
    throw new TypeError("features must be a Float32Array or Float64Array on the host");
  if (!(Number.isSafeInteger(classes) && classes >= 1))
    throw new RangeError(`classes must be a whole number >= 1, got ${classes}`);
  if (!(alpha >= 0 && Number.isFinite(alpha))) throw new RangeError(`alpha must be finite and >= 0, got ${alpha}`);
  const n = labels.length;
  if (n === 0 || features.length === 0 || features.length % n !== 0)
    throw new RangeError(`features must have d values for each of the ${n} labels, got ${features.length} values`);
  return [n, features.length / n];
}

function checkFinite(features: Float32Array | Float64Array, d: number): void {
  const bad = features.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new RangeError(
      `features must be finite, got ${features[bad]} at image ${Math.floor(bad / d)}, feature ${bad % d}`,
    );
}
