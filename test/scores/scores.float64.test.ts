import {
  type Batch,
  backend,
  curvature,
  type Model,
  type Net,
  nets,
  type Scorer,
  scores,
  type Tree,
  tree,
} from "secateur";
import { describe, expect, test } from "vitest";
import { gnBlock, gnBlockProducts, gnDiagonal, inverse, jacobian } from "../oracle/jacobian";
import { pathScores } from "../oracle/paths";
import "../support/close-tree";
import { owned } from "../support/owned";
import { everyLayer, tinyBatch, tinyModel, tinyNets, tinyViT } from "../support/tiny-nets";

const { tf, stream } = backend;
const exact = { rtol: 1e-11 }; // sums of a few thousand float64 products in another order

/** Every kind of step that a path can take, few enough pixels to list all paths; its features differ by the pattern. */
function pathNet(): Net {
  const b = new nets.NetBuilder();
  const stem = b.relu("relu", b.batchNorm("bn1", b.conv2d("conv1", "x", 1, 2, 3, 1), 2));
  const pooled = b.maxPool("maxpool", stem, 3, 2, 1);
  const main = b.batchNorm("bn2", b.conv2d("conv2", pooled, 2, 3, 3, 2, true), 3);
  const joined = b.relu("out", b.add("add", main, b.conv2d("down", pooled, 2, 3, 1, 2)));
  const mean = b.globalAvgPool("gap", joined);
  b.add("last", mean, b.relu("fc.relu", b.linear("fc", mean, 3, 3)));
  return b.build("paths", [5, 4, 1], 3);
}
/** About 40 % of the prunable weights at zero. */
function prunedModel(model: Model): Model {
  const weights = tree.mapTree(nets.prunableWeights(model), (w, name) => {
    const numbers = stream(1, "removed", name);
    return tf.tensor(Float64Array.from(w.dataSync(), (v) => (numbers.uniform() < 0.4 ? 0 : v)) as never, w.shape);
  });
  return nets.withParams(model, weights);
}

const times = (weights: Tree, values: Record<string, Float64Array>, f: (w: number, v: number) => number) =>
  Object.fromEntries(
    Object.entries(weights).map(([name, w]) => {
      const host = w.dataSync();
      return [name, values[name]!.map((v, j) => f(host[j]!, v))];
    }),
  );

/** theta_j^2 / (2 [(G_BB + lambda)^-1]_jj); blocks are runs of `chunk` inputs of one filter, without the weights that are zero. */
function obsScores(model: Model, data: Batch, chunk: number, damping: number): Record<string, Float64Array> {
  const rows = jacobian({ model, x: data.x });
  const diagonal = Object.values(gnDiagonal(rows)).flatMap((values) => [...values]);
  const lambda = (damping * diagonal.reduce((a, b) => a + b, 0)) / diagonal.length;
  return Object.fromEntries(
    Object.entries(nets.prunableWeights(model)).map(([name, weight]) => {
      const g = gnBlock(rows, name);
      const theta = weight.dataSync();
      const out = weight.shape[weight.shape.length - 1]!;
      const score = new Float64Array(weight.size);
      for (let filter = 0; filter < out; filter++)
        for (let from = 0; from < weight.size / out; from += chunk) {
          const block: number[] = [];
          for (let k = from; k < Math.min(from + chunk, weight.size / out); k++)
            if (theta[k * out + filter] !== 0) block.push(k * out + filter);
          const damped = block.map((a) => Float64Array.from(block, (b) => g[a]![b]! + (a === b ? lambda : 0)));
          inverse(damped).forEach((row, i) => {
            score[block[i]!] = theta[block[i]!]! ** 2 / (2 * row[i]!);
          });
        }
      return [name, score];
    }),
  );
}

describe.each(tinyNets)("$name", ({ make }) => {
  const dense = tinyModel(make());
  const data = tinyBatch(dense.net);

  describe.each([
    { state: "dense", model: dense },
    { state: "pruned", model: prunedModel(dense) },
  ])("$state", ({ model }) => {
    const weights = nets.prunableWeights(model);
    const rows = jacobian({ model, x: data.x });

    test("magnitude is theta^2", () => {
      expect(scores.magnitude().score(model, data)).toBeNearTree(
        tree.mapTree(weights, (w) => tf.square(w)),
        exact,
      );
    });

    test("diagonal is theta^2 times the squared Jacobian", () => {
      const expected = times(weights, gnDiagonal(rows), (w, g) => w * w * g);
      expect(scores.diagonal().score(model, data)).toBeNearTree(expected, exact);
    });

    test("a floor adds its share of the mean over all prunable weights to every entry", () => {
      const all = Object.values(gnDiagonal(rows)).flatMap((g) => [...g]);
      const least = (0.1 * all.reduce((a, b) => a + b, 0)) / all.length;
      const expected = times(weights, gnDiagonal(rows), (w, g) => w * w * (g + least));
      expect(scores.diagonal({ floor: 0.1 }).score(model, data)).toBeNearTree(expected, exact);
    });

    test("blockQuadratic is theta times (G_BB theta), signed or its size", () => {
      const products = gnBlockProducts(rows, weights);
      const signed = scores.blockQuadratic({ ranking: "signed" }).score(model, data);
      expect(signed).toBeNearTree(
        times(weights, products, (w, g) => w * g),
        exact,
      );
      const sizes = times(weights, products, (w, g) => Math.abs(w * g));
      expect(scores.blockQuadratic().score(model, data)).toBeNearTree(sizes, exact);
    });

    test.each([
      { chunk: 4, damping: 0.01 },
      { chunk: 32, damping: 0.1 },
    ])("blockObs is theta^2 / (2 [G_BB^-1]_jj): chunk $chunk, damping $damping", ({ chunk, damping }) => {
      const expected = obsScores(model, data, chunk, damping);
      // inverses of blocks with condition up to 1000
      expect(scores.blockObs({ chunk, damping }).score(model, data)).toBeNearTree(expected, { rtol: 1e-9 });
    });
  });

  test("scores of removed weights are exactly 0, those of kept ones are not all", () => {
    const model = prunedModel(dense);
    for (const scorer of [scores.magnitude(), scores.diagonal(), scores.blockQuadratic(), scores.blockObs()])
      for (const [name, score] of Object.entries(tree.toHost(scorer.score(model, data)))) {
        const theta = model.params[name]!.dataSync();
        expect(
          score.filter((_, j) => theta[j] === 0).every((s) => s === 0),
          `${scorer.name} ${name}`,
        ).toBe(true);
        expect(
          score.some((s) => s > 0),
          `${scorer.name} ${name}`,
        ).toBe(true);
      }
  });
});

describe("pathExclusion", () => {
  const model = tinyModel(pathNet());
  const data = tinyBatch(model.net);

  test("equals the sum over all paths, listed one at a time", () => {
    expect(scores.pathExclusion().score(model, data)).toBeNearTree(pathScores(model, data), exact);
  });

  test("equals it for the pruned net too, and removed weights score 0", () => {
    const pruned = prunedModel(model);
    const got = scores.pathExclusion().score(pruned, data);
    expect(got).toBeNearTree(pathScores(pruned, data), exact);
    for (const [name, score] of Object.entries(tree.toHost(got)))
      expect(
        score.every((s, j) => s === 0 || pruned.params[name]!.dataSync()[j] !== 0),
        name,
      ).toBe(true);
  });

  test("does not look at the signs of weights beyond the pattern: every score is >= 0", () => {
    for (const score of Object.values(tree.toHost(scores.pathExclusion().score(model, data))))
      expect(score.every((s) => s >= 0)).toBe(true);
  });

  test("the sums over a layer agree where every path crosses the layer", () => {
    const sum = (name: string) => tf.sum(scores.pathExclusion().score(model, data)[name]!).dataSync()[0]!;
    expect((sum("conv2.weight") + sum("down.weight")) / sum("conv1.weight")).toBeCloseTo(1, 11);
    expect(sum("fc.weight") / sum("conv1.weight")).toBeLessThan(0.99); // half of the paths go around it
  });

  test("refuses GELU nets, naming the node", () => {
    const gelu = tinyModel(everyLayer());
    expect(() => scores.pathExclusion().score(gelu, tinyBatch(gelu.net))).toThrow(/'act1' is a gelu/);
  });
});

describe("hessianDiagonal", () => {
  const relu = tinyModel(pathNet());
  const vit = tinyModel(tinyViT());
  const data = tinyBatch(vit.net, { n: 4 });
  const host = (scorer: Scorer) => tree.toHost(scorer.score(vit, data));

  test("on a ReLU net it is `diagonal`, whatever the draws", () => {
    const images = tinyBatch(relu.net);
    const expected = scores.diagonal().score(relu, images);
    for (const seed of [0, 1])
      expect(scores.hessianDiagonal({ draws: 2, seed }).score(relu, images)).toBeNearTree(expected, exact);
  });

  test("on a ViT it is theta^2 times the estimated Hessian diagonal, negative for some weights and other than `diagonal`", () => {
    const options = { draws: 3, seed: 5 };
    const { diagonal } = curvature.hessianDiag(vit, data, options);
    const expected = tree.zipTree(nets.prunableWeights(vit), diagonal, (w, h) => tf.mul(tf.square(w), h));
    const signed = host(scores.hessianDiagonal(options));
    expect(signed).toBeNearTree(expected, { rtol: 0 });
    expect(Object.values(signed).some((values) => values.some((v) => v < 0))).toBe(true);
    const sizes = host(scores.hessianDiagonal({ ...options, ranking: "absolute" }));
    for (const name of vit.net.prunable) expect(sizes[name]).toEqual(signed[name]!.map(Math.abs));
  });

  test("another ranking is refused", () =>
    expect(() => scores.hessianDiagonal({ ranking: "both" as never })).toThrow(/'signed' or 'absolute', got 'both'/));
});

describe("every scorer", () => {
  const model = tinyModel(pathNet());
  const data = tinyBatch(model.net);
  const other = tinyBatch(model.net, { seed: 77 });
  const { crossEntropyMeanOverN } = curvature;
  const unlabelled: Scorer[] = [
    scores.magnitude(),
    scores.layerwise(scores.magnitude()),
    scores.lamp(),
    scores.synflow(),
    scores.diagonal(),
    scores.diagonal({ method: "rademacher", draws: 2, seed: 3 }),
    scores.diagonal({ loss: crossEntropyMeanOverN() }),
    scores.diagonal({ floor: 0.1 }),
    scores.layerwise(scores.diagonal()),
    scores.obd(),
    scores.hessianDiagonal(), // exact on this net
    scores.blockQuadratic(),
    scores.blockQuadratic({ ranking: "signed", loss: crossEntropyMeanOverN({ temperature: 2 }) }),
    scores.blockObs(),
    scores.blockObs({ chunk: 16, damping: 0.1 }),
    scores.blockObs({ loss: crossEntropyMeanOverN() }),
    scores.pathExclusion(),
    scores.random(),
    scores.random({ seed: 1 }),
  ];
  const labelled: Scorer[] = [
    scores.snip(),
    scores.snip({ loss: crossEntropyMeanOverN({ temperature: 200 }) }),
    scores.taylor(),
    scores.taylor({ order: 2 }),
    scores.grasp(),
    scores.grasp({ loss: crossEntropyMeanOverN({ temperature: 200 }) }),
    scores.fisher(),
    scores.woodFisher(),
    scores.obd({ firstOrder: true }),
    scores.hutchinson(),
    scores.hutchinson({ draws: 2, seed: 1, ranking: "absolute" }),
  ];
  const all = [...unlabelled, ...labelled];

  test.each(all)("$name leaves nothing behind, and its tree is shaped like the prunable weights", (scorer) => {
    const result = owned(() => scorer.score(model, data) as never) as Tree;
    expect(Object.keys(result)).toEqual([...model.net.prunable]);
    for (const [name, t] of Object.entries(result)) expect(t.shape).toEqual(model.net.params[name]!.shape);
    tree.disposeTree(result);
  });

  test.each(all)("$name gives the same bytes twice", (scorer) => {
    expect(scorer.score(model, data)).toBeNearTree(scorer.score(model, data), { rtol: 0 });
  });

  test.each(all)("$name tells the truth about using the data", (scorer) => {
    const [a, b] = [tree.toHost(scorer.score(model, data)), tree.toHost(scorer.score(model, other))];
    const same = Object.keys(a).every((name) => a[name]!.every((v, j) => v === b[name]![j]));
    expect(same).toBe(!scorer.usesData);
  });

  const relabelled = { x: data.x, labels: data.labels.map((l) => (l + 1) % 3) };

  test.each(unlabelled)("$name does not look at the labels", (scorer) => {
    expect(scorer.score(model, relabelled)).toBeNearTree(scorer.score(model, data), { rtol: 0 });
  });

  test.each(labelled)("$name looks at the labels", (scorer) => {
    const [a, b] = [data, relabelled].map((batch) => tree.toHost(scorer.score(model, batch)));
    expect(Object.keys(a!).some((name) => a![name]!.some((v, j) => v !== b![name]![j]))).toBe(true);
  });

  test("names tell options apart", () => {
    expect(all.map(({ name }) => name)).toEqual([
      "magnitude",
      "layerwise-magnitude",
      "lamp",
      "synflow",
      "diagonal",
      "diagonal-rademacher2-seed3",
      "diagonal-crossEntropyMeanOverN(T=1)",
      "diagonal-floor0.1",
      "layerwise-diagonal",
      "obd",
      "hessianDiagonal8-signed",
      "blockQuadratic-absolute",
      "blockQuadratic-signed-crossEntropyMeanOverN(T=2)",
      "blockObs32",
      "blockObs16-damping0.1",
      "blockObs32-crossEntropyMeanOverN(T=1)",
      "pathExclusion",
      "random",
      "random-seed1",
      "snip",
      "snip-crossEntropyMeanOverN(T=200)",
      "taylor1",
      "taylor2",
      "grasp",
      "grasp-crossEntropyMeanOverN(T=200)",
      "fisher",
      "woodFisher32",
      "obd-firstOrder",
      "hutchinson1-signed",
      "hutchinson2-absolute-seed1",
    ]);
  });

  test("the catalogue says of every default what it looks at, and which nets it is for", () => {
    const entries = scores.catalogue();
    expect(new Set(entries.map(({ name }) => name)).size).toBe(entries.length);
    const gelu = tinyModel(everyLayer());
    for (const { name, looksAt, nets: which } of entries) {
      const scorer = all.find((s) => s.name === name)!;
      expect(scorer, name).toBeDefined();
      const labels = labelled.includes(scorer) || name.startsWith("hessianDiagonal"); // which sees them on other nets
      expect(looksAt, name).toBe(labels ? "images and labels" : scorer.usesData ? "images" : "nothing");
      const onGelu = () => scorer.score(gelu, tinyBatch(gelu.net));
      if (which === "ReLU nets") expect(onGelu, name).toThrow(/defined for ReLU nets/);
      else expect(onGelu, name).not.toThrow();
    }
  });

  test("random: U(0, 1), another seed gives other numbers", () => {
    const [a, b] = [0, 1].map((seed) =>
      Object.values(tree.toHost(scores.random({ seed }).score(model, data))).flatMap((v) => [...v]),
    );
    expect(a!.every((v) => v >= 0 && v < 1)).toBe(true);
    expect(a!.filter((v, j) => v === b![j]).length).toBe(0);
    const mean = a!.reduce((s, v) => s + v, 0) / a!.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / a!.length)); // 5 standard errors
  });

  test("blockObs of single weights is half of theta^2 (G_jj + lambda), G of the loss it is given", () => {
    const loss = crossEntropyMeanOverN({ temperature: 3 });
    const g = curvature.gnDiag(model, data, { loss });
    const all = Object.values(tree.toHost(g)).flatMap((v) => [...v]);
    const lambda = (0.01 * all.reduce((a, b) => a + b, 0)) / all.length;
    const expected = tree.zipTree(nets.prunableWeights(model), g, (w, d) =>
      tf.div(tf.mul(tf.square(w), tf.add(d, lambda)), 2),
    );
    expect(scores.blockObs({ chunk: 1, loss }).score(model, data)).toBeNearTree(expected, { rtol: 1e-9 });
    const ofSquares = tree.toHost(scores.blockObs({ chunk: 1 }).score(model, data));
    const [first] = model.net.prunable;
    expect(ofSquares[first!]).not.toEqual(tree.toHost(expected)[first!]);
  });

  test("an unknown ranking and a negative floor are refused", () => {
    expect(() => scores.diagonal({ floor: -1 })).toThrow(/floor must be a number >= 0, got -1/);
    expect(() => scores.blockQuadratic({ ranking: "both" as never })).toThrow(/'signed' or 'absolute', got 'both'/);
  });

  test("blockObs of larger blocks is never higher: the rest of the block can only make up for more", () => {
    // [A^-1]_jj >= 1 / A_jj
    const obs = tree.toHost(scores.blockObs({ chunk: 16 }).score(model, data));
    const alone = tree.toHost(scores.blockObs({ chunk: 1 }).score(model, data));
    for (const name of model.net.prunable)
      expect(
        obs[name]!.every((v, j) => v <= alone[name]![j]! * (1 + 1e-9)),
        name,
      ).toBe(true);
  });
});
