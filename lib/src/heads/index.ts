/** Linear heads in closed form: fitted on features, never pruned, never trained. */
export {
  accuracy,
  accuracyOf,
  type FitHeadOptions,
  featuresOf,
  fitHead,
  type HeadCache,
  headOf,
  type StreamOptions,
} from "./head";
export { applyRidge, fitRidge, type RidgeFit, type RidgeOptions } from "./ridge";
