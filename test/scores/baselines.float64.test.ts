/** Published baselines: closed forms on the worked linear layer, and the facts that tell a wrong sign, sum or schedule. */
import { type Batch, backend, curvature, type Model, masks, nets, prune, type Scorer, scores, tree } from "secateur";
import { describe, expect, test } from "vitest";
import { linearModel, withTargets } from "../oracle/mini-oracle";
import "../support/close-tree";
import { entrySlope } from "../oracle/differences";
import { reluResidual, tinyBatch, tinyModel, tinyViT } from "../support/tiny-nets";

const { tf, stream } = backend;
const exact = { rtol: 1e-11 };
const vit = tinyModel(tinyViT());
const relu = tinyModel(reluResidual());

/** Scores of the worked layer: X = [[1, 2], [0, 1], [3, -1]], W = [[1, -2], [1/2, 1]], Y = [[1, 0], [0, 1], [2, -5]]. */
const worked = (scorer: Scorer): number[] => {
  const { model, data } = withTargets();
  return Array.from(scorer.score(model, data)["fc.weight"]!.dataSync());
};
const near = (got: readonly number[], expected: readonly number[]): void => {
  expect({ got }).toBeNearTree({ got: expected }, exact);
};

const host = (scorer: Scorer, model: Model, data: Batch) => tree.toHost(scorer.score(model, data));
const total = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);
const one = ({ x, labels }: Batch, n: number): Batch => ({
  x: tf.slice(x, [n, 0, 0, 0], [1, -1, -1, -1]) as Batch["x"],
  labels: labels.slice(n, n + 1),
});

// g = [[5/6, -2], [2/3, 2/3]], H a column = [[10/3, -1/3], [-1/3, 2]]
describe("snip", () => {
  test("worked: |theta g| = [5/6, 4, 1/3, 2/3], over their sum 35/6", () =>
    near(worked(scores.snip()), [1 / 7, 24 / 35, 2 / 35, 4 / 35]));

  test("shares of all layers together sum to 1", () => {
    const shares = Object.values(host(scores.snip(), vit, tinyBatch(vit.net)));
    expect(shares.reduce((sum, values) => sum + total(values), 0)).toBeCloseTo(1, 12);
    expect(shares.every((values) => values.every((s) => s >= 0))).toBe(true);
  });

  test("sizes of the mean gradient, not the mean of sizes: two images that pull a weight apart leave it nothing", () => {
    // x = 1 for both images, targets around the output: residuals 1/2 and -1/2
    const b = new nets.NetBuilder();
    b.linear("fc", b.flatten("flat", "x"), 1, 2, false);
    const head = { weight: tf.tensor2d([1, 0, 0, 1], [2, 2]), bias: tf.tensor1d([0, 0]) };
    const params = { "fc.weight": tf.tensor2d([0.5, 0.25], [1, 2]) };
    const model = { net: b.build("pulled", [1, 1, 1], 2), params, head };
    const data = { x: tf.ones([2, 1, 1, 1]) as Batch["x"], labels: Int32Array.of(0, 1) };
    near(Array.from(scores.snip().score(model, data)["fc.weight"]!.dataSync()), [0, 1]);
  });
});

describe("taylor", () => {
  test("worked, order 1: (g theta)^2", () => near(worked(scores.taylor()), [25 / 36, 16, 1 / 9, 4 / 9]));

  test("worked, order 2: (g theta - theta (H theta) / 2)^2 = [-3/4, -3, 1/6, -2/3]^2", () =>
    near(worked(scores.taylor({ order: 2 })), [9 / 16, 9, 1 / 36, 4 / 9]));

  test("order 1 ranks as SNIP does", () => {
    const data = tinyBatch(vit.net);
    const order = (scorer: Scorer): number[] => {
      const values = Object.values(host(scorer, vit, data)).flatMap((v) => [...v]);
      return values.map((_, i) => i).sort((i, j) => values[i]! - values[j]! || i - j);
    };
    expect(order(scores.taylor())).toEqual(order(scores.snip()));
  });

  test("another order is refused", () =>
    expect(() => scores.taylor({ order: 3 as never })).toThrow(/order must be 1 or 2, got 3/));
});

describe("obd", () => {
  test("worked: theta^2 H_jj / 2", () => near(worked(scores.obd()), [5 / 3, 20 / 3, 1 / 4, 1]));

  test("worked, first order too: the exact loss change, negative where removal helps", () => {
    near(worked(scores.obd({ firstOrder: true })), [5 / 6, 8 / 3, -1 / 12, 1 / 3]);
    const { model, data, step } = withTargets();
    const removed = model.params["fc.weight"]!.dataSync();
    const measured = [0, 1, 2, 3].map(
      (j) => curvature.lossChange(model, data, step(Array.from(removed, (w, k) => (k === j ? -w : 0)))).measured,
    );
    near(worked(scores.obd({ firstOrder: true })), measured);
  });

  test("is half of `diagonal`", () => {
    const data = tinyBatch(relu.net);
    const half = tree.mapTree(scores.diagonal().score(relu, data), (t) => tf.mul(t, 0.5));
    expect(scores.obd().score(relu, data)).toBeNearTree(half, exact);
  });

  test("first order is exact to second order in one weight of a ReLU net: small weights, measured change", () => {
    // one layer's weight enters piecewise linearly: no third order until a ReLU switches
    const data = tinyBatch(relu.net, { n: 6 });
    const small = nets.withParams(relu, {
      "0.conv1.weight": tf.mul(relu.params["0.conv1.weight"]!, 1e-3),
    });
    const predicted = host(scores.obd({ firstOrder: true }), small, data)["0.conv1.weight"]!;
    const loss = curvature.lossMeanOverNC(small, data);
    const theta = small.params["0.conv1.weight"]!.dataSync();
    const measured = Array.from({ length: 8 }, (_, k) => {
      const j = k * 13;
      const without = theta.slice();
      without[j] = 0;
      const weight = tf.tensor(without, small.params["0.conv1.weight"]!.shape);
      return curvature.lossMeanOverNC(nets.withParams(small, { "0.conv1.weight": weight }), data) - loss;
    });
    // differences of losses of size 1
    expect({ d: measured }).toBeNearTree(
      { d: measured.map((_, k) => predicted[k * 13]!) },
      { rtol: 1e-8, atol: 1e-14 },
    );
  });
});

describe("fisher", () => {
  test("worked: theta^2 F_jj / 2 with F = [[13/12, 12], [3/2, 4/3]]", () =>
    near(worked(scores.fisher()), [13 / 24, 24, 3 / 16, 2 / 3]));

  test("every image counts once: the mean over images of their scores alone, not the last one's", () => {
    const data = tinyBatch(vit.net, { n: 4 });
    const singles = [0, 1, 2, 3].map((n) => host(scores.fisher(), vit, one(data, n)));
    const mean = tree.mapTree(nets.prunableWeights(vit), (w, name) =>
      tf.tensor(
        Float64Array.from(w.dataSync(), (_, j) => total(singles.map((s) => s[name]![j]!)) / 4) as never,
        w.shape,
      ),
    );
    expect(scores.fisher().score(vit, data)).toBeNearTree(mean, exact);
  });

  test("one image alone: half of Taylor's first order", () => {
    const data = one(tinyBatch(vit.net), 0);
    const half = tree.mapTree(scores.taylor().score(vit, data), (t) => tf.mul(t, 0.5));
    expect(scores.fisher().score(vit, data)).toBeNearTree(half, exact);
  });
});

describe("woodFisher", () => {
  test("worked: theta^2 / (2 [F^-1]_jj) by column, F = mean of g_n g_n^T", () => {
    // r = [[1, 0], [1/2, 0], [1/2, -2]], g_n = x_n r_n^T (2 / C = 1):
    // first column g = (1, 2), (0, 1/2), (3/2, -1/2): F = 1/3 [[13/4, 5/4], [5/4, 9/2]]
    // second column g = (0, 0), (0, 0), (-6, 2): F = 1/3 [[36, -12], [-12, 4]]; lambda = 0.1 x the mean of the four diagonals
    const lambda = (0.1 * (13 / 12 + 3 / 2 + 12 + 4 / 3)) / 4;
    const column = (p: number, q: number, r: number): [number, number] => {
      const determinant = (p + lambda) * (r + lambda) - q * q;
      return [determinant / (2 * (r + lambda)), determinant / (2 * (p + lambda))];
    };
    const [[a, c], [b, d]] = [column(13 / 12, 5 / 12, 3 / 2), column(12, -4, 4 / 3)];
    for (const chunk of [2, 32]) near(worked(scores.woodFisher({ chunk, damping: 0.1 })), [a, 4 * b, c / 4, d]);
  });

  test("blocks of one weight: Fisher pruning with lambda added to the diagonal", () => {
    const data = tinyBatch(relu.net, { n: 4 });
    const [got, alone] = [host(scores.woodFisher({ chunk: 1 }), relu, data), host(scores.fisher(), relu, data)];
    const theta = tree.toHost(nets.prunableWeights(relu));
    const diagonal = relu.net.prunable.flatMap((name) =>
      Array.from(alone[name]!, (s, j) => (2 * s) / theta[name]![j]! ** 2),
    );
    const lambda = 0.01 * (total(diagonal) / diagonal.length);
    const expected = Object.fromEntries(
      relu.net.prunable.map((name) => [name, alone[name]!.map((s, j) => s + (lambda * theta[name]![j]! ** 2) / 2)]),
    );
    expect(got).toBeNearTree(expected, { rtol: 1e-9 });
  });
});

describe("grasp", () => {
  test("worked: theta (H g) = [23/9, 124/9, 19/36, 2]", () =>
    near(worked(scores.grasp()), [23 / 9, 124 / 9, 19 / 36, 2]));

  test.each([
    { name: "ReLU net", model: relu },
    { name: "ViT", model: vit },
  ])("the sign: taking weight j away by a share t changes |g|^2 at the rate -2 score: $name", ({ model }) => {
    const data = tinyBatch(model.net, { n: 4 });
    const flow = (params: Model["params"]) =>
      tf.tidy(() => {
        const { gradient } = curvature.lossGradient({ ...model, params }, data);
        return tf.addN(Object.values(gradient).map((g) => tf.sum(tf.square(g))));
      });
    const score = host(scores.grasp(), model, data);
    const names = [model.net.prunable[0]!, model.net.prunable[3]!, model.net.prunable.at(-1)!];
    for (const name of names)
      for (const j of [0, 5]) {
        const theta = model.params[name]!.dataSync()[j]!;
        const slope = entrySlope(model.params, name, j, flow)[0]!;
        const largest = Math.max(...Array.from(score[name]!, Math.abs));
        expect(Math.abs(score[name]![j]! - (theta * slope) / 2), `${name}[${j}]`).toBeLessThan(1e-7 * largest);
      }
  });

  test("what it keeps has more gradient flow than what the opposite sign keeps", async () => {
    const data = tinyBatch(relu.net, { n: 6 });
    const opposite: Scorer = {
      ...scores.grasp(),
      score: (model, batch) => tree.mapTree(scores.grasp().score(model, batch), (t) => tf.neg(t)),
    };
    const [kept, reversed] = await Promise.all(
      [scores.grasp(), opposite].map(async (scorer) => {
        const [point] = await prune.prune(relu, scorer, data, { grid: [0.97], rounds: 1 });
        const { gradient } = curvature.lossGradient(
          nets.withParams(relu, masks.maskedWeights(relu, point!.mask)),
          data,
        );
        return tree.dotTree(gradient, gradient);
      }),
    );
    expect(kept).toBeGreaterThan(reversed!);
  });
});

describe("hutchinson", () => {
  test("worked: z (H z) = H_jj +- 1/3 by the signs of a column's two weights, times theta^2", () => {
    const seen = Array.from({ length: 12 }, (_, seed) => worked(scores.hutchinson({ seed })));
    for (const [a, b, c, d] of seen as [number, number, number, number][]) {
      // first column: weights 0 and 2, second: 1 and 3
      const [first, second] = [a! - 10 / 3, b! / 4 - 10 / 3];
      near([Math.abs(first), Math.abs(second)], [1 / 3, 1 / 3]);
      near([c! * 4 - 2, d! - 2], [first, second]);
    }
    expect(new Set(seen.map(([a]) => a!.toFixed(6))).size).toBe(2);
  });

  test("draws are averaged: 400 come to the diagonal within 4 standard errors", () => {
    const [a, b] = worked(scores.hutchinson({ draws: 400 }));
    // sd 1/3 a draw: 4 standard errors
    expect(Math.abs(a! - 10 / 3)).toBeLessThan((4 / 3) * Math.sqrt(1 / 400));
    expect(Math.abs(b! / 4 - 10 / 3)).toBeLessThan((4 / 3) * Math.sqrt(1 / 400));
  });

  test("signed or by size", () => {
    const data = tinyBatch(vit.net);
    const [signed, size] = (["signed", "absolute"] as const).map((ranking) =>
      host(scores.hutchinson({ ranking }), vit, data),
    );
    for (const name of vit.net.prunable) expect(size![name]).toEqual(signed![name]!.map(Math.abs));
    expect(Object.values(signed!).some((values) => values.some((v) => v < 0))).toBe(true);
    expect(() => scores.hutchinson({ ranking: "both" as never })).toThrow(/ranking must be 'signed' or 'absolute'/);
    expect(() => scores.hutchinson({ draws: 0 })).toThrow(/draws must be a whole number >= 1, got 0/);
  });
});

describe("synflow", () => {
  const none: Batch = { x: tf.zeros([1, 1, 1, 1]), labels: Int32Array.of(0) };

  test("two layers by hand: |W1| = [[1, 2], [1/2, 1]], |W2| = [3, 1], R = 15/2", () => {
    const b = new nets.NetBuilder();
    b.linear("fc2", b.relu("relu", b.linear("fc1", b.flatten("flat", "x"), 2, 2)), 2, 1);
    const model: Model = {
      net: b.build("two", [1, 2, 1], 1),
      params: {
        "fc1.weight": tf.tensor2d([1, -2, 0.5, 1], [2, 2]),
        "fc1.bias": tf.tensor1d([5, -7]),
        "fc2.weight": tf.tensor2d([3, -1], [2, 1]),
        "fc2.bias": tf.tensor1d([100]),
      },
    };
    const score = host(scores.synflow(), model, none);
    const r = total(score["fc2.weight"]!);
    near(
      Array.from(score["fc1.weight"]!, (s) => (7.5 * s) / r),
      [3, 2, 3 / 2, 1],
    );
    near(
      Array.from(score["fc2.weight"]!, (s) => (7.5 * s) / r),
      [9 / 2, 3],
    );
  });

  /** No max pool: the features are linear in every single weight. */
  function residual(): Model {
    const b = new nets.NetBuilder();
    const stem = b.relu("relu", b.batchNorm("bn1", b.conv2d("conv1", "x", 2, 3, 3, 2, true), 3));
    const main = b.batchNorm("bn2", b.conv2d("conv2", stem, 3, 4, 3, 2), 4);
    const joined = b.relu("out", b.add("add", main, b.conv2d("down", stem, 3, 4, 1, 2)));
    const again = b.add("add2", joined, b.batchNorm("bn3", b.conv2d("conv3", joined, 4, 4, 3, 1), 4));
    b.linear("fc", b.globalAvgPool("gap", again), 4, 3);
    return tinyModel(b.build("residual", [7, 6, 2], 3));
  }

  test("norms are a positive factor, shifts and biases 0: score_j = R - R without weight j, on a residual net", () => {
    const model = residual();
    const positive: Record<string, ReturnType<typeof tf.abs>> = {};
    for (const [key, tensor] of Object.entries(model.params)) {
      const { role } = model.net.params[key]!;
      const kept = role === "normScale" || role === "normVariance" || /Weight$/.test(role);
      positive[key] = kept ? tf.abs(tensor) : tf.zerosLike(tensor);
    }
    const ones = tf.ones([1, ...model.net.input]);
    const r = (params: Model["params"]): number =>
      tf.sum(curvature.predict({ net: model.net, params }, ones)).dataSync()[0]!;
    const whole = r(positive);
    const expected = tree.mapTree(nets.prunableWeights(model), (weight, name) => {
      const values = positive[name]!.dataSync();
      const drops = Float64Array.from(values, (_, j) => {
        const without = values.slice();
        without[j] = 0;
        return whole - r({ ...positive, [name]: tf.tensor(without, weight.shape) });
      });
      return tf.tensor(drops as never, weight.shape);
    });
    const score = scores.synflow().score(model, none);
    const factor = whole / total(score["conv1.weight"]!.dataSync());
    // differences of R
    expect(tree.mapTree(score, (s) => tf.mul(s, factor))).toBeNearTree(expected, { rtol: 1e-10 });
  });

  test("what flows into a unit flows out of it", () => {
    const { net, params } = residual();
    const score = host(scores.synflow(), { net, params }, none);
    const into = (unit: number): number => total(score["conv1.weight"]!.filter((_, i) => i % 3 === unit));
    const outOf = (name: string, unit: number): number =>
      total(score[name]!.filter((_, i) => Math.floor(i / 4) % 3 === unit));
    for (const unit of [0, 1, 2])
      expect(outOf("conv2.weight", unit) + outOf("down.weight", unit), `unit ${unit}`).toBeCloseTo(into(unit), 10);
    expect(total(score["conv2.weight"]!) + total(score["down.weight"]!)).toBeCloseTo(total(score["conv1.weight"]!), 10);
    expect(total(score["fc.weight"]!)).toBeCloseTo(total(score["conv1.weight"]!), 10);
  });

  test("the head and signs of weights do not count", () => {
    const model = residual();
    const bare = { net: model.net, params: tree.mapTree(model.params, (t, key) => (/norm/.test(key) ? t : tf.abs(t))) };
    expect(scores.synflow().score(bare, none)).toBeNearTree(scores.synflow().score(model, none), exact);
  });

  test("60 layers of gain 4 million do not overflow", () => {
    const b = new nets.NetBuilder();
    let last = b.flatten("flat", "x");
    for (let i = 0; i < 60; i++) last = b.linear(`fc${i}`, last, 4, 4);
    const net = b.build("deep", [1, 4, 1], 4);
    const params = tree.mapTree(tinyModel(net).params, (t) => tf.mul(t, 1e6));
    const sums = Object.values(host(scores.synflow(), { net, params }, none)).map(total);
    expect(sums[0]).toBeGreaterThan(0);
    near(sums, Array(60).fill(sums[0]));
  });

  test("100 rounds: round r sees what keep^((r - 1) / 100) left, not what a schedule of removed shares would", async () => {
    const model = residual();
    const p = nets.prunableCount(model.net);
    const seen: number[] = [];
    const watched: Scorer = {
      ...scores.synflow(),
      score(asked, data) {
        seen.push(
          Object.values(nets.prunableWeights(asked)).reduce(
            (n, w) => n + w.dataSync().filter((v) => v !== 0).length,
            0,
          ),
        );
        return scores.synflow().score(asked, data);
      },
    };
    const [last] = await prune.prune(model, watched, none, { grid: [0.05], rounds: 100 });
    expect(seen).toEqual(Array.from({ length: 100 }, (_, r) => Math.round(p * 0.05 ** (r / 100))));
    expect(masks.maskReport(model.net, last!.mask).kept).toBe(Math.round(0.05 * p));
    // a schedule of removed shares would stand at 1 - 0.95^(1/2) = 2.5 % removed halfway
    expect(seen[50]).toBeLessThan(0.25 * p);
  });

  test("in rounds no layer that all paths cross dies; in one shot at the same keep ratio one does", async () => {
    const b = new nets.NetBuilder();
    let last = b.flatten("flat", "x");
    const widths = [2, 40, 3, 3, 40, 2];
    widths.slice(1).forEach((width, i) => {
      last = b.relu(`relu${i}`, b.linear(`fc${i}`, last, widths[i]!, width, false));
    });
    const model = tinyModel(b.build("bottleneck", [1, 2, 1], 2));
    const keep = 12 / nets.prunableCount(model.net);
    const dead = async (rounds: number): Promise<number> => {
      const [point] = await prune.prune(model, scores.synflow(), none, { grid: [keep], rounds });
      return masks.maskReport(model.net, point!.mask).deadLayers.length;
    };
    expect(await dead(100)).toBe(0);
    expect(await dead(1)).toBeGreaterThan(0);
  });

  test("refuses a ViT, naming the node", () =>
    expect(() => scores.synflow().score(vit, tinyBatch(vit.net))).toThrow(
      /synflow: 'tokens' is a tokens; the score is defined for ReLU nets/,
    ));
});

describe("lamp", () => {
  test("worked: squares [1, 4, 1/4, 1] over the sums of those at least as large; of equal ones the first is larger", () => {
    const { model, data } = linearModel([1, -2, 0.5, 1]);
    near(Array.from(scores.lamp().score(model, data)["fc.weight"]!.dataSync()), [1 / 5, 1, 1 / 25, 1 / 6]);
  });

  test("the largest weight of every layer has 1, removed ones 0, the scale of a layer does not count", () => {
    const data = tinyBatch(relu.net);
    const scaled = tree.mapTree(relu.params, (t, key) => (key === "conv1.weight" ? tf.mul(t, 8) : t));
    expect(scores.lamp().score({ ...relu, params: scaled }, data)).toBeNearTree(scores.lamp().score(relu, data), exact);
    for (const values of Object.values(host(scores.lamp(), relu, data))) expect(Math.max(...values)).toBe(1);
    const { model } = linearModel([0, -2, 0, 1]);
    near(Array.from(scores.lamp().score(model, data)["fc.weight"]!.dataSync()), [0, 1, 0, 1 / 5]);
  });
});

describe("layerwise", () => {
  const data = tinyBatch(relu.net);

  test("worked: ranks by magnitude as shares, the first of equal ones higher", () => {
    const { model } = linearModel([1, -2, 0.5, 1]);
    const ranks = scores.layerwise(scores.magnitude()).score(model, data)["fc.weight"]!.dataSync();
    expect(Array.from(ranks)).toEqual([0.75, 1, 0.25, 0.5]);
  });

  test.each([0.7, 0.31, 0.05])(
    "at keep %d every layer keeps its share, to one weight, its highest ones",
    async (keep) => {
      const scorer = scores.layerwise(scores.diagonal());
      expect(scorer.name).toBe("layerwise-diagonal");
      const [point] = await prune.prune(relu, scorer, data, { grid: [keep], rounds: 1 });
      const own = host(scores.diagonal(), relu, data);
      for (const { name, kept, total: size } of masks.maskReport(relu.net, point!.mask).layers) {
        expect(Math.abs(kept - keep * size), name).toBeLessThanOrEqual(1);
        const flags = point!.mask[name]!;
        const lowest = Math.min(...own[name]!.filter((_, j) => flags[j] === 1));
        expect(own[name]!.every((s, j) => flags[j] === 1 || s <= lowest)).toBe(true);
      }
    },
  );

  test("a score that is not finite is named", () => {
    const broken: Scorer = {
      ...scores.magnitude(),
      score: (model) => tree.mapTree(nets.prunableWeights(model), (w) => tf.div(w, 0)),
    };
    expect(() => scores.layerwise(broken).score(relu, data)).toThrow(/score must be finite, got -?Infinity at "conv1/);
  });
});

describe("a Vision Transformer", () => {
  const data = tinyBatch(vit.net, { n: 2 });
  const pruned = nets.withParams(
    vit,
    tree.mapTree(nets.prunableWeights(vit), (w, name) => {
      const numbers = stream(1, "removed", name);
      return tf.tensor(Float64Array.from(w.dataSync(), (v) => (numbers.uniform() < 0.4 ? 0 : v)) as never, w.shape);
    }),
  );

  test.each([
    scores.magnitude(),
    scores.lamp(),
    scores.diagonal(),
    scores.obd({ firstOrder: true }),
    scores.blockQuadratic(),
    scores.blockObs(),
    scores.snip(),
    scores.taylor(),
    scores.taylor({ order: 2 }),
    scores.grasp(),
    scores.fisher(),
    scores.woodFisher(),
    scores.hutchinson(),
    scores.hessianDiagonal({ draws: 2 }),
  ])("$name: removed weights score 0, others do not all", (scorer) => {
    for (const [name, values] of Object.entries(host(scorer, pruned, data))) {
      const theta = pruned.params[name]!.dataSync();
      expect(
        values.every((s, j) => Number.isFinite(s) && (theta[j] !== 0 || s === 0)),
        name,
      ).toBe(true);
      expect(
        values.some((s) => s !== 0),
        name,
      ).toBe(true);
    }
  });
});
