/** Files -> batches: glyphs, their corruption, tasks and subsets, Fashion-MNIST, images of one's own. */
export { batches, toBatch } from "./batches";
export { type ContactSheetOptions, contactSheet, type GreyImage } from "./contact-sheet";
export { corrupt, IMAGE_SIDE, TOP_LEVEL } from "./corrupt";
export { FASHION_CLASSES, FASHION_COUNTS, type Fashion, loadFashion, loadIdx } from "./fashion";
export { dataFolder } from "./folder";
export { type CleanGlyphs, type Face, GLYPH_SIDE, glyphsOf, loadGlyphs, type Script, type Split } from "./glyphs";
export { type ImageSetParts, imageSet } from "./image-set";
export {
  cleanGlyphs,
  forgetData,
  NORMALISE,
  pretrainingSet,
  type Role,
  type SubsetOptions,
  subset,
  TASK_STRENGTH,
  type TaskInfo,
  TRAIN_PER_CLASS,
  tasks,
} from "./tasks";
