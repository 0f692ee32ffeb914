/** What torch.optim.AdamW and clip_grad_norm_ do with given gradients (test/fixtures/torch-sgd, made by make.py). */
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
  /** keys that have no gradient before this step */
  readonly starts_at: Readonly<Record<string, number>>;
  readonly rates: readonly number[];
  readonly gradients: readonly Numbers[];
  readonly cases: readonly {
    readonly options: Required<Omit<train.AdamWOptions, "noDecay">>;
    readonly clip: number | null;
    readonly params: readonly Numbers[];
  }[];
}

const golden: Golden = JSON.parse(readFileSync(join(__dirname, "../fixtures/torch-sgd/adamw.json"), "utf8"));
const tensors = (values: Numbers): Tree =>
  Object.fromEntries(Object.entries(values).map(([name, list]) => [name, tf.tensor(list, golden.shapes[name]!)]));
const gradients = golden.gradients.map(tensors);
afterAll(() => gradients.forEach(tree.disposeTree));

const firstStep = (key: string): number => golden.starts_at[key] ?? 0;

test.each(golden.cases)("adamwStep follows torch: $options, clip $clip", ({ options, clip, params }) => {
  const zero = () => tree.mapTree(gradients[0]!, tf.zerosLike);
  let state: train.AdamWState = { params: tensors(golden.start), mean: zero(), square: zero() };
  golden.rates.forEach((rate, step) => {
    const moving = Object.keys(gradients[step]!).filter((key) => step >= firstStep(key));
    const whole = tree.pickTree(gradients[step]!, moving);
    const gradient = clip === null ? whole : train.clipByGlobalNorm(whole, clip);
    const next = train.adamwStep(state, gradient, rate, options, (key) => step + 1 - firstStep(key));
    state = {
      params: { ...state.params, ...next.params },
      mean: { ...state.mean, ...next.mean },
      square: { ...state.square, ...next.square },
    };
    expect(state.params).toBeNearTree(params[step]!, { rtol: 1e-13 });
  });
  tf.dispose(state as never);
});
