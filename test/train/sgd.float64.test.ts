/** What torch.optim.SGD does with given gradients (test/fixtures/torch-sgd, made by make.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { backend, type Tree, train, tree } from "secateur";
import { afterAll, expect, test } from "vitest";
import "../support/close-tree";

const { tf } = backend;

type Numbers = Readonly<Record<string, number[]>>;

interface Golden {
  readonly shapes: Numbers;
  readonly start: Numbers;
  readonly rates: readonly number[];
  readonly gradients: readonly Numbers[];
  readonly cases: readonly { readonly options: Required<train.SgdOptions>; readonly params: readonly Numbers[] }[];
}

const golden: Golden = JSON.parse(readFileSync(join(__dirname, "../fixtures/torch-sgd/sgd.json"), "utf8"));
const tensors = (values: Numbers): Tree =>
  Object.fromEntries(Object.entries(values).map(([name, list]) => [name, tf.tensor(list, golden.shapes[name]!)]));
const gradients = golden.gradients.map(tensors);
afterAll(() => gradients.forEach(tree.disposeTree));

test.each(golden.cases)("sgdStep follows torch: $options", ({ options, params }) => {
  let state: train.SgdState = { params: tensors(golden.start), velocity: tree.mapTree(gradients[0]!, tf.zerosLike) };
  golden.rates.forEach((rate, step) => {
    const next = train.sgdStep(state, gradients[step]!, rate, options);
    tf.dispose(state as never);
    state = next;
    expect(state.params).toBeNearTree(params[step]!, { rtol: 1e-14 });
  });
  tf.dispose(state as never);
});
