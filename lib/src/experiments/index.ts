/** The recipe of a prediction: settings -> tidy rows, cached and resumable; draws nothing. */

export { ablationVerdicts } from "./ablation-verdicts";
export { ABLATIONS, type Ablation, type AblationSettings, ablations } from "./ablations";
export { type Cached, cached, commit, resultsFolder, settingsHash } from "./cache";
export { type CalibrationSettings, calibration } from "./calibration";
export { calibrationVerdicts } from "./calibration-verdicts";
export { comparisonVerdicts, decayVerdicts, minimumVerdicts, perBackbone } from "./comparison-verdicts";
export { type FirstOrderSettings, firstOrder } from "./first-order";
export {
  type Forensics,
  type ForensicsSettings,
  forensics,
  type MaskFacts,
  type MaskOrigin,
  type PairOverlap,
} from "./forensics";
export {
  type BackboneOrigin,
  type ForensicsAcross,
  type ForensicsAcrossSettings,
  forensicsAcross,
  type PairAcross,
} from "./forensics-across";
export { forensicsVerdicts } from "./forensics-verdicts";
export { type InitialisationKept, initialisationKept } from "./initialisation";
export {
  type Landscape,
  type LandscapeSettings,
  landscape,
  landscapePlane,
  landscapeSlices,
  type Plane,
  type PlaneSettings,
  type SliceSettings,
  type TaskOverlap,
  type TaskSpectrum,
} from "./landscape";
export { landscapeVerdicts } from "./landscape-verdicts";
export { normVerdicts } from "./norm-verdicts";
export { type Curve, KEEP_GRID, type MakeProgress, type P1Settings, p1, type RunOptions } from "./p1";
export { type P2Settings, p2 } from "./p2";
export { type SecondOrderSettings, secondOrder } from "./second-order";
export { secondOrderVerdicts } from "./second-order-verdicts";
export { transformerVerdicts } from "./transformer-verdicts";
export { type Claim, p1Verdicts, p2Verdicts } from "./verdicts";
export { type WidthTrendOptions, widthTrend } from "./width-trend";
export { type Accuracies, Workbench, type WorkbenchSettings } from "./workbench";
export {
  type Backbone,
  type HeadAccuracies,
  headHistory,
  loadBackbone,
  type ModelCard,
  modelCard,
  type PretrainedCard,
  pretrainedCards,
  zoo,
} from "./zoo";
