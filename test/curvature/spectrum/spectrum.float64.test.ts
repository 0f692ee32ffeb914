/** Spectra against dense matrices whose eigenvalues are chosen. */
import { backend, curvature, type Tree } from "secateur";
import { describe, expect, test } from "vitest";
import { denseOperator, dot, listOf, randomRotation, treeOf, withSpectrum } from "../../oracle/dense";
import "../../support/close-tree";
import { owned } from "../../support/owned";

const { tf } = backend;
const n = 24;
const template: Tree = { a: tf.zeros([2, 3, 2]), b: tf.zeros([12]) };
const rotation = randomRotation(n, 1);
// one far outlier, a pair that nearly meets, a double eigenvalue, zeros, two negative ones
const values = [50, 7, 6.9, 3, 3, 1, 0.5, ...Array.from({ length: 13 }, () => 0), 0, 0, -1, -4];
const matrix = withSpectrum(values, rotation);
const operator = denseOperator(matrix);
const traceOf = values.reduce((a, b) => a + b);

describe("topEigenpairs", () => {
  test("the largest pairs, a double one included: values, vectors, residuals", () => {
    const pairs = curvature.topEigenpairs(operator, template, { k: 7, tolerance: 1e-12, seed: 3 });
    expect({ v: pairs.values }).toBeNearTree({ v: values.slice(0, 7) }, { rtol: 1e-12 });
    expect(pairs.converged).toBe(true);
    pairs.vectors.forEach((tree, i) => {
      expect(Object.values(tree).map((t) => t.shape)).toEqual([[2, 3, 2], [12]]);
      const vector = listOf(tree);
      const rest = matrix.map((row, j) => dot(row, vector) - pairs.values[i]! * vector[j]!);
      expect(Math.sqrt(dot(rest, rest))).toBeLessThan(1e-9);
      expect(Math.abs(pairs.residuals[i]! - Math.sqrt(dot(rest, rest)))).toBeLessThan(1e-12);
      pairs.vectors.forEach((other, j) => {
        expect(dot(vector, listOf(other))).toBeCloseTo(Number(i === j), 10);
      });
    });
    // the eigenvector of a simple value is that of the construction, up to its sign
    expect(Math.abs(dot(listOf(pairs.vectors[0]!), rotation[0]!))).toBeCloseTo(1, 10);
  });

  test("the most negative pairs", () => {
    const { values: got } = curvature.topEigenpairs(operator, template, { k: 2, end: "smallest", tolerance: 1e-12 });
    expect({ got }).toBeNearTree({ got: [-4, -1] }, { rtol: 1e-12 });
  });

  test("too few steps are told, and every value has an eigenvalue within its residual", () => {
    const pairs = curvature.topEigenpairs(operator, template, { k: 4, steps: 4, tolerance: 1e-12 });
    expect(pairs.converged).toBe(false);
    expect(pairs.steps).toBe(4);
    expect(Math.max(...pairs.residuals)).toBeGreaterThan(0.1);
    pairs.values.forEach((value, i) => {
      const nearest = Math.min(...values.map((v) => Math.abs(v - value)));
      expect(nearest).toBeLessThanOrEqual(pairs.residuals[i]! * (1 + 1e-9));
    });
  });

  test("a looser tolerance stops earlier, and its residuals keep to it", () => {
    const loose = curvature.topEigenpairs(operator, template, { k: 1, tolerance: 0.05, seed: 2 });
    expect(loose.converged).toBe(true);
    expect(loose.residuals[0]).toBeLessThanOrEqual(0.05 * 50 * (1 + 1e-6));
    expect(loose.steps).toBeLessThan(n);
  });

  test("the whole spectrum of a matrix, of the zero matrix and of the identity", () => {
    const all = curvature.topEigenpairs(operator, template, { k: n });
    expect({ v: all.values }).toBeNearTree({ v: [...values].sort((a, b) => b - a) }, { rtol: 1e-12 });
    const zero = curvature.topEigenpairs(denseOperator(withSpectrum([0], rotation)), template, { k: 3 });
    expect(zero.values).toEqual([0, 0, 0]);
    const identity = denseOperator(withSpectrum(Array(n).fill(1), rotation));
    expect({ v: curvature.topEigenpairs(identity, template, { k: n }).values }).toBeNearTree(
      { v: Array(n).fill(1) },
      { rtol: 1e-12 },
    );
  });

  test("the same seed gives the same numbers, another seed another start", () => {
    const run = (seed: number) => curvature.topEigenpairs(operator, template, { k: 3, steps: 5, seed }).values;
    expect(run(4)).toEqual(run(4));
    expect(run(5)).not.toEqual(run(4));
  });

  test("leaves nothing behind, also when it is stopped", () => {
    owned(() => curvature.topEigenpairs(operator, template, { k: 3 }).vectors as Tree[]);
    const before = tf.memory().numTensors;
    const stop = (done: number): void => {
      if (done === 9) throw new Error("stopped");
    };
    expect(() => curvature.topEigenpairs(operator, template, { k: 6, onProduct: stop })).toThrow("stopped");
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe("blockOf", () => {
  test("is the block of the matrix", () => {
    const block = curvature.blockOf(operator, template, ["b"]);
    const v = { b: tf.linspace(-1, 2, 12) };
    const list = [...Array(12).fill(0), ...listOf(v)];
    const expected = { b: matrix.slice(12).map((row) => dot(row, list)) };
    expect(owned(() => block.operator(v))).toBeNearTree(expected, { rtol: 1e-14 });
    expect(Object.keys(block.template)).toEqual(["b"]);
  });

  test("refuses names that are not there", () => {
    expect(() => curvature.blockOf(operator, template, ["c"])).toThrow(/there is no 'c'/);
    expect(() => curvature.blockOf(operator, template, [])).toThrow(/names must not be empty/);
  });
});

describe("trace", () => {
  const methods = ["hutchinson", "hutch++"] as const;

  test.each(methods)("%s: within 3 standard errors, for most seeds; the mean over seeds too", (method) => {
    // a slow decay: what a sketch leaves over is no single direction, whose squares would be far from normal
    const slow = Array.from({ length: n }, (_, i) => 20 / (i + 2) - 2);
    const traceOf = slow.reduce((a, b) => a + b);
    const slowly = denseOperator(withSpectrum(slow, rotation));
    const runs = Array.from({ length: 40 }, (_, seed) =>
      curvature.trace(slowly, template, { method, products: 24, seed }),
    );
    const z = runs.map((run) => (run.trace - traceOf) / run.standardError);
    expect(z.filter((x) => Math.abs(x) <= 3).length).toBeGreaterThanOrEqual(36); // 8 draws a run leave Student's t its tails
    const mean = runs.reduce((sum, run) => sum + run.trace, 0) / runs.length;
    const sd = Math.sqrt(runs.reduce((sum, run) => sum + (run.trace - mean) ** 2, 0) / (runs.length - 1));
    expect(Math.abs(mean - traceOf)).toBeLessThanOrEqual(3 * (sd / Math.sqrt(runs.length)));
    // the standard errors that were told are the spread that is there
    const told = Math.sqrt(runs.reduce((sum, run) => sum + run.standardError ** 2, 0) / runs.length);
    expect(told / sd).toBeGreaterThan(0.6);
    expect(told / sd).toBeLessThan(1.7);
  });

  test("hutchinson's variance is 2 sum of squares off the diagonal", () => {
    const off = matrix.reduce((sum, row, i) => sum + row.reduce((s, x, j) => s + (i === j ? 0 : x * x), 0), 0);
    const { standardError } = curvature.trace(operator, template, { products: 2000, seed: 1 });
    expect((standardError ** 2 * 2000) / (2 * off)).toBeCloseTo(1, 0.7);
  });

  test("hutch++ is exact once the sketch holds the range", () => {
    const low = denseOperator(withSpectrum([5, 3, 1], rotation));
    const { trace, standardError } = curvature.trace(low, template, { method: "hutch++", products: 12 });
    expect(trace).toBeCloseTo(9, 10);
    expect(standardError).toBeLessThan(1e-10);
  });

  test("a diagonal matrix has the exact trace from every sign vector", () => {
    const diagonal = values.map((value, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? value : 0)));
    const estimate = curvature.trace(denseOperator(diagonal), template, { products: 3 });
    expect(estimate.trace).toBeCloseTo(traceOf, 10);
  });

  test.each(methods)("%s: counts its products, leaves nothing behind", (method) => {
    let done = 0;
    const estimate = owned(() => {
      done = 0;
      const { trace } = curvature.trace(operator, template, { method, products: 13, onProduct: () => done++ });
      return [tf.scalar(trace)];
    });
    expect(done).toBe(13);
    tf.dispose(estimate);
  });
});

describe("spectralDensity", () => {
  test("moments of the matrix, within 3 standard errors over the probes", () => {
    const quadrature = curvature.spectralDensity(operator, template, { probes: 60, steps: 6, seed: 2 });
    for (const power of [1, 2, 3]) {
      const each = quadrature.probes.map((nodes) =>
        nodes.reduce((s, { value, weight }) => s + weight * value ** power, 0),
      );
      const mean = each.reduce((a, b) => a + b) / each.length;
      const error = Math.sqrt(each.reduce((s, x) => s + (x - mean) ** 2, 0) / (each.length - 1) / each.length);
      const expected = values.reduce((sum, value) => sum + value ** power, 0) / n;
      expect(Math.abs(mean - expected), `moment ${power}`).toBeLessThanOrEqual(3 * error);
    }
  });

  test("each probe is exact for its own start: Gauss's formula up to degree 2 steps - 1", () => {
    const steps = 3;
    const full = curvature.spectralDensity(operator, template, { probes: 1, steps: n, seed: 6 }).probes[0]!;
    const short = curvature.spectralDensity(operator, template, { probes: 1, steps, seed: 6 }).probes[0]!;
    expect(short.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 12);
    for (let power = 0; power <= 2 * steps; power++) {
      const [a, b] = [short, full].map((nodes) =>
        nodes.reduce((s, { value, weight }) => s + weight * value ** power, 0),
      );
      const error = Math.abs(a! / b! - 1);
      if (power < 2 * steps) expect(error, `degree ${power}`).toBeLessThan(1e-9);
      else expect(error, `degree ${power}`).toBeGreaterThan(1e-6);
    }
  });

  test("with all steps the share of eigenvalues above a bound comes out on average", () => {
    const quadrature = curvature.spectralDensity(operator, template, { probes: 60, steps: n, seed: 3 });
    const share = quadrature.probes.map((nodes) =>
      nodes.filter(({ value }) => value > 0.25).reduce((s, { weight }) => s + weight, 0),
    );
    const mean = share.reduce((a, b) => a + b) / 60;
    const error = Math.sqrt(share.reduce((s, x) => s + (x - mean) ** 2, 0) / 59 / 60);
    expect(Math.abs(mean - 7 / n)).toBeLessThanOrEqual(3 * error);
  });

  test("the Gaussian curve has area one, its mean where the nodes have it, and names its width", () => {
    const quadrature = curvature.spectralDensity(operator, template, { probes: 3, steps: 10, seed: 1 });
    const at = Array.from({ length: 1501 }, (_, i) => -25 + i / 15);
    const points = curvature.gaussianDensity(quadrature, { at, gaussianWidth: 0.5 });
    const area = points.reduce((sum, { density }) => sum + density / 15, 0);
    expect(area).toBeCloseTo(1, 6);
    const nodes = quadrature.probes.flat();
    const centre = points.reduce((sum, { at: x, density }) => sum + (x * density) / 15, 0);
    expect(centre).toBeCloseTo(nodes.reduce((s, { value, weight }) => s + value * weight, 0) / 3, 6);
  });

  test("on the logarithmic axis only positive nodes count, per power of ten", () => {
    const quadrature: curvature.SpectralDensity = {
      dimension: 4,
      probes: [
        [
          { value: 100, weight: 0.25 },
          { value: 0, weight: 0.5 },
          { value: -1, weight: 0.25 },
        ],
      ],
    };
    const at = Array.from({ length: 601 }, (_, i) => 10 ** (i / 100 - 2));
    const points = curvature.gaussianDensity(quadrature, { at, gaussianWidth: 0.1, axis: "log10" });
    expect(points.reduce((sum, { density }) => sum + density / 100, 0)).toBeCloseTo(0.25, 8);
    expect(points.reduce((a, b) => (a.density > b.density ? a : b)).at).toBeCloseTo(100, 8);
  });

  test("leaves nothing behind", () => {
    owned(() => [tf.scalar(curvature.spectralDensity(operator, template, { probes: 2, steps: 5 }).dimension)]);
  });
});

describe("subspaceOverlap and subspaceShare", () => {
  const tree = (i: number): Tree => treeOf(rotation[i]!, template);
  const between = (i: number, j: number, angle: number): Tree =>
    treeOf(
      rotation[i]!.map((x, k) => Math.cos(angle) * x + Math.sin(angle) * rotation[j]![k]!),
      template,
    );

  test("principal angles of a construction", () => {
    const u = [tree(0), tree(1), tree(2)];
    const v = [between(0, 5, 0.3), between(1, 6, 1.1)];
    const { cosines, meanSquaredCosine, chance } = curvature.subspaceOverlap(u, v);
    expect({ cosines }).toBeNearTree({ cosines: [Math.cos(0.3), Math.cos(1.1)] }, { rtol: 1e-12 });
    expect(meanSquaredCosine).toBeCloseTo((Math.cos(0.3) ** 2 + Math.cos(1.1) ** 2) / 2, 12);
    expect(chance).toBe(3 / n);
    expect(curvature.subspaceOverlap(v, u)).toEqual({ cosines, meanSquaredCosine, chance });
  });

  test("the same space in another basis: 1; orthogonal spaces: 0", () => {
    const turned = [between(0, 1, 0.7), between(0, 1, 0.7 + Math.PI / 2)];
    expect(curvature.subspaceOverlap([tree(0), tree(1)], turned).meanSquaredCosine).toBeCloseTo(1, 12);
    expect(curvature.subspaceOverlap([tree(0), tree(1)], [tree(2), tree(3)]).meanSquaredCosine).toBeCloseTo(0, 12);
  });

  test("random subspaces meet as chance says, within 3 standard errors", () => {
    const fixed = [tree(0), tree(1), tree(2)];
    const overlaps = Array.from({ length: 60 }, (_, seed) => {
      const random = randomRotation(n, 100 + seed);
      return curvature.subspaceOverlap(
        fixed,
        [0, 1].map((i) => treeOf(random[i]!, template)),
      ).meanSquaredCosine;
    });
    const mean = overlaps.reduce((a, b) => a + b) / 60;
    const error = Math.sqrt(overlaps.reduce((s, x) => s + (x - mean) ** 2, 0) / 59 / 60);
    expect(Math.abs(mean - 3 / n)).toBeLessThanOrEqual(3 * error);
  });

  test("share of a step", () => {
    const step = treeOf(
      rotation[0]!.map((x, k) => 3 * x - 4 * rotation[9]![k]!),
      template,
    );
    const { share, coefficients, chance } = curvature.subspaceShare([tree(0), tree(1)], step);
    expect(share).toBeCloseTo(9 / 25, 12);
    expect(coefficients[0]).toBeCloseTo(3, 12);
    expect(coefficients[1]).toBeCloseTo(0, 12);
    expect(chance).toBe(2 / n);
  });

  test("refuses what is no orthonormal basis", () => {
    expect(() => curvature.subspaceOverlap([tree(0), between(0, 1, 0.5)], [tree(2)])).toThrow(
      /left\): vectors must be orthonormal, the product of 0 and 1 is 0\.87/,
    );
    expect(() => curvature.subspaceOverlap([tree(0)], [])).toThrow(/right\): there must be at least one vector/);
    expect(() => curvature.subspaceShare([tree(0)], { a: tf.zeros([2, 3, 2]), b: tf.zeros([12]) })).toThrow(/zero/);
    expect(() => curvature.subspaceShare([tree(0)], { a: tf.ones([2, 3, 2]) })).toThrow(/'b' must be \[12\].*nothing/);
  });
});

describe("errors before work starts", () => {
  let products = 0;
  const counted: curvature.Operator = (v) => {
    products++;
    return operator(v);
  };
  test.each([
    [
      "k too large",
      () => curvature.topEigenpairs(counted, template, { k: n + 1 }),
      /k must be an integer from 1 to 24/,
    ],
    ["no k", () => curvature.topEigenpairs(counted, template, { k: 0 }), /got 0/],
    [
      "fewer steps than k",
      () => curvature.topEigenpairs(counted, template, { k: 5, steps: 4 }),
      /steps .* >= 5, got 4/,
    ],
    ["an end", () => curvature.topEigenpairs(counted, template, { end: "left" as never }), /'largest' or 'smallest'/],
    ["a tolerance", () => curvature.topEigenpairs(counted, template, { tolerance: 0 }), /tolerance must be positive/],
    ["no template", () => curvature.topEigenpairs(counted, {}, {}), /template must hold at least one weight/],
    ["a method", () => curvature.trace(counted, template, { method: "exact" as never }), /'hutchinson' or 'hutch\+\+'/],
    ["one draw", () => curvature.trace(counted, template, { products: 1 }), /products must be an integer >= 2/],
    ["too few for hutch++", () => curvature.trace(counted, template, { method: "hutch++", products: 5 }), />= 6/],
    ["no probe", () => curvature.spectralDensity(counted, template, { probes: 0 }), /probes must be/],
    ["no step", () => curvature.spectralDensity(counted, template, { steps: 0.5 }), /steps must be/],
  ])("%s", (_, f, message) => {
    expect(f).toThrow(message);
    expect(products).toBe(0);
  });

  test("a product of another form, or one that is not finite", () => {
    expect(() => curvature.topEigenpairs(() => ({ a: tf.zeros([2, 3, 2]) }), template, { k: 1 })).toThrow(
      /'b' must be \[12\] as in the template, got nothing/,
    );
    const broken: curvature.Operator = (v) => treeOf(Array(n).fill(Number.NaN), v);
    expect(() => curvature.topEigenpairs(broken, template, { k: 1 })).toThrow(
      /product 1 with the matrix is not finite/,
    );
    const quadrature = { dimension: 1, probes: [[{ value: 1, weight: 1 }]] };
    expect(() => curvature.gaussianDensity(quadrature, { at: [1], gaussianWidth: 0 })).toThrow(/gaussianWidth/);
    expect(() => curvature.gaussianDensity(quadrature, { at: [0], gaussianWidth: 1, axis: "log10" })).toThrow(/got 0/);
  });
});
