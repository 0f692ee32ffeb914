/** Masked fine-tuning and pre-training, both resumable. */
export { type FinetuneEpoch, type FinetuneOptions, type FinetuneResult, finetune } from "./finetune";
export {
  type PretrainEpoch,
  type PretrainOptions,
  type PretrainResult,
  type PretrainSettings,
  pretrainSupervised,
  SUPERVISED_RESNET,
} from "./pretrain";
export { recalibratedNorms } from "./recalibrate";
export { cosineSchedule, type Schedule, stepSchedule } from "./schedule";
export { learnable, type SgdOptions, type SgdState, sgdStep } from "./sgd";
export { canonicalJson } from "./state-file";
export { affineView, LIGHT_VIEWS, type ViewOptions } from "./views";
