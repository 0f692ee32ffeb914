/** Every quantity that the golden files hold, computed by the library: one list for the tests and for the table of errors. */
import { curvature, nets, type Tree } from "secateur";
import type { LossName, PeerLoss, Subject } from "./peers-golden";

type KeysOf<T> = { [K in keyof PeerLoss]: PeerLoss[K] extends T ? K : never }[keyof PeerLoss];

export interface PeerCase {
  /** in words, for tables */
  readonly quantity: string;
  /** where the golden file has it */
  readonly key: KeysOf<Readonly<Record<string, readonly number[]>>>;
  /** tree shaped like the prunable weights */
  of(subject: Subject, loss: curvature.Loss): Tree;
}

export const lossOf: Readonly<Record<LossName, curvature.Loss>> = {
  mse: curvature.squaredErrorMeanOverNC(),
  crossEntropy: curvature.crossEntropyMeanOverN(),
};

export const peerCases: readonly PeerCase[] = [
  {
    quantity: "gradient",
    key: "gradient",
    of: ({ model, data }, loss) => curvature.lossGradient(model, data, { loss }).gradient,
  },
  {
    quantity: "Hessian-vector product",
    key: "hessianProduct",
    of: ({ model, data, v }, loss) => curvature.hessianProduct(model, data, v, { loss }),
  },
  {
    quantity: "Hessian block products, H_BB theta_B",
    key: "hessianBlockProduct",
    of: ({ model, data }, loss) => {
      const block = ([key, weight]: [string, Tree[string]]): [string, Tree[string]] => [
        key,
        curvature.hessianProduct(model, data, { [key]: weight }, { loss })[key]!,
      ];
      return Object.fromEntries(Object.entries(nets.prunableWeights(model)).map(block));
    },
  },
  {
    quantity: "Gauss-Newton-vector product",
    key: "gnProduct",
    of: ({ model, data, v }, loss) => curvature.gnProduct(model, data, v, { loss }),
  },
  {
    quantity: "Gauss-Newton diagonal",
    key: "gnDiagonal",
    of: ({ model, data }, loss) => curvature.gnDiag(model, data, { loss }),
  },
  {
    quantity: "Gauss-Newton block products, G_BB theta_B",
    key: "gnBlockProduct",
    of: ({ model, data }, loss) => curvature.gnBlockProduct(model, data, { loss }),
  },
];
