/** Masked fine-tuning and pre-training, both resumable. */
export { type AdamWOptions, type AdamWState, adamwStep } from "./adamw";
export { clipByGlobalNorm } from "./clip";
export {
  DINO_RESNET,
  DINO_VIT,
  type DinoEpoch,
  type DinoLoss,
  type DinoRecipe,
  type DinoResult,
  type DinoSettings,
  dinoLoss,
  pretrainDino,
} from "./dino";
export { movedAverage } from "./ema";
export { type FinetuneEpoch, type FinetuneOptions, type FinetuneResult, finetune } from "./finetune";
export type { EpochRecord, PretrainOptions, TrainingRecipe } from "./loop";
export {
  MOCO_RESNET,
  MOCO_VIT,
  type MocoEpoch,
  type MocoLoss,
  type MocoRecipe,
  type MocoResult,
  type MocoSettings,
  mocoLoss,
  pretrainMoco,
} from "./moco";
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
export { withProjection } from "./projection";
export { enqueued, startQueue } from "./queue";
export { recalibratedNorms } from "./recalibrate";
export { cosineRampSchedule, cosineSchedule, type Ramp, rampSchedule, type Schedule, stepSchedule } from "./schedule";
export { learnable, type SgdOptions, type SgdState, sgdStep } from "./sgd";
export { canonicalJson } from "./state-file";
export { spreadOf, unitRows, unitRowsGrad } from "./unit-rows";
export { glyphViews, type ViewPairs, type ViewSource, viewPairs } from "./view-pairs";
export { affineView, LIGHT_VIEWS, type ViewOptions } from "./views";
