import { tf } from "../backend";
import { forward } from "../curvature";
import type { Model, Net, Tensor4D, Tree } from "../types";

/**
 * The statistics of every norm as these images give them, layer after layer from the image on: mean and unbiased variance over
 * images and positions of what reaches the norm, when the norms before it already use theirs. No weight changes, no label is needed.
 * What a pruned net needs when its activations have drifted from the statistics of the dense one.
 * @param x [n, height, width, channels], n >= 2; all at once on the device
 * @returns the norms' means and variances by key, to be used with `nets.withParams`; the caller disposes them
 */
export function recalibratedNorms(model: Model, x: Tensor4D): Tree {
  if (!(x.shape[0] >= 2)) throw new RangeError(`recalibratedNorms: at least 2 images expected, got ${x.shape[0]}`);
  return tf.tidy(() => forward({ ...model, net: forgetful(model.net) }, x, { training: true }).running as never);
}

/** The same net whose running statistics are those of the last batch. */
function forgetful(net: Net): Net {
  return {
    ...net,
    nodes: net.nodes.map((node) =>
      node.kind === "batchNorm" ? { ...node, attributes: { ...node.attributes, momentum: 1 } } : node,
    ),
  };
}
