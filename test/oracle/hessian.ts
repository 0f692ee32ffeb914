/** Second derivatives of a loss by differences of its gradient, and the dense Hessian of one layer column by column. */
import { type Batch, curvature, type Model, type Tree, tree } from "secateur";
import { moved } from "./differences";

/**
 * Step of the four-point quotient in float64: truncation ~ step^4 = 1e-16 times a fifth derivative, cancellation ~ 1e-16 / step = 1e-12.
 * Small enough that no ReLU of the tiny nets switches on the way.
 */
export const STEP = 1e-4;

/** H v = (8 (g(h) - g(-h)) - (g(2h) - g(-2h))) / (12 h), g(t) the gradient at theta + t v; on the host, by weight. */
export function hessianProductByDifferences(
  model: Model,
  data: Batch,
  v: Tree,
  options: curvature.LossOptions = {},
): Record<string, Float64Array> {
  const at = (t: number): tree.HostTree => {
    const params = { ...model.params, ...tree.mapTree(v, (d, name) => moved(model.params[name]!, d, t)) };
    return tree.toHost(curvature.lossGradient({ ...model, params }, data, options).gradient);
  };
  const [near, back, far, farBack] = [at(STEP), at(-STEP), at(2 * STEP), at(-2 * STEP)];
  return Object.fromEntries(
    model.net.prunable.map((name) => [
      name,
      Float64Array.from(near[name]!, (value, j) => {
        const close = value - back[name]![j]!;
        const wide = far[name]![j]! - farBack[name]![j]!;
        return (8 * close - wide) / (12 * STEP);
      }),
    ]),
  );
}
