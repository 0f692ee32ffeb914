/** Second derivatives in float32 on TensorFlow; their float64 oracles are in the tests beside this one. */
import { backend, curvature, nets, tree } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";
import { everyLayer, randomTensor, reluResidual, tinyBatch, tinyModel, tinyViT } from "../support/tiny-nets";

const { tf } = backend;
const single = { rtol: 1e-4 }; // float32 has 7 digits; sums of a few hundred products

describe.each([everyLayer, reluResidual, tinyViT].map((make) => ({ name: make().name, make })))("$name", ({ make }) => {
  const model = tinyModel(make());
  const data = tinyBatch(model.net);
  const weights = nets.prunableWeights(model);
  const v = tree.mapTree(weights, (w, name) => randomTensor(w.shape, 11, name));

  test.each([undefined, curvature.crossEntropyMeanOverN({ temperature: 0.7 })])(
    "H v less its residual part is G v, loss %#",
    (loss) => {
      const [h, r] = [curvature.hessianProduct, curvature.hessianResidualProduct].map((f) =>
        f(model, data, v, { loss }),
      );
      const difference = tree.zipTree(h!, r!, (a, b) => tf.sub(a, b));
      expect(difference).toBeNearTree(curvature.gnProduct(model, data, v, { loss }), single);
    },
  );

  test("hessianBlockProduct is the product with one layer moved, that layer's part", () => {
    const expected = tree.mapTree(weights, (w, name) => curvature.hessianProduct(model, data, { [name]: w })[name]!);
    expect(curvature.hessianBlockProduct(model, data)).toBeNearTree(expected, single);
    expect(curvature.hessianBlockProduct(model, data, { v: weights, memoryBytes: 1 })).toBeNearTree(expected, single);
  });

  test("gnDiagMonteCarlo is the mean of gnDiag's random signs", () => {
    const options = { draws: 3, seed: 1 } as const;
    const expected = curvature.gnDiag(model, data, { ...options, method: "rademacher" });
    expect(curvature.gnDiagMonteCarlo(model, data, options).diagonal).toBeNearTree(expected, single);
  });
});
