/** One criterion a file: a factory with options that returns a Scorer. The highest scores are kept. */
export { blockObs } from "./block-obs";
export { type BlockQuadraticOptions, blockQuadratic } from "./block-quadratic";
export { diagonal } from "./diagonal";
export { magnitude } from "./magnitude";
export { pathExclusion } from "./path-exclusion";
export { random } from "./random";
