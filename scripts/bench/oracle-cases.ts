/** Every second-order quantity with something independent to compare it with: what `npm run oracles` measures. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Batch,
  backend,
  curvature,
  type Model,
  nets,
  type Scorer,
  scores,
  type Tensor,
  type Tree,
  tree,
} from "secateur";
import { lossOf, peerCases } from "../../test/curvature/peers-cases";
import { inMemoryOrder, loadPeers, losses, peerNets } from "../../test/curvature/peers-golden";
import { formulaImages, formulaModel } from "../../test/fixtures/peers/formula";
import { denseOperator, randomRotation, withSpectrum } from "../../test/oracle/dense";
import { fourPointSlope, moved } from "../../test/oracle/differences";
import { hessianProductByDifferences } from "../../test/oracle/hessian";
import {
  gnBlock,
  gnBlockProducts,
  gnDiagonal,
  gnProducts,
  inverse,
  type Jacobian,
  jacobian,
} from "../../test/oracle/jacobian";
import { randomTensor, tinyBatch, tinyModel, tinyNets } from "../../test/support/tiny-nets";

const { tf } = backend;

export type Values = Readonly<Record<string, Tensor | ArrayLike<number>>>;

export interface OracleCase {
  /** key of SECTIONS */
  readonly section: "outside" | "large" | "brute" | "closed" | "estimates";
  readonly quantity: string;
  readonly oracle: string;
  /** column of the table, for sections that have several */
  readonly on: string;
  of(): Values;
  /** computed in float64 only, whatever `of` is computed in */
  expected(): Values;
  /** too much for plain JavaScript */
  readonly float32Only?: boolean;
}

export const oracleCases = (): readonly OracleCase[] => [
  ...outside(),
  ...large(),
  ...bruteForce(),
  ...closedForms(),
  ...estimates(),
];

function outside(): OracleCase[] {
  return peerNets.flatMap(({ name }) => {
    const subject = loadPeers(name);
    const { golden, model, data } = subject;
    const outputs: OracleCase = {
      ...{ section: "outside", quantity: "outputs", oracle: name === "vit" ? "timm" : "torch", on: name },
      of: () => ({ outputs: curvature.predict(model, data.x) }),
      expected: () => ({ outputs: golden.outputs }),
    };
    const cases = losses.flatMap((loss) =>
      peerCases
        .filter(({ only = loss }) => only === loss)
        .map(
          ({ quantity, key, of, expected }): OracleCase => ({
            ...{ section: "outside", quantity, oracle: golden.sources[key]!, on: name },
            of: () => of(subject, lossOf[loss]),
            expected: () => expected(subject, golden.losses[loss]),
          }),
        ),
    );
    if (name === "vit") return [outputs, ...cases]; // there the Hessian's diagonal is an estimate: below
    const diagonal: OracleCase = {
      ...{ section: "outside", quantity: "Hessian diagonal", oracle: golden.sources.hessianDiagonal!, on: name },
      of: () => curvature.hessianDiag(model, data).diagonal,
      expected: () => inMemoryOrder(model.net, golden.losses.mse.hessianDiagonal),
    };
    return [outputs, ...cases, diagonal];
  });
}

function large(): OracleCase[] {
  interface Golden {
    readonly input: readonly [number, number, number];
    readonly images: number;
    readonly logits: readonly (readonly number[])[];
  }
  const file = join(__dirname, "../../test/fixtures/peers/large.json");
  const golden = JSON.parse(readFileSync(file, "utf8")) as Record<"resnet50" | "vits16", Golden>;
  return (
    [
      ["resnet50", nets.resnet50, "fc", "torchvision"],
      ["vits16", nets.vitSmall16, "head", "timm"],
    ] as const
  ).map(
    ([name, make, head, oracle]): OracleCase => ({
      ...{
        section: "large",
        quantity: `logits of ${name}, parameters by formula`,
        oracle,
        on: name,
        float32Only: true,
      },
      of: () => {
        const net = make(golden[name].input);
        return {
          logits: curvature.predict(formulaModel(net, { classes: 10, head }), formulaImages(net, golden[name].images)),
        };
      },
      expected: () => ({ logits: golden[name].logits.flat() }),
    }),
  );
}

/** On each of the four tiny nets: every layer kind, ReLU with skips, GELU, attention. */
function bruteForce(): OracleCase[] {
  return tinyNets.flatMap(({ name, make }) => {
    const model = tinyModel(make());
    const data = tinyBatch(model.net);
    const weights = nets.prunableWeights(model);
    const v = tree.mapTree(weights, (w, key) => randomTensor(w.shape, 5, key));
    let kept: Jacobian | undefined;
    const rows = (): Jacobian => (kept ??= jacobian({ model, x: data.x }));
    const whole = "whole Jacobian, one image and one output at a time";
    const list: [quantity: string, oracle: string, of: () => Values, expected: () => Values][] = [
      [
        "Jacobian-vector product (jvp)",
        "four-point differences of the outputs",
        () => ({ jv: curvature.jvp(curvature.forward(model, data.x), { params: v }) }),
        () => ({
          jv: fourPointSlope((t) =>
            curvature.predict(
              {
                ...model,
                params: { ...model.params, ...tree.mapTree(v, (d, key) => moved(model.params[key]!, d, t)) },
              },
              data.x,
            ),
          ),
        }),
      ],
      ["Gauss-Newton diagonal", whole, () => curvature.gnDiag(model, data), () => gnDiagonal(rows())],
      [
        "Gauss-Newton block products",
        whole,
        () => curvature.gnBlockProduct(model, data),
        () => gnBlockProducts(rows(), weights),
      ],
      ["Gauss-Newton-vector product", whole, () => curvature.gnProduct(model, data, v), () => gnProducts(rows(), v)],
      [
        "diagonal of the inverse of damped Gauss-Newton blocks",
        "dense blocks, Gauss-Jordan",
        () => curvature.gnChunkInverseDiagonal(model, data, INVERSE),
        () => inverseDiagonals(weights, (key) => gnBlock(rows(), key)),
      ],
      [
        "diagonal of the inverse of damped empirical Fisher blocks",
        "dense blocks, Gauss-Jordan",
        () => curvature.empiricalFisherChunkInverseDiagonal(model, data, INVERSE),
        () => {
          const gradients = imageGradients(model, data);
          return inverseDiagonals(weights, (key) => secondMoment(gradients[key]!));
        },
      ],
      [
        "Hessian-vector product",
        "four-point differences of the gradient",
        () => curvature.hessianProduct(model, data, v),
        () => hessianProductByDifferences(model, data, v),
      ],
      [
        "parts of a loss change: own layers, all layers",
        whole,
        () => partsOf(model, data, v),
        () => ({ parts: [halfForm(v, gnBlockProducts(rows(), v)), halfForm(v, gnProducts(rows(), v))] }),
      ],
      [
        "empirical Fisher diagonal",
        "gradients of single images",
        () => curvature.empiricalFisherDiag(model, data),
        () => meanSquares(imageGradients(model, data)),
      ],
    ];
    return list.map(
      ([quantity, oracle, of, expected]): OracleCase => ({
        section: "brute",
        quantity,
        oracle,
        on: name,
        of,
        expected,
      }),
    );
  });
}

const INVERSE = { chunk: 7, damping: 0.05 };

function partsOf(model: Model, data: Batch, step: Tree): Values {
  const { ownLayer, crossLayer } = curvature.lossParts(model, data, [step])[0]!;
  return { parts: [ownLayer, ownLayer + crossLayer] };
}

/** v . product / 2 */
const halfForm = (v: Tree, product: Readonly<Record<string, Float64Array>>): number =>
  Object.entries(product).reduce((sum, [key, p]) => {
    const values = v[key]!.dataSync();
    return sum + p.reduce((s, x, j) => s + x * values[j]!, 0) / 2;
  }, 0);

/** gradients[name][n]: of each image's own loss. */
function imageGradients(model: Model, data: Batch): Jacobian {
  const rows: Record<string, Float64Array[]> = Object.fromEntries(model.net.prunable.map((key) => [key, []]));
  for (const [i, label] of data.labels.entries()) {
    const x = tf.slice(data.x, [i, 0, 0, 0], [1, ...model.net.input]);
    const { gradient } = curvature.lossGradient(model, { x, labels: Int32Array.of(label) } as Batch);
    for (const [key, g] of Object.entries(gradient)) rows[key]!.push(Float64Array.from(g.dataSync()));
  }
  return rows;
}

const meanSquares = (rows: Jacobian): Record<string, Float64Array> =>
  Object.fromEntries(
    Object.entries(rows).map(([key, list]) => [
      key,
      list[0]!.map((_, j) => list.reduce((sum, g) => sum + g[j]! ** 2, 0) / list.length),
    ]),
  );

/** 1 / N sum_n g_n g_n^T */
const secondMoment = (rows: readonly Float64Array[]): Float64Array[] =>
  Array.from(rows[0]!, (_, a) =>
    rows[0]!.map((__, b) => rows.reduce((sum, g) => sum + g[a]! * g[b]!, 0) / rows.length),
  );

/** Block by block of consecutive inputs of one filter (weights are [..., out]): cut it out, damp, invert, read the diagonal. */
function inverseDiagonals(weights: Tree, matrixOf: (key: string) => Float64Array[]): Record<string, Float64Array> {
  const matrices = Object.fromEntries(Object.keys(weights).map((key) => [key, matrixOf(key)]));
  const diagonal = Object.values(matrices).flatMap((matrix) => matrix.map((row, j) => row[j]!));
  const lambda = (INVERSE.damping * diagonal.reduce((a, b) => a + b)) / diagonal.length;
  return Object.fromEntries(
    Object.entries(weights).map(([key, { shape, size }]) => {
      const out = shape[shape.length - 1]!;
      const result = new Float64Array(size);
      for (let filter = 0; filter < out; filter++)
        for (let from = 0; from < size / out; from += INVERSE.chunk) {
          const length = Math.min(INVERSE.chunk, size / out - from);
          const members = Array.from({ length }, (_, k) => (from + k) * out + filter);
          const damped = members.map((a) =>
            Float64Array.from(members, (b) => matrices[key]![a]![b]! + (a === b ? lambda : 0)),
          );
          inverse(damped).forEach((row, i) => {
            result[members[i]!] = row[i]!;
          });
        }
      return [key, result];
    }),
  );
}

/**
 * One linear layer, X = [[1, 2], [0, 1], [3, -1]], W = [[1, -2], [1/2, 1]], targets Y = [[1, 0], [0, 1], [2, -5]], N = 3, C = 2: the gradient
 * is [[5/6, -2], [2/3, 2/3]] and each column of W has the Hessian [[10/3, -1/3], [-1/3, 2]]. Targets that are not one-hot come in as two
 * more pixels, which a layer that is not prunable takes off the outputs.
 */
function workedLayer(): { model: Model; data: Batch } {
  const labels = Int32Array.of(0, 1, 0);
  const extra = [1, 0, 0, 1, 2, -5].map((y, i) => y - Number(labels[Math.floor(i / 2)] === i % 2));
  const pixels = [1, 2, 0, 1, 3, -1];
  const images = [0, 2, 4].flatMap((at) => [...pixels.slice(at, at + 2), ...extra.slice(at, at + 2)]);
  const b = new nets.NetBuilder();
  const flat = b.flatten("flat", "x");
  const outputs = b.linear("fc", b.linear("pick", flat, 4, 2, false), 2, 2, false);
  b.add("sum", outputs, b.linear("targets", flat, 4, 2, false));
  const params = {
    "pick.weight": tf.tensor2d([1, 0, 0, 1, 0, 0, 0, 0], [4, 2]),
    "targets.weight": tf.tensor2d([0, 0, 0, 0, -1, 0, 0, -1], [4, 2]),
    "fc.weight": tf.tensor2d([1, -2, 0.5, 1], [2, 2]),
  };
  const head = { weight: tf.tensor2d([1, 0, 0, 1], [2, 2]), bias: tf.tensor1d([0, 0]) };
  const net = { ...b.build("worked", [2, 2, 1], 2), prunable: ["fc.weight"] };
  return { model: { net, params, head }, data: { x: tf.tensor4d(images, [3, 2, 2, 1]), labels } };
}

function closedForms(): OracleCase[] {
  const { model, data } = workedLayer();
  const [lambda, h1, h2] = [0.01 * (8 / 3), 10 / 3, 2];
  const determinant = (h1 + lambda) * (h2 + lambda) - 1 / 9;
  const [obs1, obs2] = [determinant / (2 * (h2 + lambda)), determinant / (2 * (h1 + lambda))];
  const worked: [scorer: Scorer, formula: string, values: number[]][] = [
    [scores.magnitude(), "theta^2", [1, 4, 1 / 4, 1]],
    [scores.diagonal(), "theta^2 H_jj", [10 / 3, 40 / 3, 1 / 2, 2]],
    [scores.obd(), "theta^2 H_jj / 2", [5 / 3, 20 / 3, 1 / 4, 1]],
    [scores.obd({ firstOrder: true }), "-theta g + theta^2 H_jj / 2", [5 / 6, 8 / 3, -1 / 12, 1 / 3]],
    [scores.blockQuadratic(), "theta (H theta)", [19 / 6, 14, 1 / 3, 8 / 3]],
    [scores.blockObs(), "theta^2 / (2 [(H + lambda I)^-1]_jj)", [obs1, 4 * obs1, obs2 / 4, obs2]],
    [scores.snip(), "|theta g| / sum", [1 / 7, 24 / 35, 2 / 35, 4 / 35]],
    [scores.taylor(), "(theta g)^2", [25 / 36, 16, 1 / 9, 4 / 9]],
    [scores.taylor({ order: 2 }), "(theta g - theta (H theta) / 2)^2", [9 / 16, 9, 1 / 36, 4 / 9]],
    [scores.fisher(), "theta^2 F_jj / 2, F the empirical Fisher", [13 / 24, 24, 3 / 16, 2 / 3]],
    [scores.grasp(), "theta (H g)", [23 / 9, 124 / 9, 19 / 36, 2]],
  ];
  const layer = worked.map(
    ([scorer, formula, values]): OracleCase => ({
      ...{ section: "closed", quantity: `score ${scorer.name}`, oracle: `worked linear layer: ${formula}`, on: "" },
      of: () => scorer.score(model, data),
      expected: () => ({ "fc.weight": values }),
    }),
  );
  // one far outlier, a pair that nearly meets, a double eigenvalue, zeros, two negative ones
  const spectrum = [50, 7, 6.9, 3, 3, 1, 0.5, ...Array<number>(15).fill(0), -1, -4];
  const operator = denseOperator(withSpectrum(spectrum, randomRotation(spectrum.length, 1)));
  const template = { a: tf.zeros([2, 3, 2]), b: tf.zeros([12]) };
  return [
    ...layer,
    {
      ...{
        section: "closed",
        quantity: "top seven eigenvalues (Lanczos)",
        oracle: "dense matrix of chosen spectrum",
        on: "",
      },
      of: () => ({ values: curvature.topEigenpairs(operator, template, { k: 7, tolerance: 1e-12 }).values }),
      expected: () => ({ values: spectrum.slice(0, 7) }),
    },
  ];
}

/** Estimates with their standard errors, on timm's small ViT under the squared error. */
function estimates(): OracleCase[] {
  const subject = loadPeers("vit");
  const { golden, model, data } = subject;
  const { mse } = golden.losses;
  const flat = (t: Tree): number[] => model.net.prunable.flatMap((key) => Array.from(t[key]!.dataSync()));
  const diagonal = (made: () => curvature.DiagonalEstimate) => (): Values => {
    const estimate = made();
    return { estimate: flat(estimate.diagonal), standardError: flat(estimate.standardError) };
  };
  const exact = (key: "gnDiagonal" | "hessianDiagonal") => (): Values => {
    const values = inMemoryOrder(model.net, mse[key]);
    return { estimate: model.net.prunable.flatMap((name) => Array.from(values[name]!)) };
  };
  const traced = (method: "hutchinson" | "hutch++") => (): Values => {
    const operator = (v: Tree): Tree => curvature.gnProduct(model, data, v);
    const { trace, standardError } = curvature.trace(operator, nets.prunableWeights(model), { method, products: 24 });
    return { estimate: [trace], standardError: [standardError] };
  };
  const trace = (): Values => ({ estimate: [mse.gnEigenvalues.reduce((a, b) => a + b)] });
  const list: [quantity: string, oracle: string, of: () => Values, expected: () => Values][] = [
    [
      "Gauss-Newton diagonal, Rademacher, 8 draws",
      golden.sources.gnDiagonal!,
      diagonal(() => curvature.gnDiagMonteCarlo(model, data, { draws: 8 })),
      exact("gnDiagonal"),
    ],
    [
      "Hessian diagonal, 8 draws",
      golden.sources.hessianDiagonal!,
      diagonal(() => curvature.hessianDiag(model, data, { draws: 8 })),
      exact("hessianDiagonal"),
    ],
    [
      "trace of the Gauss-Newton matrix, Hutchinson, 24 products",
      golden.sources.gnEigenvalues!,
      traced("hutchinson"),
      trace,
    ],
    ["trace of the Gauss-Newton matrix, Hutch++, 24 products", golden.sources.gnEigenvalues!, traced("hutch++"), trace],
  ];
  return list.map(
    ([quantity, oracle, of, expected]): OracleCase => ({
      section: "estimates",
      quantity,
      oracle,
      on: "",
      of,
      expected,
    }),
  );
}
