/** Whole-net derivatives and second-order quantities; no word of pruning. */
export { type ChunkInverseOptions, gnChunkInverseDiagonal } from "./chunk-inverse";
export {
  type ChunkOptions,
  type GnDiagOptions,
  gnBlockProduct,
  gnDiag,
  gnDiagAndBlockProduct,
  gnProduct,
} from "./gauss-newton";
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
  oneHot,
} from "./loss";
export { backward, forward, jvp, predict, type Tangents, type Trace, type Visit, vjp } from "./pass";
