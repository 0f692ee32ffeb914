/** Every quantity that the golden files hold, computed by the library: one list for the tests and for the table of errors. */
import { curvature, type Net, nets, type Tensor } from "secateur";
import { inMemoryOrder, type LossName, type NumberTree, type PeerLoss, type Subject } from "./peers-golden";

type Values = Readonly<Record<string, Tensor | ArrayLike<number>>>;
type KeyOf<T> = { [K in keyof PeerLoss]: PeerLoss[K] extends T ? K : never }[keyof PeerLoss];

export interface PeerCase {
  /** in words, for tables */
  readonly quantity: string;
  /** where the golden file has it */
  readonly key: keyof PeerLoss;
  /** only under this loss: the rest of it does not know the loss */
  readonly only?: LossName;
  of(subject: Subject, loss: curvature.Loss): Values;
  expected(subject: Subject, golden: PeerLoss): Readonly<Record<string, ArrayLike<number>>>;
}

export const lossOf: Readonly<Record<LossName, curvature.Loss>> = {
  mse: curvature.squaredErrorMeanOverNC(),
  crossEntropy: curvature.crossEntropyMeanOverN(),
};

/** A tree over the prunable weights. */
const treeCase = (quantity: string, key: KeyOf<NumberTree>, of: PeerCase["of"]): PeerCase => ({
  ...{ quantity, key, of },
  expected: ({ model }, golden) => inMemoryOrder(model.net, golden[key]),
});

export const peerCases: readonly PeerCase[] = [
  {
    quantity: "loss",
    key: "loss",
    of: ({ model, data }, loss) => ({ loss: [curvature.lossValue(model, data, { loss })] }),
    expected: (_, golden) => ({ loss: [golden.loss] }),
  },
  treeCase("gradient", "gradient", ({ model, data }, loss) => curvature.lossGradient(model, data, { loss }).gradient),
  treeCase("Hessian-vector product", "hessianProduct", ({ model, data, v }, loss) =>
    curvature.hessianProduct(model, data, v, { loss }),
  ),
  treeCase("Hessian block products, H_BB theta_B", "hessianBlockProduct", ({ model, data }, loss) =>
    curvature.hessianBlockProduct(model, data, { loss }),
  ),
  treeCase("Gauss-Newton-vector product", "gnProduct", ({ model, data, v }, loss) =>
    curvature.gnProduct(model, data, v, { loss }),
  ),
  treeCase("Gauss-Newton diagonal", "gnDiagonal", ({ model, data }, loss) => curvature.gnDiag(model, data, { loss })),
  treeCase("Gauss-Newton block products, G_BB theta_B", "gnBlockProduct", ({ model, data }, loss) =>
    curvature.gnBlockProduct(model, data, { loss }),
  ),
  treeCase("empirical Fisher diagonal", "fisherDiagonal", ({ model, data }, loss) =>
    curvature.empiricalFisherDiag(model, data, { loss }),
  ),
  {
    quantity: "K-FAC input factors A",
    key: "kfacInput",
    only: "mse",
    of: ({ model, data }, loss) => curvature.kfacFactors(model, data, { loss }).inputs,
    expected: ({ model }, golden) =>
      Object.fromEntries(model.net.prunable.map((key) => [key, inputsInMemoryOrder(model.net, key, golden)])),
  },
  {
    quantity: "K-FAC output factors B",
    key: "kfacOutput",
    of: ({ model, data }, loss) => curvature.kfacFactors(model, data, { loss }).outputs,
    expected: (_, golden) => golden.kfacOutput,
  },
  treeCase("K-FAC product (expand), A theta B", "kfacProduct", ({ model, data }, loss) =>
    curvature.kfacProduct(curvature.kfacFactors(model, data, { loss }), nets.prunableWeights(model)),
  ),
  {
    quantity: "smallest eigenvalue of the Hessian",
    key: "hessianEigenvalues",
    only: "mse",
    of: (subject, loss) =>
      eigenvalues(subject, "smallest", (v) => curvature.hessianProduct(subject.model, subject.data, v, { loss })),
    expected: (_, { hessianEigenvalues }) => ({ values: hessianEigenvalues.slice(0, 1) }),
  },
  {
    quantity: "largest eigenvalue of the Gauss-Newton matrix",
    key: "gnEigenvalues",
    only: "mse",
    of: (subject, loss) =>
      eigenvalues(subject, "largest", (v) => curvature.gnProduct(subject.model, subject.data, v, { loss })),
    expected: (_, { gnEigenvalues }) => ({ values: gnEigenvalues.slice(-1) }),
  },
];

function eigenvalues({ model }: Subject, end: "largest" | "smallest", operator: curvature.Operator): Values {
  const template = nets.prunableWeights(model);
  // the error of an eigenvalue is the square of its residual
  const { values } = curvature.topEigenpairs(operator, template, { k: 1, end, steps: 30, tolerance: 1e-5 });
  return { values };
}

/** torch counts a filter's inputs as (in, kh, kw), the library as (kh, kw, in): rows and columns of A move together. */
function inputsInMemoryOrder(net: Net, key: string, { kfacInput }: PeerLoss): Float64Array {
  const values = kfacInput[key]!;
  const size = Math.sqrt(values.length);
  const { shape } = net.params[key]!;
  const [kh, kw, inputs] = shape.length === 4 ? (shape as [number, number, number, number]) : [1, 1, shape[0]!];
  const fromTorch = (k: number): number => (k % inputs) * kh * kw + Math.floor(k / inputs);
  return Float64Array.from({ length: size * size }, (_, at) => {
    const [row, column] = [fromTorch(Math.floor(at / size)), fromTorch(at % size)];
    return values[row * size + column]!;
  });
}
