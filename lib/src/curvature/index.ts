/** Whole-net derivatives and second-order quantities; no word of pruning. */
export {
  type ChunkOptions,
  type GnDiagOptions,
  gnBlockProduct,
  gnDiag,
  gnDiagAndBlockProduct,
  gnProduct,
} from "./gauss-newton";
export { backward, forward, jvp, predict, type Tangents, type Trace, type Visit, vjp } from "./pass";
