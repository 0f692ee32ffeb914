/** Second derivatives of a loss by differences of its gradient, and the dense Hessian of one layer column by column. */
import { type Batch, backend, curvature, type Model, type Tensor, type Tree, tree } from "secateur";
import { fourPointSlope, moved } from "./differences";

/** H v, the four-point quotient of the gradient along v: all weights in one row, by name again at the end. */
export function hessianProductByDifferences(
  model: Model,
  data: Batch,
  v: Tree,
  options: curvature.LossOptions = {},
): Tree {
  const { tf } = backend;
  const gradientAt = (t: number): Tensor => {
    const params = { ...model.params, ...tree.mapTree(v, (d, name) => moved(model.params[name]!, d, t)) };
    const { gradient } = curvature.lossGradient({ ...model, params }, data, options);
    return tf.concat1d(Object.values(gradient).map((g) => tf.reshape(g, [g.size])));
  };
  const names = model.net.prunable;
  const parts = tf.split(
    fourPointSlope(gradientAt),
    names.map((name) => model.params[name]!.size),
  );
  return Object.fromEntries(names.map((name, i) => [name, tf.reshape(parts[i]!, model.params[name]!.shape)]));
}

/** diag(H), one whole product with H for every weight of these layers (default: all). */
export function hessianDiagonal(
  model: Model,
  data: Batch,
  options: curvature.LossOptions = {},
  keys: readonly string[] = model.net.prunable,
): Record<string, Float64Array> {
  return Object.fromEntries(
    keys.map((name) => [
      name,
      Float64Array.from({ length: model.params[name]!.size }, (_, j) => {
        const product = curvature.hessianProduct(model, data, { [name]: unit(model, name, j) }, options);
        const value = product[name]!.dataSync()[j]!;
        tree.disposeTree(product);
        return value;
      }),
    ]),
  );
}

/** One layer's block of the Hessian's residual part H - G, row by row. */
export function residualBlock(
  model: Model,
  data: Batch,
  name: string,
  options: curvature.LossOptions = {},
): Float64Array[] {
  return Array.from({ length: model.params[name]!.size }, (_, j) => {
    const product = curvature.hessianResidualProduct(model, data, { [name]: unit(model, name, j) }, options);
    const row = Float64Array.from(product[name]!.dataSync());
    tree.disposeTree(product);
    return row;
  });
}

function unit(model: Model, name: string, j: number): Tensor {
  const { size, shape } = model.params[name]!;
  return backend.tf.tidy(() => backend.tf.reshape(backend.tf.oneHot([j], size, 1, 0, "float32"), shape as number[]));
}
