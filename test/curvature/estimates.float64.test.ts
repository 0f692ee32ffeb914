/** Estimated diagonals and their standard errors. */
import { type Batch, backend, curvature, type Model, nets, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { hessianDiagonal, residualBlock } from "../oracle/hessian";
import { gnDiagonal, jacobian, scale } from "../oracle/jacobian";
import "../support/close-tree";
import { owned } from "../support/owned";
import { reluResidual, tinyBatch, tinyModel, tinyViT } from "../support/tiny-nets";

const { tf } = backend;
const exact = { rtol: 1e-11 };

type Numbers = Readonly<Record<string, ArrayLike<number>>>;

/** Three inputs, two bent layers: few enough weights for thousands of draws. */
function small(): { model: Model; data: Batch } {
  const b = new nets.NetBuilder();
  const hidden = b.gelu("act1", b.conv2d("conv", "x", 1, 2, 2, 1, true));
  b.gelu("act2", b.linear("fc", b.globalAvgPool("gap", hidden), 2, 3));
  const model = tinyModel(b.build("small", [3, 2, 1], 3));
  return { model, data: tinyBatch(model.net, { n: 4 }) };
}

const image = ({ x, labels }: Batch, n: number): Batch => ({
  x: tf.slice(x, [n, 0, 0, 0], [1, ...(x.shape.slice(1) as [number, number, number])]),
  labels: labels.slice(n, n + 1),
});

/** Errors of all entries in units of the expected standard error; entries without spread must be exact. */
function standardised(got: Numbers, expected: Numbers, error: Numbers): number[] {
  return Object.keys(expected).flatMap((name) =>
    Array.from(expected[name]!, (value, j) => {
      const difference = Math.abs(got[name]![j]! - value);
      return difference < 1e-12 ? 0 : difference / error[name]![j]!;
    }),
  );
}

const rms = (values: readonly number[]): number => Math.sqrt(values.reduce((s, z) => s + z * z, 0) / values.length);

describe("gnDiagMonteCarlo", () => {
  const { model, data } = small();
  const rows = jacobian({ model, x: data.x });
  const diagonal = gnDiagonal(rows);
  /** sqrt of (2 / S) sum_n [(sum_c J^2)^2 - sum_c J^4] (2 / (N C))^2 */
  const errors = (draws: number): Record<string, Float64Array> =>
    Object.fromEntries(
      Object.entries(rows).map(([name, block]) => [
        name,
        block[0]!.map((_, j) => {
          let variance = 0;
          for (let n = 0; n < 4; n++) {
            const squares = block.slice(3 * n, 3 * n + 3).map((row) => row[j]! ** 2);
            variance += squares.reduce((a, b) => a + b) ** 2 - squares.reduce((a, b) => a + b * b, 0);
          }
          return scale(rows) * Math.sqrt((2 / draws) * variance);
        }),
      ]),
    );

  test("the mean is that of gnDiag's random signs, whatever the budget", () => {
    const options = { draws: 3, seed: 4 } as const;
    const expected = curvature.gnDiag(model, data, { ...options, method: "rademacher" });
    for (const memoryBytes of [1, 1e9])
      expect(curvature.gnDiagMonteCarlo(model, data, { ...options, memoryBytes }).diagonal).toBeNearTree(
        expected,
        exact,
      );
  });

  test("200 draws: within 3 standard errors of the closed form; standard errors as the closed form has them", () => {
    const draws = 200;
    const got = curvature.gnDiagMonteCarlo(model, data, { draws, seed: 2 });
    const z = standardised(tree.toHost(got.diagonal), diagonal, errors(draws));
    expect(Math.max(...z)).toBeLessThan(3);
    expect(rms(z)).toBeGreaterThan(0.2);
    // the spread of 200 draws gives a standard error to about 5 %
    expect(got.standardError).toBeNearTree(errors(draws), { rtol: 0.2 });
  });

  test("one output: every draw is the exact diagonal, and the standard error 0", () => {
    const { weight, bias } = model.head!;
    const head = { weight: tf.slice(weight, [0, 0], [-1, 1]), bias: tf.slice(bias, [0], [1]) };
    const one = { ...data, labels: Int32Array.of(0, 0, 0, 0) };
    const got = curvature.gnDiagMonteCarlo({ ...model, head }, one, { draws: 2 });
    expect(got.diagonal).toBeNearTree(curvature.gnDiag({ ...model, head }, one), exact);
    for (const error of Object.values(got.standardError))
      expect(error.dataSync().every((value) => value === 0)).toBe(true);
  });

  test("under cross-entropy the mean over all sign patterns of one image is the exact diagonal", () => {
    const one = image(data, 0);
    const loss = curvature.crossEntropyMeanOverN({ temperature: 1.3 });
    const patterns = new Map<string, number>();
    for (let seed = 0; patterns.size < 8; seed++) {
      const numbers = backend.stream(seed, "probes");
      patterns.set([numbers.sign(), numbers.sign(), numbers.sign()].join(), seed);
    }
    const mean = tree.mapTree(nets.prunableWeights(model), (_, name) =>
      tf.div(
        tf.addN(
          [...patterns.values()].map(
            (seed) => curvature.gnDiag(model, one, { loss, method: "rademacher", seed })[name]!,
          ),
        ),
        8,
      ),
    );
    expect(mean).toBeNearTree(curvature.gnDiag(model, one, { loss }), exact);
  });
});

describe("hessianDiag", () => {
  test("of a ReLU net is gnDiag, with standard error 0, and that is the Hessian's", () => {
    const model = tinyModel(reluResidual());
    const data = tinyBatch(model.net);
    const { diagonal, standardError } = curvature.hessianDiag(model, data);
    expect(diagonal).toBeNearTree(curvature.gnDiag(model, data), { rtol: 0 });
    const keys = ["0.conv2.weight", "fc.weight"];
    const some = tree.pickTree(diagonal, keys);
    expect(some).toBeNearTree(hessianDiagonal(model, data, {}, keys), exact);
    for (const error of Object.values(standardError)) expect(error.dataSync().every((value) => value === 0)).toBe(true);
  });

  describe.each([undefined, curvature.crossEntropyMeanOverN({ temperature: 0.7 })])("loss %#", (loss) => {
    const { model, data } = small();
    const expected = hessianDiagonal(model, data, { loss });
    /**
     * sqrt of (1 / S) sum_n sum_(k != j) R_n,jk^2, R_n one image's part of the mean over all. The convolution has 12 positions and 4
     * inputs, so that its weight moves along signs: k runs over the whole layer. The linear layer has one position, which moves along
     * signs of the outputs: k runs over the weights of the same input.
     */
    const errors = (draws: number): Record<string, Float64Array> =>
      Object.fromEntries(
        model.net.prunable.map((name) => {
          const { size, shape } = model.params[name]!;
          const out = shape[shape.length - 1]!;
          const together = (j: number, k: number): boolean =>
            name === "conv.weight" || Math.floor(j / out) === Math.floor(k / out);
          const variance = new Float64Array(size);
          for (let n = 0; n < 4; n++)
            residualBlock(model, image(data, n), name, { loss }).forEach((row, j) => {
              variance[j]! += row.reduce((s, r, k) => (k !== j && together(j, k) ? s + (r / 4) ** 2 : s), 0);
            });
          return [name, variance.map((value) => Math.sqrt(value / draws))];
        }),
      );

    test("200 draws: within 3 standard errors of the exact diagonal; standard errors as the closed form has them", () => {
      const draws = 200;
      const got = curvature.hessianDiag(model, data, { draws, seed: 3, loss });
      const z = standardised(tree.toHost(got.diagonal), expected, errors(draws));
      expect(Math.max(...z)).toBeLessThan(3);
      expect(rms(z)).toBeGreaterThan(0.2);
      expect(got.standardError).toBeNearTree(errors(draws), { rtol: 0.2 });
      const distance = (t: Numbers): number =>
        Math.sqrt(
          model.net.prunable.reduce(
            (s, name) => expected[name]!.reduce((a, h, j) => a + (t[name]![j]! - h) ** 2, s),
            0,
          ),
        );
      const gn = tree.toHost(curvature.gnDiag(model, data, { loss }));
      expect(distance(tree.toHost(got.diagonal)) / distance(gn)).toBeLessThan(0.3);
    });

    test("the budget does not change the draws", () => {
      const options = { draws: 3, seed: 5, loss } as const;
      const whole = curvature.hessianDiag(model, data, options);
      expect(curvature.hessianDiag(model, data, { ...options, memoryBytes: 1 }).diagonal).toBeNearTree(
        whole.diagonal,
        exact,
      );
    });
  });

  describe("of the tiny ViT", () => {
    const model = tinyModel(tinyViT());
    const data = tinyBatch(model.net);
    // more inputs than positions, and more than one: outputs move along signs of positions and outputs
    const keys = ["patch_embed.proj.weight", "blocks.0.mlp.fc2.weight"];
    const truth = hessianDiagonal(model, data, {}, keys);
    const estimate = curvature.hessianDiag(model, data, { draws: 24, seed: 1 });
    const [got, error] = [tree.toHost(estimate.diagonal), tree.toHost(estimate.standardError)];

    test("errors have the size that is told", () => {
      const z = rms(standardised(got, truth, error));
      // Student's t with 23 degrees of freedom has a standard deviation of 1.05
      expect(z).toBeGreaterThan(0.6);
      expect(z).toBeLessThan(1.5);
    });

    test("negative entries: many; of the others few are said to be beyond chance", () => {
      const all = keys.flatMap((name) =>
        Array.from(truth[name]!, (h, j) => ({ h, certain: got[name]![j]! < -2 * error[name]![j]! })),
      );
      const negative = all.filter(({ h }) => h < 0);
      const others = all.filter(({ h }) => h >= 0);
      expect(negative.length / all.length).toBeGreaterThan(0.1);
      expect(negative.filter(({ certain }) => certain).length).toBeGreaterThan(0);
      expect(others.filter(({ certain }) => certain).length / others.length).toBeLessThan(0.05);
    });
  });

  test("leaves nothing behind, also when it fails", () => {
    const model = tinyModel(tinyViT());
    const data = tinyBatch(model.net);
    owned(() => curvature.hessianDiag(model, data, { draws: 2, memoryBytes: 1 }) as never);
    owned(() => curvature.gnDiagMonteCarlo(model, data, { draws: 2, memoryBytes: 1 }) as never);
    const before = tf.memory().numTensors;
    for (const f of [curvature.hessianDiag, curvature.gnDiagMonteCarlo])
      for (const draws of [1, 2.5])
        expect(() => f(model, data, { draws })).toThrow(`draws must be an integer of at least 2`);
    expect(() => curvature.hessianDiag(model, { ...data, labels: Int32Array.of(1) })).toThrow(/got 1 for 3/);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe("negativeShare", () => {
  test("counts entries below 0, and those more than two standard errors below", () => {
    const share = curvature.negativeShare({
      diagonal: { a: tf.tensor1d([-3, -1, 0, 2]), b: tf.tensor1d([1, -1]) },
      standardError: { a: tf.tensor1d([1, 1, 1, 1]), b: tf.tensor1d([0, 0]) },
    });
    expect(share).toEqual({ a: { negative: 0.5, certain: 0.25 }, b: { negative: 0.5, certain: 0.5 } });
  });

  test("a layer without its standard error is named", () => {
    expect(() => curvature.negativeShare({ diagonal: { a: tf.tensor1d([1]) }, standardError: {} })).toThrow(
      "negativeShare: standardError has no 'a'",
    );
  });

  test("a Gauss-Newton diagonal has no negative entry", () => {
    const { model, data } = small();
    for (const share of Object.values(curvature.negativeShare(curvature.gnDiagMonteCarlo(model, data, { draws: 2 }))))
      expect(share).toEqual({ negative: 0, certain: 0 });
  });
});
