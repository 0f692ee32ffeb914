/** The committed sweeps: what each computes, and where its rows are. */
import * as fs from "node:fs";
import * as path from "node:path";
import { experiments, type Row, type Scorer, scores, rows as tidy } from "secateur";

export const root = path.resolve(__dirname, "..");
export const folder = path.join(root, "data", "results");
const rounds = experiments.KEEP_GRID.length;
export const once = (scorer: Scorer): experiments.Curve => ({ scorer, rounds: 1 });
const inRounds = (scorer: Scorer): experiments.Curve => ({ scorer, rounds });

export interface Study {
  /** end of the names of its files: data/results/p1SUFFIX.csv */
  readonly suffix: string;
  readonly title: string;
  readonly notebooks: { readonly p1: string; readonly p2: string };
  /** together they make one file, and so do those of p2 */
  readonly p1: readonly experiments.P1Settings[];
  readonly p2: readonly experiments.P2Settings[];
  /** learning rates of P2 to choose from on validation fonts; without it the settings of p2 stand as they are */
  readonly rates?: readonly number[];
  /** what P1's rows say (default `experiments.p1Verdicts`) */
  readonly verdicts?: (rows: readonly Row[]) => experiments.Claim[];
}

/** What heads must reach on seen scripts (test fonts) before conclusions are drawn from a backbone, percent. */
export const GOOD_ENOUGH = { resnet: 75, vit: 70 };
export const isGoodEnough = ({ net, accuracyOfHeads }: experiments.PretrainedCard): boolean =>
  accuracyOfHeads.test.pretraining! >= (net.startsWith("v") ? GOOD_ENOUGH.vit : GOOD_ENOUGH.resnet);

/** Cards of the backbones whose weights are there, and that are good enough. */
const cards = experiments
  .pretrainedCards()
  .filter((card) => experiments.zoo().includes(card.name) && isGoodEnough(card));
/** Those of one net and pre-training, a seed each. */
const shipped = (net: string, pretraining: string): string[] =>
  cards.filter((card) => card.net === net && card.pretraining === pretraining).map(({ name }) => name);
const sources = ["hebrew", "latin_cap", "hangul"];
const both = (scorer: Scorer): experiments.Curve[] => [once(scorer), inRounds(scorer)];

/** Scores that see no data give the same mask in one shot and in rounds. */
const CURVES: readonly experiments.Curve[] = [
  once(scores.magnitude()),
  ...both(scores.diagonal()),
  ...both(scores.blockObs({ chunk: 16 })),
  ...both(scores.blockQuadratic()),
  ...both(scores.snip()),
  once(scores.random()),
];
/** The scores that the claims are about, for controls. */
const MAIN_CURVES: readonly experiments.Curve[] = [
  once(scores.magnitude()),
  ...both(scores.diagonal()),
  ...both(scores.blockObs({ chunk: 16 })),
  once(scores.random()),
];
/** Path exclusion is for nets of ReLU. */
const RELU_CURVES = [...CURVES, ...both(scores.pathExclusion())];
const HESSIAN_CURVES = [
  ...both(scores.hessianDiagonal({ draws: 4, ranking: "absolute" })),
  once(scores.hessianDiagonal({ draws: 4, ranking: "signed" })),
];

function p2Of(models: readonly string[], perClass: number, rate: number): experiments.P2Settings[] {
  const curves = [once(scores.magnitude()), inRounds(scores.diagonal())];
  const tuned = { models, sources, perClass, rate, curves };
  return [
    { ...tuned, keeps: [1, 0.2621, 0.1678, 0.1074] },
    { ...tuned, keeps: [0.044], curves: [once(scores.magnitude())] },
  ];
}

const resnet = (pretraining: string, perClass: number): Pick<Study, "p1" | "p2"> => {
  const models = shipped("rs64x1", pretraining);
  return {
    p1: [{ models, sources, perClass, draws: [0, 1], curves: RELU_CURVES }],
    p2: p2Of(models, perClass, 0.3),
  };
};
const vit = (pretraining: string): Pick<Study, "p1" | "p2"> => {
  const models = shipped("vh128x4", pretraining);
  return {
    p1: [{ models, sources, perClass: 20, draws: [0, 1], curves: CURVES }],
    p2: p2Of(models, 20, 0.1),
  };
};

const ACROSS = { p1: "08-across-pretrainings", p2: "08-across-pretrainings" };
const VIT = vit("supervised");
export const STUDIES: Readonly<Record<string, Study>> = {
  resnet: {
    suffix: "",
    title: "ResNet",
    notebooks: { p1: "03-p1-pruning-keeps-transfer", p2: "04-p2-fine-tuning" },
    ...resnet("supervised", 30),
  },
  "resnet-moco": {
    suffix: "-moco",
    title: "ResNet of MoCo v2",
    notebooks: ACROSS,
    ...resnet("moco", 20),
    rates: [0.03, 0.1, 0.3],
  },
  "resnet-dino": {
    suffix: "-dino",
    title: "ResNet of DINO",
    notebooks: ACROSS,
    ...resnet("dino", 20),
    rates: [0.03, 0.1, 0.3],
  },
  width: {
    suffix: "-width",
    title: "narrow and the wide ResNet",
    notebooks: ACROSS,
    verdicts: () => [], // two nets: they are compared, not pooled
    p1: [
      {
        models: [...shipped("rs32x1", "supervised"), ...shipped("rs128x1", "supervised")],
        sources,
        perClass: 20,
        draws: [0, 1],
        curves: [once(scores.magnitude()), ...both(scores.diagonal()), once(scores.random())],
      },
      // minutes a path on the wide net
      {
        models: shipped("rs32x1", "supervised"),
        sources,
        perClass: 20,
        draws: [0, 1],
        curves: [inRounds(scores.blockObs({ chunk: 16 }))],
      },
    ],
    p2: [],
  },
  nodecay: {
    suffix: "-nodecay",
    title: "ResNet trained without weight decay",
    notebooks: ACROSS,
    p1: [
      {
        models: shipped("rs64x1", "supervised-nodecay"),
        sources,
        perClass: 20,
        draws: [0, 1],
        curves: MAIN_CURVES,
      },
    ],
    p2: [],
  },
  authors: {
    suffix: "-authors",
    title: "ResNet under the authors' protocol",
    notebooks: ACROSS,
    p1: [
      {
        models: shipped("rs64x1", "supervised").slice(0, 1),
        sources,
        perClass: 20,
        protocol: "authors",
        draws: [0],
        curves: MAIN_CURVES,
      },
    ],
    p2: [],
  },
  vit: {
    suffix: "-vit",
    title: "Vision Transformer",
    verdicts: (rows) => [...experiments.p1Verdicts(rows), ...experiments.transformerVerdicts(rows)],
    notebooks: { p1: "07-vision-transformers", p2: "07-vision-transformers" },
    ...VIT,
    p1: [...VIT.p1, { ...VIT.p1[0]!, models: VIT.p1[0]!.models.slice(0, 1), curves: HESSIAN_CURVES }],
  },
  "vit-moco": {
    suffix: "-vit-moco",
    title: "Vision Transformer of MoCo v2",
    notebooks: ACROSS,
    ...vit("moco"),
    rates: [0.03, 0.1, 0.3],
  },
  "vit-dino": {
    suffix: "-vit-dino",
    title: "Vision Transformer of DINO",
    notebooks: ACROSS,
    ...vit("dino"),
    rates: [0.03, 0.1, 0.3],
  },
};

/** Rows of other experiments that claims rest on: data/results/NAME.csv. */
export interface Look {
  readonly title: string;
  readonly notebook: string;
  readonly settings: readonly object[];
  run(options: experiments.RunOptions): Promise<Row[]>;
  verdicts(rows: readonly Row[]): experiments.Claim[];
}

const firstSeeds = cards.filter(({ settings }) => settings.seed === 0).map(({ name }) => name);
const ablated: experiments.AblationSettings = {
  models: ["supervised", "moco", "dino"].flatMap((pretraining) => shipped("rs64x1", pretraining).slice(0, 1)),
  sources,
  keeps: [0.4096, 0.1678],
  curves: [once(scores.magnitude()), inRounds(scores.diagonal()), inRounds(scores.blockObs({ chunk: 16 }))],
};
const norms: experiments.AblationSettings = {
  ...ablated,
  models: ["supervised", "moco", "dino"].flatMap((pretraining) => shipped("rs64x1", pretraining)),
  keeps: experiments.KEEP_GRID,
  ablations: ["", "recalibrated"],
};
const start = { models: firstSeeds, sources };
const expansions: experiments.SecondOrderSettings = {
  ...start,
  grid: [0.4096],
  curves: [once(scores.magnitude()), once(scores.diagonal())],
};

export const LOOKS: Readonly<Record<string, Look>> = {
  "first-order": {
    title: "Is the start a minimum?",
    notebook: "08-across-pretrainings",
    settings: [start, expansions],
    run: async (options) => [
      ...(await experiments.firstOrder(start, options)),
      ...(await experiments.secondOrder(expansions, options)),
    ],
    verdicts: experiments.minimumVerdicts,
  },
  ablations: {
    title: "Masks up close: which part carries transfer",
    notebook: "09-masks-up-close",
    settings: [ablated],
    run: (options) => experiments.ablations(ablated, options),
    verdicts: experiments.ablationVerdicts,
  },
  norms: {
    title: "Norm statistics estimated again",
    notebook: "09-masks-up-close",
    settings: [norms],
    run: (options) => experiments.ablations(norms, options),
    verdicts: (rows) => experiments.perBackbone(rows, experiments.normVerdicts),
  },
};
/** Looks whose rows are there. */
export const looked = (): [name: string, look: Look][] =>
  Object.entries(LOOKS).filter(([name]) => fs.existsSync(path.join(folder, `${name}.csv`)));

export type Prediction = "p1" | "p2";
export const there = (name: Prediction, { suffix }: Study): boolean =>
  fs.existsSync(path.join(folder, `${name}${suffix}.csv`));
/** Studies whose rows are there. */
export const finished = (): Study[] =>
  Object.values(STUDIES).filter((study) => there("p1", study) && (study.p2.length === 0 || there("p2", study)));
export const rowsOf = (name: Prediction, study: Study): Row[] =>
  there(name, study) ? tidy.readCsv(path.join(folder, `${name}${study.suffix}.csv`)) : [];
/** Without the runs on validation fonts that chose the learning rate. */
export const ofTestFonts = (rows: readonly Row[]): Row[] => rows.filter(({ variant }) => variant === "");
