/** Masked fine-tuning and pre-training, both resumable. */
export { type AdamWOptions, type AdamWState, adamwStep } from "./adamw";
export { clipByGlobalNorm } from "./clip";
export { type FinetuneEpoch, type FinetuneOptions, type FinetuneResult, finetune } from "./finetune";
export type { EpochRecord, PretrainOptions, TrainingRecipe } from "./loop";
export {
  type AdamWSettings,
  type Optimiser,
  type OptimiserSettings,
  optimiserOf,
  type SgdSettings,
} from "./optimiser";
export {
  type PretrainEpoch,
  type PretrainRecipe,
  type PretrainResult,
  type PretrainSettings,
  pretrainSupervised,
  SUPERVISED_RESNET,
  SUPERVISED_VIT,
} from "./pretrain";
export { recalibratedNorms } from "./recalibrate";
export { cosineSchedule, type Schedule, stepSchedule } from "./schedule";
export { learnable, type SgdOptions, type SgdState, sgdStep } from "./sgd";
export { canonicalJson } from "./state-file";
export { affineView, LIGHT_VIEWS, type ViewOptions } from "./views";
