import { tf } from "../backend";
import { prunableWeights } from "../nets";
import { mapTree } from "../tree";
import type { Scorer } from "../types";

/** theta_j^2: the loss change if the Hessian were a multiple of the identity; ranks as |theta_j| does. Looks at no data. */
export function magnitude(): Scorer {
  return {
    name: "magnitude",
    unit: "weight^2",
    usesData: false,
    score: (model) => mapTree(prunableWeights(model), (weight) => tf.square(weight)),
  };
}
