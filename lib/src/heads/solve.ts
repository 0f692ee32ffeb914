/** Symmetric positive definite systems in float64 on the host; matrices are square, row-major, lower triangle used. */

/**
 * G = R R^T of a [rows, columns] matrix, lower triangle.
 * Tiles of 2 x 4 entries: eight sums and six loads at a time, what the registers hold.
 */
export function rowGram(r: Float64Array, rows: number, columns: number): Float64Array {
  const gram = new Float64Array(rows * rows);
  const last = rows - 1;
  for (let i = 0; i < rows; i += 2) {
    // Past the edge a tile repeats the last row: the same entry is written twice.
    const i1 = Math.min(i + 1, last);
    for (let j = 0; j <= i1; j += 4) {
      const [j1, j2, j3] = [Math.min(j + 1, last), Math.min(j + 2, last), Math.min(j + 3, last)];
      let [s00, s01, s02, s03, s10, s11, s12, s13] = [0, 0, 0, 0, 0, 0, 0, 0];
      const [a0, a1] = [i * columns, i1 * columns];
      const [b0, b1, b2, b3] = [j * columns, j1 * columns, j2 * columns, j3 * columns];
      for (let k = 0; k < columns; k++) {
        const x0 = r[a0 + k]!;
        const x1 = r[a1 + k]!;
        const y0 = r[b0 + k]!;
        const y1 = r[b1 + k]!;
        const y2 = r[b2 + k]!;
        const y3 = r[b3 + k]!;
        s00 += x0 * y0;
        s01 += x0 * y1;
        s02 += x0 * y2;
        s03 += x0 * y3;
        s10 += x1 * y0;
        s11 += x1 * y1;
        s12 += x1 * y2;
        s13 += x1 * y3;
      }
      gram[i * rows + j] = s00;
      gram[i * rows + j1] = s01;
      gram[i * rows + j2] = s02;
      gram[i * rows + j3] = s03;
      gram[i1 * rows + j] = s10;
      gram[i1 * rows + j1] = s11;
      gram[i1 * rows + j2] = s12;
      gram[i1 * rows + j3] = s13;
    }
  }
  return gram;
}

export function addToDiagonal(matrix: Float64Array, size: number, value: number): void {
  for (let i = 0; i < size; i++) matrix[i * size + i]! += value;
}

/** A = L L^T, L over the lower triangle of A; four rows at a time (the last one repeated past the edge) against each finished one. */
export function choleskyInPlace(a: Float64Array, size: number): void {
  for (let i = 0; i < size; i += 4) {
    const end = Math.min(i + 4, size);
    const [r0, r1, r2, r3] = [0, 1, 2, 3].map((k) => Math.min(i + k, size - 1) * size) as [
      number,
      number,
      number,
      number,
    ];
    for (let j = 0; j < i; j++) {
      const row = j * size;
      let [s0, s1, s2, s3] = [a[r0 + j]!, a[r1 + j]!, a[r2 + j]!, a[r3 + j]!];
      for (let k = 0; k < j; k++) {
        const y = a[row + k]!;
        s0 -= a[r0 + k]! * y;
        s1 -= a[r1 + k]! * y;
        s2 -= a[r2 + k]! * y;
        s3 -= a[r3 + k]! * y;
      }
      const pivot = a[row + j]!;
      a[r0 + j] = s0 / pivot;
      a[r1 + j] = s1 / pivot;
      a[r2 + j] = s2 / pivot;
      a[r3 + j] = s3 / pivot;
    }
    for (let row = i; row < end; row++)
      for (let j = i; j <= row; j++) {
        let sum = a[row * size + j]!;
        for (let k = 0; k < j; k++) sum -= a[row * size + k]! * a[j * size + k]!;
        if (j < row) a[row * size + j] = sum / a[j * size + j]!;
        else if (sum > 0) a[row * size + j] = Math.sqrt(sum);
        else throw new RangeError(`system is not positive definite (pivot ${row} is ${sum}): take a larger alpha`);
      }
  }
}

/** X of L L^T X = B; B is [size, columns] and is overwritten. */
export function solveCholesky(l: Float64Array, size: number, b: Float64Array, columns: number): Float64Array {
  const addRow = (to: number, from: number, factor: number): void => {
    for (let c = 0; c < columns; c++) b[to * columns + c]! += factor * b[from * columns + c]!;
  };
  const divideRow = (row: number, pivot: number): void => {
    for (let c = 0; c < columns; c++) b[row * columns + c]! /= pivot;
  };
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) addRow(i, k, -l[i * size + k]!);
    divideRow(i, l[i * size + i]!);
  }
  for (let i = size - 1; i >= 0; i--) {
    divideRow(i, l[i * size + i]!);
    for (let k = 0; k < i; k++) addRow(k, i, -l[i * size + k]!);
  }
  return b;
}
