import { backend, nets, type Tensor, train } from "secateur";
import { expect, test } from "vitest";
import { plainPretraining } from "../oracle/training";
import "../support/close-tree";
import { barsAndDots, PRETRAIN, PRETRAIN_ADAMW, trainingNet } from "../support/tiny-training";

const { stream, tf } = backend;

// conv1's bias stays 0 but for rounding, the norm behind it takes it off; AdamW divides that rounding by 1e-8
test.each<[string, train.PretrainSettings, number]>([
  ["SGD", { ...PRETRAIN, weightDecay: 0.05 }, 1e-14],
  ["AdamW, gradients cut", PRETRAIN_ADAMW, 1e-8],
])(
  "pretrainSupervised is the plain loop with tfjs's own gradients, moved statistics included: %s",
  async (_, settings, rounding) => {
    const net = trainingNet();
    const set = barsAndDots(26);
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
    // 12 steps of float64 sums in another order
    const { "conv1.bias": bias, ...others } = params as Record<string, Tensor>;
    const { "conv1.bias": expectedBias, ...expectedOthers } = backbone;
    expect(others).toBeNearTree(expectedOthers, { rtol: 1e-9, atol: 1e-14 });
    expect({ bias: bias! }).toBeNearTree({ bias: expectedBias! }, { rtol: 0, atol: rounding });
    expect({ loss: history.map(({ loss }) => loss) }).toBeNearTree({ loss: losses }, { rtol: 1e-9 });
    expect(history.map(({ trainAccuracy }) => trainAccuracy)).toEqual(accuracy);
    tf.dispose([params, start] as never);
  },
);
