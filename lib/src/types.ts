/** The types that folders share. Types only: no code, no tensors. */
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from "@tensorflow/tfjs-core";

export type { Tensor, Tensor1D, Tensor2D, Tensor3D, Tensor4D, TensorContainer } from "@tensorflow/tfjs-core";

/** Tensors by name. Weights, scores, gradients and Hessian diagonals are trees with the checkpoint's key names. */
export type Tree = Readonly<Record<string, Tensor>>;

/** Labelled images on the device. */
export interface Batch {
  /** [n, height, width, channels], normalised as in training */
  readonly x: Tensor4D;
  /** n class indices, 0 to classes - 1 */
  readonly labels: Int32Array;
}

/** Labelled images on the host, 8 bits a value: the named, hashed subset that a number belongs to. */
export interface ImageSet {
  /** for instance "hebrew/scoring/draw0" */
  readonly name: string;
  /** first 12 hex digits of the SHA-256 over shape, pixels and labels */
  readonly hash: string;
  readonly pixels: Uint8Array;
  /** [n, height, width, channels] */
  readonly shape: readonly [number, number, number, number];
  readonly labels: Int32Array;
  readonly classes: number;
  /** network input = (pixel / levels - mean) / std, per channel */
  readonly normalise: { readonly levels: number; readonly mean: readonly number[]; readonly std: readonly number[] };
}

/** What a parameter is: only weights of convolutions and linear layers are ever pruned. */
export type ParamRole =
  | "convWeight"
  | "linearWeight"
  | "bias"
  | "normScale"
  | "normShift"
  | "normMean"
  | "normVariance"
  | "embedding";

export interface ParamSpec {
  /** shape in memory: conv [kh, kw, in, out], linear [in, out] (the checkpoint has [out, in, kh, kw] and [out, in]) */
  readonly shape: readonly number[];
  readonly role: ParamRole;
}

/** One operation of a net; `inputs` are ids of earlier nodes or "x", the image. `params` maps the rule's names to checkpoint keys. */
export interface NodeOf<Kind extends string, Attributes> {
  readonly id: string;
  readonly kind: Kind;
  readonly inputs: readonly string[];
  readonly params: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Attributes>;
}

// biome-ignore lint/complexity/noBannedTypes: a node without settings
type None = {};

export type NetNode =
  | NodeOf<"conv2d", { stride: number; pad: number }>
  | NodeOf<"linear", None>
  | NodeOf<"batchNorm", { epsilon: number; momentum: number }>
  | NodeOf<"relu", None>
  | NodeOf<"gelu", None>
  | NodeOf<"add", None>
  | NodeOf<"maxPool", { size: number; stride: number; pad: number }>
  | NodeOf<"avgPool", { size: number; stride: number; pad: number }>
  | NodeOf<"globalAvgPool", None>
  | NodeOf<"flatten", None>
  | NodeOf<"tokens", None>
  | NodeOf<"classToken", None>
  | NodeOf<"takeClass", None>
  | NodeOf<"layerNorm", { epsilon: number }>
  | NodeOf<"attention", { heads: number }>;

export type LayerKind = NetNode["kind"];

/** A network is data: nodes in order of execution; the last node's output is the feature vector [n, features]. */
export interface Net {
  readonly name: string;
  /** [height, width, channels] of one image */
  readonly input: readonly [number, number, number];
  readonly features: number;
  readonly nodes: readonly NetNode[];
  readonly params: Readonly<Record<string, ParamSpec>>;
  /** keys of the weights that scores and masks are about, in order of execution */
  readonly prunable: readonly string[];
}

/** A linear head, f = features . weight + bias; never pruned, never trained after fitting. */
export interface Head {
  /** [features, classes] */
  readonly weight: Tensor2D;
  /** [classes] */
  readonly bias: Tensor1D;
}

/** A backbone with its parameters, and a head when outputs (not features) are meant. */
export interface Model {
  readonly net: Net;
  readonly params: Tree;
  readonly head?: Head;
}

/** 1 = kept, 0 = removed, one byte a weight, in the memory order of the parameter; names as in `net.prunable`. */
export type Mask = Readonly<Record<string, Uint8Array>>;

/** A criterion: a number for every prunable weight; the highest are kept. */
export interface Scorer {
  /** in file names and legends, options included */
  readonly name: string;
  /** of one score: "loss", "weight^2", "none" ... */
  readonly unit: string;
  /** false when the score does not look at the data: its mask is the same for every source */
  readonly usesData: boolean;
  /** @returns a tree shaped like the prunable weights; the caller disposes it */
  score(model: Model, data: Batch): Tree;
}

/** clean: scores, heads and accuracy from different images. authors: all from the same, as in the paper's published code. */
export type Protocol = "clean" | "authors";

export type TaskKind = "source" | "transfer" | "unseen" | "far";

/** One measured number (long form: one metric a row). Committed results are CSV files of these. */
export interface Row {
  readonly model: string;
  readonly pretraining: string;
  readonly protocol: Protocol;
  readonly source: string;
  readonly task: string;
  readonly taskKind: TaskKind;
  readonly score: string;
  /** 1: one shot; more: nested rounds from dense to the last keep ratio of the path */
  readonly rounds: number;
  readonly keep: number;
  /** seed of the pre-training run */
  readonly seed: number;
  /** which disjoint draw of scoring images */
  readonly draw: number;
  /** what departs from the default settings, "" for none: "lr=3" */
  readonly variant: string;
  /** "accuracy" (percent, pruned, before fine-tuning), "accuracyFineTuned" (percent), "loss" ... */
  readonly metric: string;
  readonly value: number;
  /** images behind the value */
  readonly n: number;
  readonly seconds: number;
  readonly commit: string;
}

/** y = intercept + slope x by least squares. */
export interface Line {
  readonly intercept: number;
  readonly slope: number;
  /** of the residuals, n - 2 degrees of freedom; NaN for two points */
  readonly sd: number;
  readonly n: number;
  readonly meanX: number;
  /** sum (x - meanX)^2 */
  readonly squaresX: number;
}

/** The mean knee of one backbone: one net and pre-training seed. */
export interface WidthPoint {
  readonly model: string;
  readonly seed: number;
  /** prunable weights */
  readonly weights: number;
  /** an upper bound when runs are censored */
  readonly knee: number;
  /** over sources and draws; NaN for one run or a censored one */
  readonly sd: number;
  readonly runs: number;
  /** runs whose knee is below the smallest keep ratio: a point with any is not fitted */
  readonly censored: number;
}

export interface WidthTrend extends Pick<Row, "score" | "rounds"> {
  readonly points: readonly WidthPoint[];
  /** ln knee over ln weights; undefined for fewer than two sizes that can be fitted */
  readonly line?: Line;
  /** what the line says of the net named in the options: an extrapolation */
  readonly predicted?: {
    readonly net: string;
    readonly weights: number;
    readonly knee: number;
    readonly low: number;
    readonly high: number;
  };
}

/** Loss of a task on the straight way from the dense weights (share 0) to a mask's (share 1). */
export interface LossSlice {
  readonly task: string;
  readonly taskKind: TaskKind;
  readonly score: string;
  readonly rounds: number;
  readonly keep: number;
  /** "" or "shuffled" */
  readonly variant: string;
  readonly shares: readonly number[];
  readonly losses: readonly number[];
}

/** A plotly figure: plain JSON, no tensors, no functions. */
export interface Figure {
  readonly data: readonly Readonly<Record<string, unknown>>[];
  readonly layout: Readonly<Record<string, unknown>>;
}

/** What a long loop reports to; loops await it after every unit of work. It may throw to stop the loop (an interrupt). */
export interface Progress {
  /** @param done units finished so far; @param note short text, for instance "loss 0.021" */
  step(done: number, note?: string): void | Promise<void>;
}
