import { tf } from "../backend";
import { forward, jvp, type Trace, vjp } from "../curvature";
import { prunableWeights } from "../nets";
import { mapTree, zipTree } from "../tree";
import type { Model, Net, NetNode, Scorer, Tensor, Tree } from "../types";

/**
 * Path exclusion (PX, Iurada et al., arXiv 2406.01820): theta_j^2 d/d(theta_j^2) sum_k z1_k z2_k over the features k, where
 *   z1 = the squared images sent through the net's OWN activation pattern with every weight 1 / fan-in (a constant a layer),
 *   z2 = ones sent through the net with squared weights and norm scales, without shifts, biases and activations.
 * It bounds the trace of the neural tangent kernel, hence of the Gauss-Newton matrix. Max pools pick by the pattern in z1 and
 * average in z2. One gradient for all layers; ReLU nets only.
 */
export function pathExclusion(): Scorer {
  return {
    name: "pathExclusion",
    unit: "none",
    usesData: true,
    score: (model, { x }) =>
      tf.tidy(() => {
        const data = patternPaths(model, x);
        const weights = prunableWeights(model);
        const linear = { net: linearised(model.net), params: squared(model) };
        const trace = forward(linear, tf.ones([1, ...model.net.input]));
        const gradient = vjp(trace, data, model.net.prunable);
        return zipTree(weights, gradient, (w, g) => tf.mul(tf.square(w), g)) as never;
      }),
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

/** Weights squared; each norm a squared factor without shift. */
function squared({ net, params }: Model): Tree {
  const result: Record<string, Tensor> = { ...mapTree(params, (tensor) => tf.square(tensor)) };
  for (const node of net.nodes) {
    if (node.kind === "batchNorm") {
      const { weight, bias, mean, variance } = node.params as Record<"weight" | "bias" | "mean" | "variance", string>;
      const factor = tf.mul(params[weight]!, tf.rsqrt(tf.add(params[variance]!, node.attributes.epsilon)));
      result[weight] = tf.mul(tf.square(factor), Math.sqrt(1 + node.attributes.epsilon));
      result[bias] = tf.zerosLike(params[bias]!);
      result[mean] = tf.zerosLike(params[mean]!);
      result[variance] = tf.onesLike(params[variance]!);
    } else if (node.params.bias) result[node.params.bias] = tf.zerosLike(params[node.params.bias]!);
  }
  return result;
}

/** The net without activations: what reads an activation reads its input; max pools become average pools. */
function linearised(net: Net): Net {
  const source: Record<string, string> = {};
  const nodes: NetNode[] = [];
  for (const node of net.nodes) {
    if (node.kind === "gelu")
      throw new Error(`pathExclusion: '${node.id}' is a gelu; the score is defined for ReLU nets`);
    const inputs = node.inputs.map((id) => source[id] ?? id);
    if (node.kind === "relu") source[node.id] = inputs[0]!;
    else if (node.kind === "maxPool") nodes.push({ ...node, kind: "avgPool", inputs });
    else nodes.push({ ...node, inputs });
  }
  return { ...net, nodes };
}
