/** Gauss-Newton quantities from the whole Jacobian, built one image and one output at a time: slow and obvious. */
import { backend, curvature, type Model, type Tensor, type Tree } from "secateur";
import { entrySlope } from "./differences";

const { tf } = backend;

/** jacobian[name][row] = d f_nc / d theta_name, row = n C + c. */
export type Jacobian = Readonly<Record<string, readonly Float64Array[]>>;

const images = (x: Tensor): Tensor[] => tf.split(x, x.shape[0]!, 0);

/** One reverse sweep for every image alone and every output alone. */
export function jacobian({ model, x }: { model: Model; x: Tensor }): Jacobian {
  const classes = model.head!.weight.shape[1];
  const rows: Record<string, Float64Array[]> = Object.fromEntries(model.net.prunable.map((name) => [name, []]));
  tf.tidy(() => {
    for (const image of images(x))
      for (let c = 0; c < classes; c++) {
        const unit = tf.oneHot([c], classes, 1, 0, "float32");
        const gradients = curvature.vjp(curvature.forward(model, image), unit);
        for (const name of model.net.prunable) rows[name]!.push(Float64Array.from(gradients[name]!.dataSync()));
      }
  });
  return rows;
}

/** The same without a reverse sweep: every weight moved up and down. */
export function jacobianByDifferences({ model, x }: { model: Model; x: Tensor }): Jacobian {
  return Object.fromEntries(
    model.net.prunable.map((name) => {
      const size = model.params[name]!.size;
      const outputs = x.shape[0]! * model.head!.weight.shape[1];
      const rows = Array.from({ length: outputs }, () => new Float64Array(size));
      for (let j = 0; j < size; j++)
        entrySlope(model.params, name, j, (params) => curvature.predict({ ...model, params }, x)).forEach(
          (value, row) => {
            rows[row]![j] = value;
          },
        );
      return [name, rows];
    }),
  );
}

/** 2 / (N C): the loss is the mean of the squared error over images and outputs. */
export const scale = (jacobian: Jacobian): number => 2 / Object.values(jacobian)[0]!.length;

const each = (
  j: Jacobian,
  f: (rows: readonly Float64Array[], name: string) => Float64Array,
): Record<string, Float64Array> => Object.fromEntries(Object.entries(j).map(([name, rows]) => [name, f(rows, name)]));

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** diag_j = 2 / (N C) sum of J_rj^2 */
export const gnDiagonal = (j: Jacobian): Record<string, Float64Array> =>
  each(j, (rows) => rows[0]!.map((_, k) => scale(j) * rows.reduce((sum, row) => sum + row[k]! ** 2, 0)));

/** One layer's block of G, row by row. */
export const gnBlock = (j: Jacobian, name: string): Float64Array[] =>
  Array.from(j[name]![0]!, (_, a) =>
    j[name]![0]!.map((_, b) => scale(j) * j[name]!.reduce((s, row) => s + row[a]! * row[b]!, 0)),
  );

/** (G_BB v_B), block by block. */
export const gnBlockProducts = (j: Jacobian, v: Tree): Record<string, Float64Array> =>
  each(j, (_, name) => Float64Array.from(gnBlock(j, name), (row) => dot(row, v[name]!.dataSync())));

/** G v, all layers together. */
export function gnProducts(j: Jacobian, v: Tree): Record<string, Float64Array> {
  const rows = scale(j) ** -1 * 2;
  const jv = Array.from({ length: rows }, (_, r) =>
    Object.entries(j).reduce((sum, [name, blocks]) => sum + dot(blocks[r]!, v[name]!.dataSync()), 0),
  );
  return each(j, (block) =>
    block[0]!.map((_, k) => scale(j) * block.reduce((sum, row, r) => sum + row[k]! * jv[r]!, 0)),
  );
}

/** The inverse by Gauss-Jordan elimination with pivoting. */
export function inverse(matrix: readonly Float64Array[]): Float64Array[] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => Float64Array.from([...row, ...row.map((_, k) => Number(k === i))]));
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let r = i + 1; r < n; r++) if (Math.abs(rows[r]![i]!) > Math.abs(rows[pivot]![i]!)) pivot = r;
    [rows[i], rows[pivot]] = [rows[pivot]!, rows[i]!];
    const lead = rows[i]!.map((value) => value / rows[i]![i]!);
    for (let r = 0; r < n; r++)
      if (r !== i) {
        const factor = rows[r]![i]!;
        for (let k = 0; k < 2 * n; k++) rows[r]![k] = rows[r]![k]! - factor * lead[k]!;
      }
    rows[i] = lead;
  }
  return rows.map((row) => row.slice(n));
}
