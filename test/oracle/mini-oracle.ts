/** One linear layer worked out by hand: the Taylor series is exact, every score is a fraction. */
import { type Batch, backend, curvature, type Model, nets, type Scorer, scores, type Tree } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";

const { tf } = backend;

// f = X W, no bias, identity head; N = 3 images of two pixels, C = 2 outputs:
//   X = [[1, 2], [0, 1], [3, -1]]   W = [[1, -2], [1/2, 1]]
// L = 1 / (N C) sum (f - Y)^2 = 1/6 sum (f - Y)^2, so every column of W has the Hessian
//   H = 2 / (N C) X^T X = 1/3 [[10, -1], [-1, 6]] = [[10/3, -1/3], [-1/3, 2]],   det H = 59/9.
const X = [1, 2, 0, 1, 3, -1];
const W = [1, -2, 0.5, 1];

export function linearModel(w: readonly number[]): { model: Model; data: Batch } {
  const b = new nets.NetBuilder();
  b.linear("fc", b.flatten("flat", "x"), 2, 2, false);
  const params = { "fc.weight": tf.tensor2d([...w], [2, 2]) };
  const head = { weight: tf.tensor2d([1, 0, 0, 1], [2, 2]), bias: tf.tensor1d([0, 0]) };
  const data = { x: tf.tensor4d(X, [3, 1, 2, 1]), labels: Int32Array.of(0, 1, 0) };
  return { model: { net: b.build("mini", [1, 2, 1], 2), params, head }, data };
}

/**
 * Targets that are not one-hot, Y = [[1, 0], [0, 1], [2, -5]]: the images carry T = Y - onehot as two more pixels, which a layer that
 * is not prunable takes off the outputs: f - onehot = X W - T - onehot = X W - Y. Losses and gradients are those of Y.
 */
export function withTargets(): { model: Model; data: Batch; step: (d: readonly number[]) => Tree } {
  const labels = Int32Array.of(0, 1, 0);
  const targets = [1, 0, 0, 1, 2, -5];
  const extra = targets.map((y, i) => y - Number(labels[Math.floor(i / 2)] === i % 2));
  const images = [0, 1, 2].flatMap((n) => [...X.slice(2 * n, 2 * n + 2), ...extra.slice(2 * n, 2 * n + 2)]);
  const b = new nets.NetBuilder();
  const pixels = b.flatten("flat", "x");
  const outputs = b.linear("fc", b.linear("pick", pixels, 4, 2, false), 2, 2, false);
  b.add("sum", outputs, b.linear("targets", pixels, 4, 2, false));
  const params = {
    "pick.weight": tf.tensor2d([1, 0, 0, 1, 0, 0, 0, 0], [4, 2]),
    "targets.weight": tf.tensor2d([0, 0, 0, 0, -1, 0, 0, -1], [4, 2]),
    "fc.weight": tf.tensor2d([...W], [2, 2]),
  };
  const head = { weight: tf.tensor2d([1, 0, 0, 1], [2, 2]), bias: tf.tensor1d([0, 0]) };
  return {
    model: { net: { ...b.build("mini-targets", [2, 2, 1], 2), prunable: ["fc.weight"] }, params, head },
    data: { x: tf.tensor4d(images, [3, 2, 2, 1]), labels },
    step: (d) => ({ "fc.weight": tf.tensor2d([...d], [2, 2]) }),
  };
}

/** @param rtol of the backend; @param tiny a damping that does not show at rtol */
export function miniOracle({ rtol, tiny }: { rtol: number; tiny: number }): void {
  const { model, data } = linearModel(W);
  const scored = (scorer: Scorer, on: Model = model): number[] => {
    const tree = scorer.score(on, data);
    expect(Object.keys(tree)).toEqual(["fc.weight"]);
    expect(tree["fc.weight"]!.shape).toEqual([2, 2]);
    return Array.from(tree["fc.weight"]!.dataSync());
  };
  const near = (got: readonly number[], expected: readonly number[]): void => {
    expect({ got }).toBeNearTree({ got: expected }, { rtol });
  };

  describe("scores of the worked linear layer", () => {
    test("magnitude: W^2", () => {
      near(scored(scores.magnitude()), [1, 4, 1 / 4, 1]);
    });

    test("diagonal: W^2 H_jj, twice the loss change of removing one weight", () => {
      near(scored(scores.diagonal()), [10 / 3, 40 / 3, 1 / 2, 2]);
    });

    test("blockQuadratic: W (H W)", () => {
      // H W = [[19/6, -7], [2/3, 8/3]]
      near(scored(scores.blockQuadratic()), [19 / 6, 14, 1 / 3, 8 / 3]);
      near(scored(scores.blockQuadratic({ ranking: "signed" })), [19 / 6, 14, 1 / 3, 8 / 3]);
    });

    test("blockQuadratic of a weight that its neighbour outweighs is negative, unless sizes are asked for", () => {
      // column (1/20, 1): H w = (-1/6, 119/60), shares (-1/120, 119/60); column (1, 0): (10/3, -1/3), shares (10/3, 0)
      const { model: other } = linearModel([1 / 20, 1, 1, 0]);
      near(scored(scores.blockQuadratic({ ranking: "signed" }), other), [-1 / 120, 10 / 3, 119 / 60, 0]);
      near(scored(scores.blockQuadratic({ ranking: "absolute" }), other), [1 / 120, 10 / 3, 119 / 60, 0]);
    });

    test("blockObs without damping: W^2 / (2 [H^-1]_jj), [H^-1]_jj = 18/59 and 30/59", () => {
      near(scored(scores.blockObs({ damping: tiny })), [59 / 36, 59 / 9, 59 / 240, 59 / 60]);
    });

    test("blockObs with damping 0.01: lambda = 0.01 x 8/3, the mean of the diagonal", () => {
      const lambda = 0.01 * (8 / 3);
      const [a, b] = [10 / 3 + lambda, 2 + lambda];
      const determinant = a * b - 1 / 9;
      const [first, second] = [determinant / (2 * b), determinant / (2 * a)];
      near(scored(scores.blockObs()), [first, 4 * first, second / 4, second]);
    });

    test("blockObs in blocks of one: W^2 (H_jj + lambda) / 2", () => {
      const lambda = 0.01 * (8 / 3);
      const [a, b] = [10 / 3 + lambda, 2 + lambda];
      near(scored(scores.blockObs({ chunk: 1 })), [a / 2, 2 * a, b / 8, b / 2]);
    });

    test("blockObs leaves removed weights out: the other weight of the column stands alone", () => {
      const { model: pruned } = linearModel([0, -2, 0.5, 1]);
      near(scored(scores.blockObs({ damping: tiny }), pruned), [0, 59 / 9, 0.25, 59 / 60]);
    });

    test("pathExclusion: every path has one weight, all features see the same images: W^2", () => {
      near(scored(scores.pathExclusion()), [1, 4, 1 / 4, 1]);
    });
  });

  describe("loss of the worked linear layer", () => {
    const { model: full, data: targeted, step } = withTargets();

    test("L = 11/12, gradient [[5/6, -2], [2/3, 2/3]]", () => {
      const { loss, gradient } = curvature.lossGradient(full, targeted);
      near([loss, curvature.lossMeanOverNC(full, targeted)], [11 / 12, 11 / 12]);
      near(Array.from(gradient["fc.weight"]!.dataSync()), [5 / 6, -2, 2 / 3, 2 / 3]);
    });

    test.each([
      [0, -5 / 6, 5 / 3, 5 / 6],
      [1, -4, 20 / 3, 8 / 3],
      [2, -1 / 3, 1 / 4, -1 / 12],
      [3, -2 / 3, 1, 1 / 3],
    ])("removing weight %d: first order %d, second order %d, exactly %d", (j, first, second, exactly) => {
      const change = curvature.lossChange(full, targeted, step(W.map((w, k) => (k === j ? -w : 0))));
      near([change.firstOrder, change.diagonal, change.gaussNewton, change.measured], [first, second, second, exactly]);
    });

    test("removing all four: 17/4 = -35/6 + 121/12, the diagonal says 115/12", () => {
      const change = curvature.lossChange(full, targeted, step(W.map((w) => -w)));
      near(
        [change.firstOrder, change.diagonal, change.gaussNewton, change.measured],
        [-35 / 6, 115 / 12, 121 / 12, 17 / 4],
      );
    });

    test("half the sum of the block scores is that second order", () => {
      near([scored(scores.blockQuadratic({ ranking: "signed" })).reduce((a, b) => a + b) / 2], [121 / 12]);
    });
  });
}
