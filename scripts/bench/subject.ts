/** What is measured: a net, its parameters, images. Speed does not depend on their values. */
import { type Batch, backend, experiments, type ImageSet, type Model, type Net, nets } from "secateur";
import { formula, formulaImages, formulaModel } from "../../test/fixtures/peers/formula";

export interface Subject {
  readonly model: Model;
  /** name of the shipped backbone, or "by formula" */
  readonly weights: string;
  readonly data: Batch;
  readonly classes: number;
}

export interface SubjectOptions {
  readonly images: number;
  readonly classes?: number;
}

/** Nets of millions of pixels get few images, so that one run takes seconds. */
export const defaultImages = ({ input }: Net): number => (input[0] > 100 ? 4 : 100);

export function subject(netName: string, { images, classes = 10 }: SubjectOptions): Subject {
  const shipped = experiments.zoo().find((name) => experiments.modelCard(name).net === netName);
  const net = nets.netByName(netName);
  const made = formulaModel(net, { classes });
  if (shipped) backend.tf.dispose(made.params as never);
  const model = shipped ? { ...experiments.loadBackbone(shipped).model, head: made.head! } : made;
  const x = formulaImages(net, images) as Batch["x"];
  return { model, weights: shipped ?? "by formula", data: { x, labels: labelsOf(images, classes) }, classes };
}

const labelsOf = (n: number, classes: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i % classes);

/** Images of 8 bits for fine-tuning. */
export function pixelSet({ input }: Net, n: number, classes: number): ImageSet {
  const [height, width, channels] = input;
  const size = n * height * width * channels;
  return {
    name: "bench",
    hash: "0".repeat(12),
    pixels: Uint8Array.from(formula("pixels", size), (u) => Math.floor(128 * (u + 1))),
    shape: [n, height, width, channels],
    labels: labelsOf(n, classes),
    classes,
    normalise: { levels: 255, mean: Array(channels).fill(0.5), std: Array(channels).fill(0.25) },
  };
}
