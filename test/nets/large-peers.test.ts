/** torchvision's ResNet-50 and timm's ViT-S/16 with parameters by formula (test/fixtures/peers): features and logits. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { backend, curvature, type Net, nets, tree } from "secateur";
import { expect, test } from "vitest";
import { formulaImages, formulaModel } from "../fixtures/peers/formula";
import "../support/close-tree";

const { tf } = backend;

interface Golden {
  readonly input: readonly [number, number, number];
  readonly images: number;
  readonly parameters: number;
  /** [images][64], the first 64 of each feature vector */
  readonly features: readonly (readonly number[])[];
  readonly logits: readonly (readonly number[])[];
}

const golden = JSON.parse(readFileSync(join(__dirname, "../fixtures/peers/large.json"), "utf8")) as Record<
  "resnet50" | "vits16",
  Golden
>;

test.each([
  { name: "resnet50", make: nets.resnet50, head: "fc" },
  { name: "vits16", make: nets.vitSmall16, head: "head" },
] as const)("$name with a head of ten classes: torch's parameters, features and logits", ({ name, make, head }) => {
  const expected = golden[name];
  const net: Net = make(expected.input);
  const model = formulaModel(net, { classes: 10, head });
  expect(nets.parameterCount(net) + model.head!.weight.size + model.head!.bias.size).toBe(expected.parameters);
  const images = formulaImages(net, expected.images);
  const features = tf.slice(curvature.predict({ net, params: model.params }, images), [0, 0], [expected.images, 64]);
  const logits = curvature.predict(model, images);
  expect({ features: features.dataSync(), logits: logits.dataSync() }).toBeNearTree(
    { features: expected.features.flat(), logits: expected.logits.flat() },
    { rtol: 1e-4 },
  );
  tree.disposeTree(model.params);
});
