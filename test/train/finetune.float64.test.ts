import { backend, train } from "secateur";
import { expect, test } from "vitest";
import { plainFinetune } from "../oracle/training";
import "../support/close-tree";
import { barsAndDots, halfMask, trainingModel } from "../support/tiny-training";

const { tf } = backend;

// 26 images: the two that are left over by batches of 8 are dropped
const set = barsAndDots(26);
const rtol = 1e-9; // 12 steps of float64 sums in another order

test.each([
  { epochs: 4, batchSize: 8, rate: 0.2, momentum: 0.9, weightDecay: 0.05, seed: 3 },
  { epochs: 2, batchSize: 26, rate: 0.5, momentum: 0, weightDecay: 0, seed: -1 },
])("finetune is the plain loop with tfjs's own gradients: $epochs epochs, batches of $batchSize", async (options) => {
  const model = trainingModel();
  const mask = halfMask(model.net);
  const expected = plainFinetune(model, mask, set, options);
  const { params, history, diverged } = await train.finetune(model, mask, set, options);
  expect(params).toBeNearTree(expected.params, { rtol });
  expect({ loss: history.map(({ loss }) => loss) }).toBeNearTree({ loss: expected.losses }, { rtol });
  expect(history.map(({ epoch }) => epoch)).toEqual(Array.from({ length: options.epochs }, (_, i) => i + 1));
  expect(diverged).toBe(false);
  tf.dispose([params, model.params, model.head] as never);
});
