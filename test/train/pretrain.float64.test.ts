import { backend, nets, train } from "secateur";
import { expect, test } from "vitest";
import { plainPretraining } from "../oracle/training";
import "../support/close-tree";
import { barsAndDots, PRETRAIN, trainingNet } from "../support/tiny-training";

const { stream, tf } = backend;

test("pretrainSupervised is the plain loop with tfjs's own gradients, moved statistics included", async () => {
  const net = trainingNet();
  const set = barsAndDots(26);
  const settings = { ...PRETRAIN, weightDecay: 0.05 };
  const numbers = stream(settings.seed, "initialise", "classifier");
  const bound = 1 / Math.sqrt(net.features);
  const start = {
    ...nets.initialise(net, settings.seed),
    "classifier.weight": tf.tensor2d(
      Float32Array.from({ length: net.features * set.classes }, () => numbers.uniform(-bound, bound)),
      [net.features, set.classes],
    ),
    "classifier.bias": tf.zeros([set.classes]),
  };
  const { params: expected, losses, accuracy } = plainPretraining(start, set, settings);
  const { params, history } = await train.pretrainSupervised(net, set, settings);
  const backbone = Object.fromEntries(Object.keys(net.params).map((key) => [key, expected[key]!]));
  // 12 steps of float64 sums in another order; conv1's bias stays 0 but for rounding, the norm behind it takes it off
  expect(params).toBeNearTree(backbone, { rtol: 1e-9, atol: 1e-14 });
  expect({ loss: history.map(({ loss }) => loss) }).toBeNearTree({ loss: losses }, { rtol: 1e-9 });
  expect(history.map(({ trainAccuracy }) => trainAccuracy)).toEqual(accuracy);
  tf.dispose([params, start] as never);
});
