import { tf } from "../backend";
import { forward, jvp, type Trace, vjp } from "../curvature";
import { prunableWeights } from "../nets";
import { mapTree, zipTree } from "../tree";
import type { Model, Net, NetNode, Scorer, Tensor, Tree } from "../types";
import { assertReluNet, withoutShifts } from "./relu-net";

/**
 * Path exclusion (PX, Iurada et al., arXiv 2406.01820): theta_j^2 d/d(theta_j^2) sum_k z1_k z2_k over the features k, where
 *   z1 = the squared images sent through the net's OWN activation pattern with every weight 1 / fan-in (a constant a layer),
 *   z2 = ones sent through the net with squared weights and norm scales, without shifts, biases and activations.
 * It bounds the trace of the neural tangent kernel, hence of the Gauss-Newton matrix. Max pools pick by the pattern in z1 and
 * average in z2. One gradient for all layers. ReLU nets only: z1 needs an on-off pattern and z2 squares that pass through, which GELU,
 * layer norm and softmax do not have.
 */
export function pathExclusion(): Scorer {
  return {
    name: "pathExclusion",
    unit: "none",
    usesData: true,
    score(model, { x }) {
      assertReluNet("pathExclusion", model.net);
      return tf.tidy(() => {
        const data = patternPaths(model, x);
        const weights = prunableWeights(model);
        const linear = { net: linearised(model.net), params: withoutShifts(model, (t) => tf.square(t)) };
        const trace = forward(linear, tf.ones([1, ...model.net.input]));
        const gradient = vjp(trace, data, model.net.prunable);
        return zipTree(weights, gradient, (w, g) => tf.mul(tf.square(w), g)) as never;
      });
    },
  };
}

/** z1, summed over the images and scaled to mean 1: [1, features]. */
function patternPaths(model: Model, x: Tensor): Tensor {
  const backbone: Model = { net: model.net, params: model.params };
  const trace = forward(backbone, x);
  const even = evenParams(model);
  const points = Object.fromEntries(
    model.net.nodes.map((node) => {
      const params = Object.fromEntries(Object.entries(node.params).map(([role, key]) => [role, even[key]!]));
      const attributes = node.kind === "batchNorm" ? { ...node.attributes, epsilon: 0 } : node.attributes;
      return [node.id, { ...trace.points[node.id]!, params, attributes }];
    }),
  );
  const counts: Trace = { ...trace, points: points as Trace["points"] };
  const paths = tf.sum(jvp(counts, { x: tf.square(x) }), 0, true);
  return tf.div(paths, tf.mean(paths));
}

/** Weights 1 / fan-in, norms the identity. */
function evenParams({ net, params }: Model): Tree {
  return mapTree(params, (tensor, key) => {
    const { role, shape } = net.params[key]!;
    if (role === "convWeight" || role === "linearWeight")
      return tf.fill([...shape], shape[shape.length - 1]! / tensor.size);
    return role === "normScale" || role === "normVariance" ? tf.onesLike(tensor) : tf.zerosLike(tensor);
  });
}

/** The net without activations: what reads an activation reads its input; max pools become average pools. */
function linearised(net: Net): Net {
  const source: Record<string, string> = {};
  const nodes: NetNode[] = [];
  for (const node of net.nodes) {
    const inputs = node.inputs.map((id) => source[id] ?? id);
    if (node.kind === "relu") source[node.id] = inputs[0]!;
    else if (node.kind === "maxPool") nodes.push({ ...node, kind: "avgPool", inputs });
    else nodes.push({ ...node, inputs });
  }
  return { ...net, nodes };
}
