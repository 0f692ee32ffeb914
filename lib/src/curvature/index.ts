/** Whole-net derivatives and second-order quantities; no word of pruning. */
export { type ChunkInverseOptions, gnChunkInverseDiagonal } from "./chunk-inverse";
export {
  type ChunkOptions,
  type GnDiagOptions,
  gnBlockProduct,
  gnDiag,
  gnDiagAndBlockProduct,
  gnProduct,
  type LossOptions,
} from "./gauss-newton";
export { hessianProduct, hessianResidualProduct } from "./hessian";
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
export { type CrossEntropyOptions, crossEntropyMeanOverN, type Loss, oneHot, squaredErrorMeanOverNC } from "./losses";
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
