/** Spectra of symmetric matrices known by their products: eigenpairs, trace, density, common subspaces. */
export {
  type DensityPoint,
  type GaussianDensityOptions,
  gaussianDensity,
  type SpectralDensity,
  type SpectralDensityOptions,
  type SpectralNode,
  spectralDensity,
} from "./density";
export { type EigenpairOptions, type Eigenpairs, topEigenpairs } from "./lanczos";
export { blockOf, type OnProduct, type Operator } from "./operator";
export { type SubspaceOverlap, type SubspaceShare, subspaceOverlap, subspaceShare } from "./overlap";
export { type TraceEstimate, type TraceOptions, trace } from "./trace";
