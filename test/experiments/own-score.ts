/** A score of a user's own, whole: |theta_j g_j|, the loss change to first order, on the source's images. */
import { backend, curvature, nets, type Scorer, tree } from "secateur";

export function firstOrder(): Scorer {
  return {
    name: "firstOrder",
    unit: "loss",
    usesData: true,
    score(model, data) {
      const { gradient } = curvature.lossGradient(model, data);
      const scores = tree.zipTree(nets.prunableWeights(model), gradient, (w, g) =>
        backend.tf.tidy(() => backend.tf.abs(backend.tf.mul(w, g))),
      );
      tree.disposeTree(gradient);
      return scores;
    },
  };
}
