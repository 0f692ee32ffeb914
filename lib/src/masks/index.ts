export { assertKept, maskedWeights, maskTensors, removalStep } from "./apply";
export { checkMask } from "./check";
export { loadMask, maskHash, type SaveMaskOptions, saveMask } from "./file";
export { type NofM, type NofMReport, nOfMReport } from "./n-of-m";
export { reinitialisedWeights } from "./reinitialise";
export {
  type LayerOverlap,
  type LayerReport,
  type MaskReport,
  maskReport,
  type Overlap,
  type OverlapReport,
  overlap,
  overlapReport,
} from "./report";
export { exponentialSchedule, gridSchedule } from "./schedule";
export { shuffleWithinLayers } from "./shuffle";
export { fullMask, globalThreshold, layerwiseThreshold, type ThresholdOptions } from "./threshold";
