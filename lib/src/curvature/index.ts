/** Whole-net derivatives and second-order quantities; no word of pruning. */
export { type ChunkInverseOptions, gnChunkInverseDiagonal } from "./chunk-inverse";
export { empiricalFisherChunkInverseDiagonal, empiricalFisherDiag, type FisherChunkOptions } from "./empirical-fisher";
export { type DiagonalEstimate, type NegativeShare, negativeShare } from "./estimate";
export {
  type ChunkOptions,
  type GnDiagOptions,
  gnBlockProduct,
  gnDiag,
  gnDiagAndBlockProduct,
  gnProduct,
  type LossOptions,
} from "./gauss-newton";
export {
  type HessianBlockOptions,
  hessianBlockProduct,
  hessianEqualsGaussNewton,
  hessianProduct,
  hessianResidualProduct,
} from "./hessian";
export { type HessianDiagOptions, hessianDiag } from "./hessian-diagonal";
export { type KfacFactors, type KfacOptions, kfacDiag, kfacFactors, kfacProduct } from "./kfac";
export {
  type LossChange,
  type LossChangesOptions,
  type LossExpansion,
  lossAlong,
  lossChange,
  lossChanges,
  lossExpansion,
  lossGradient,
  lossMeanOverNC,
  lossValue,
} from "./loss";
export { type LayerPart, type LossParts, lossParts } from "./loss-parts";
export { lossPlane } from "./loss-plane";
export { type CrossEntropyOptions, crossEntropyMeanOverN, type Loss, oneHot, squaredErrorMeanOverNC } from "./losses";
export { gnDiagMonteCarlo, type MonteCarloOptions } from "./monte-carlo";
export { backward, forward, jvp, predict, type Tangents, type Trace, type Visit, vjp } from "./pass";
export {
  blockOf,
  type DensityPoint,
  type EigenpairOptions,
  type Eigenpairs,
  type GaussianDensityOptions,
  gaussianDensity,
  type OnProduct,
  type Operator,
  type SpectralDensity,
  type SpectralDensityOptions,
  type SpectralNode,
  type SubspaceOverlap,
  type SubspaceShare,
  spectralDensity,
  subspaceOverlap,
  subspaceShare,
  type TraceEstimate,
  type TraceOptions,
  topEigenpairs,
  trace,
} from "./spectrum";
