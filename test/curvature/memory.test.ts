/** On TensorFlow: nothing piles up, neither tensors nor native handles nor memory that neither of them shows. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Batch, backend, curvature, layers, nets, scores, tree } from "secateur";
import { beforeAll, describe, expect, test } from "vitest";
import "../support/close-tree";
import { owned } from "../support/owned";
import { everyLayer, tinyBatch, tinyModel } from "../support/tiny-nets";

const { tf } = backend;
const model = tinyModel(everyLayer());
const data = tinyBatch(model.net);
const weights = nets.prunableWeights(model);

const work: Record<string, () => void> = {
  predict: () => curvature.predict(model, data.x).dispose(),
  gnDiag: () => tree.disposeTree(curvature.gnDiag(model, data)),
  "gnDiag, small budget": () => tree.disposeTree(curvature.gnDiag(model, data, { memoryBytes: 1 })),
  "gnDiag, random signs": () =>
    tree.disposeTree(curvature.gnDiag(model, data, { method: "rademacher", draws: 2, memoryBytes: 1e4 })),
  gnDiagAndBlockProduct: () => tf.dispose(curvature.gnDiagAndBlockProduct(model, data) as never),
  gnProduct: () => tree.disposeTree(curvature.gnProduct(model, data, weights)),
  hessianProduct: () => tree.disposeTree(curvature.hessianProduct(model, data, weights)),
  "hessianProduct, cross-entropy, small budget": () =>
    tree.disposeTree(
      curvature.hessianProduct(model, data, weights, { loss: curvature.crossEntropyMeanOverN(), memoryBytes: 1 }),
    ),
  hessianBlockProduct: () => tree.disposeTree(curvature.hessianBlockProduct(model, data)),
  hessianDiag: () => tf.dispose(curvature.hessianDiag(model, data, { draws: 2 }) as never),
  gnDiagMonteCarlo: () => tf.dispose(curvature.gnDiagMonteCarlo(model, data, { draws: 2 }) as never),
  gnChunkInverseDiagonal: () => tree.disposeTree(curvature.gnChunkInverseDiagonal(model, data, { chunk: 8 })),
  lossGradient: () => tree.disposeTree(curvature.lossGradient(model, data).gradient),
  lossChange: () => {
    curvature.lossChange(model, data, weights);
  },
  "a training step's derivatives": () =>
    tf.tidy(() => {
      const trace = curvature.forward(model, data.x, { training: true });
      curvature.vjp(trace, trace.outputs);
    }),
  "scores.diagonal": () => tree.disposeTree(scores.diagonal().score(model, data)),
  "scores.blockObs": () => tree.disposeTree(scores.blockObs().score(model, data)),
};

test.each(Object.entries(work))("%s: handles and tensors are flat over 50 repetitions", (_, run) => {
  run(); // uploads what the test holds
  const [tensors, handles] = [tf.memory().numTensors, backend.nativeHandles()];
  for (let i = 0; i < 50; i++) run();
  expect(tf.memory().numTensors).toBe(tensors);
  expect(backend.nativeHandles()).toBe(handles);
});

test("results belong to the caller", () => {
  tree.disposeTree(owned(() => curvature.gnDiag(model, data) as never));
  tf.dispose(owned(() => curvature.gnDiagAndBlockProduct(model, data, { memoryBytes: 1 }) as never));
  owned(() => curvature.predict(model, data.x)).dispose();
});

test.each([
  ["a layer that throws halfway", { method: "exact" }],
  ["a layer that throws halfway, small budget", { memoryBytes: 1 }],
] as const)("%s leaves nothing behind", (_, options) => {
  const { vjp } = layers.rules.maxPool;
  const rule = layers.rules.maxPool as { vjp: typeof vjp };
  tree.disposeTree(curvature.gnDiag(model, data));
  const [tensors, handles] = [tf.memory().numTensors, backend.nativeHandles()];
  rule.vjp = () => {
    throw new Error("on purpose");
  };
  try {
    expect(() => curvature.gnDiag(model, data, options)).toThrow("on purpose");
  } finally {
    rule.vjp = vjp;
  }
  expect(tf.memory().numTensors).toBe(tensors);
  expect(backend.nativeHandles()).toBe(handles);
});

describe("resident memory", () => {
  // 32 x 32 maps of 8 channels, 4 images: one forgotten activation a run is 128 kB to 1 MB
  const b = new nets.NetBuilder();
  const first = b.relu("relu", b.batchNorm("bn", b.conv2d("conv1", "x", 3, 8, 3, 1), 8));
  b.globalAvgPool("gap", b.maxPool("pool", b.conv2d("conv2", first, 8, 8, 3, 1), 3, 2, 1));
  const net = b.build("roomy", [32, 32, 3], 8);
  const roomy = tinyModel(net);
  const images: Batch = tinyBatch(net, { n: 4 });
  let collect: () => void;

  beforeAll(() => {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc");
  });

  test("300 diagonals leave resident memory where the first 100 left it", () => {
    const run = (times: number): number => {
      for (let i = 0; i < times; i++) tree.disposeTree(curvature.gnDiag(roomy, images));
      collect();
      return process.memoryUsage().rss / 2 ** 20;
    };
    const warm = run(100);
    const grown = run(300) - warm;
    // 300 forgotten activations would be 37 MiB at the least; the allocators' own coming and going is a few MiB
    expect(grown, "MiB").toBeLessThan(20);
  });
});
