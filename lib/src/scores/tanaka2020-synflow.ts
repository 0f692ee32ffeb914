import { tf } from "../backend";
import { forward, vjp } from "../curvature";
import { ruleOf } from "../layers";
import { prunableWeights } from "../nets";
import { zipTree } from "../tree";
import type { Model, Net, NetNode, Scorer, Tensor } from "../types";
import { assertReluNet, withoutShifts } from "./relu-net";

/**
 * SynFlow (Tanaka et al. 2020, arXiv 2006.05467): |theta_j| d R / d |theta_j|, R the sum of the features when an image of ones goes
 * through the net with absolute weights. Looks at no data. Norms count as a positive factor |scale| / sd without shift and biases as 0,
 * as in the paper's formula (and as its code has them at initialisation): then scores of the inputs and of the outputs of every unit
 * have equal sums. The head is no part of R: it would bring in the source's labels.
 * Scores are R's up to one common factor, which keeps deep nets within float32.
 * Published with 100 rounds that keep keep^(r / 100): `prune(..., { grid: [keep], rounds: 100 })`, or a multiple of a longer grid's
 * length near 100 (99 or 108 for 9 keep ratios). ReLU nets only: layer norm and attention have no such linear net.
 */
export function synflow(): Scorer {
  return {
    name: "synflow",
    unit: "none",
    usesData: false,
    score(model) {
      assertReluNet("synflow", model.net);
      return tf.tidy(() => {
        const ones = tf.ones([1, ...model.net.input]);
        const net = steadied({ net: model.net, params: withoutShifts(model, (t) => tf.abs(t)) }, ones);
        const trace = forward(net, ones);
        const gradient = vjp(trace, tf.onesLike(trace.features), model.net.prunable);
        return zipTree(prunableWeights(model), gradient, (w, g) => tf.mul(tf.abs(w), g)) as never;
      });
    },
  };
}

/** The same net with a constant factor, 1 / mean, behind every node that all paths cross: only the scale of the outputs changes. */
function steadied(model: Model, x: Tensor): Model {
  const params: Record<string, Tensor> = { ...model.params };
  const nodes: NetNode[] = [];
  const values: Record<string, Tensor> = { x };
  const crossed = crossings(model.net);
  const renamed: Record<string, string> = {};
  for (const node of model.net.nodes) {
    const inputs = node.inputs.map((id) => renamed[id] ?? id);
    const own = Object.fromEntries(Object.entries(node.params).map(([role, key]) => [role, params[key]!]));
    const y = ruleOf(node).forward(
      inputs.map((id) => values[id]!),
      own,
      node.attributes,
    );
    values[node.id] = y;
    nodes.push({ ...node, inputs });
    const mean = crossed.has(node.id) ? tf.mean(y).dataSync()[0]! : 0;
    if (mean === 0) continue;
    const id = `${node.id} / mean`;
    const [size, channels] = [1 / mean, y.shape[y.shape.length - 1]!];
    params[`${id}.weight`] = tf.fill([channels], size);
    for (const role of ["bias", "mean"]) params[`${id}.${role}`] = tf.zeros([channels]);
    params[`${id}.variance`] = tf.ones([channels]);
    nodes.push({
      id,
      kind: "batchNorm",
      inputs: [node.id],
      params: { weight: `${id}.weight`, bias: `${id}.bias`, mean: `${id}.mean`, variance: `${id}.variance` },
      attributes: { epsilon: 0, momentum: 0 },
    });
    values[id] = tf.mul(y, size);
    renamed[node.id] = id;
  }
  return { net: { ...model.net, nodes }, params };
}

/** Ids of the nodes that everything flows through: nothing earlier is read later. */
function crossings({ nodes }: Net): Set<string> {
  const lastUse: Record<string, number> = {};
  nodes.forEach((node, i) => {
    for (const id of node.inputs) lastUse[id] = i;
  });
  let reach = lastUse.x ?? 0;
  const found = new Set<string>();
  nodes.forEach(({ id }, i) => {
    if (reach <= i) found.add(id);
    reach = Math.max(reach, lastUse[id] ?? 0);
  });
  return found;
}
