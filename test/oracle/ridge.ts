/** Ridge regression with class weights, written out from the formula and solved by Gauss-Jordan with full rows. */

/** Theta = (X^T W X + penalty I)^-1 X^T W Y, [d + 1, classes] as rows; the last row is the bias. */
export function ridgeByGaussJordan(
  features: readonly (readonly number[])[],
  labels: readonly number[],
  classes: number,
  penalty: number,
): number[][] {
  const { system, right } = normalEquations(features, labels, classes, penalty);
  return gaussJordan(system, right);
}

export function normalEquations(
  features: readonly (readonly number[])[],
  labels: readonly number[],
  classes: number,
  penalty: number,
): { system: number[][]; right: number[][] } {
  const x = features.map((row) => [...row, 1]);
  const y = labels.map((label) => Array.from({ length: classes }, (_, c) => (c === label ? 1 : 0)));
  const w = labels.map((label) => labels.length / (classes * labels.filter((other) => other === label).length));
  const p = x[0]!.length;
  const sum = (f: (i: number) => number): number => x.reduce((total, _, i) => total + w[i]! * f(i), 0);
  const entry = (a: number, b: number): number => sum((i) => x[i]![a]! * x[i]![b]!) + (a === b ? penalty : 0);
  return {
    system: Array.from({ length: p }, (_, a) => Array.from({ length: p }, (_, b) => entry(a, b))),
    right: Array.from({ length: p }, (_, a) =>
      Array.from({ length: classes }, (_, c) => sum((i) => x[i]![a]! * y[i]![c]!)),
    ),
  };
}

function gaussJordan(system: number[][], right: number[][]): number[][] {
  const rows = system.map((row, i) => [...row, ...right[i]!]);
  const size = rows.length;
  for (let k = 0; k < size; k++) {
    let pivot = k;
    for (let i = k; i < size; i++) if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    const scale = rows[k]![k]!;
    rows[k] = rows[k]!.map((value) => value / scale);
    for (let i = 0; i < size; i++) {
      const factor = rows[i]![k]!;
      if (i !== k) rows[i] = rows[i]!.map((value, j) => value - factor * rows[k]![j]!);
    }
  }
  return rows.map((row) => row.slice(size));
}
