export { assertKept, maskedWeights, maskTensors, removalStep } from "./apply";
export { checkMask } from "./check";
export { loadMask, maskHash, type SaveMaskOptions, saveMask } from "./file";
export { type LayerReport, type MaskReport, maskReport, type Overlap, overlap } from "./report";
export { exponentialSchedule, gridSchedule } from "./schedule";
export { shuffleWithinLayers } from "./shuffle";
export { fullMask, globalThreshold, layerwiseThreshold, type ThresholdOptions } from "./threshold";
