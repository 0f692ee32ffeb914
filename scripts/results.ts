/**
 * The committed sweeps: P1 and P2 over pre-training seeds, sources and draws -> data/results/{p1,p2}{,-vit}.csv, with the settings
 * beside them, and the documents that are made of the rows.
 *   npm run results [-- resnet|vit]   compute what is missing (units of work are cached in build/results, so it can be interrupted)
 *   npm run results -- --claims       only write the documents from the committed rows
 * Documents: CLAIMS.md, the tables of results in README.md, docs/{p1,p2}{,-vit}.png.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { parseArgs } from "node:util";
import {
  backend,
  checkpoints,
  experiments,
  notebook,
  plots,
  type Row,
  type Scorer,
  scores,
  rows as tidy,
} from "secateur";

const root = path.resolve(__dirname, "..");
const folder = path.join(root, "data", "results");
const rounds = experiments.KEEP_GRID.length;
const once = (scorer: Scorer): experiments.Curve => ({ scorer, rounds: 1 });
const inRounds = (scorer: Scorer): experiments.Curve => ({ scorer, rounds });

interface Study {
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

/** The shipped backbones of one net and pre-training, a seed each. */
const shipped = (net: string, pretraining: string): string[] =>
  experiments.zoo().filter((name) => {
    const card = experiments.modelCard(name);
    return card.net === net && card.pretraining === pretraining;
  });
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
/** Path exclusion is for nets of ReLU. */
const RELU_CURVES = [...CURVES, ...both(scores.pathExclusion())];
const HESSIAN_CURVES = [
  ...both(scores.hessianDiagonal({ draws: 4, ranking: "absolute" })),
  once(scores.hessianDiagonal({ draws: 4, ranking: "signed" })),
];

function p2Of(
  models: readonly string[],
  perClass: number,
  rate: number,
  more: Partial<experiments.P2Settings> = {},
): experiments.P2Settings[] {
  const curves = [once(scores.magnitude()), inRounds(scores.diagonal())];
  const tuned = { models, sources, perClass, rate, curves, ...more };
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
const STUDIES: Readonly<Record<string, Study>> = {
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
        curves: [
          once(scores.magnitude()),
          ...both(scores.diagonal()),
          inRounds(scores.blockObs({ chunk: 16 })),
          once(scores.random()),
        ],
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
        curves: [
          once(scores.magnitude()),
          ...both(scores.diagonal()),
          ...both(scores.blockObs({ chunk: 16 })),
          once(scores.random()),
        ],
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

function save(name: string, command: string, settings: unknown, result: readonly Row[]): void {
  fs.mkdirSync(folder, { recursive: true });
  tidy.writeCsv(path.join(folder, `${name}.csv`), result);
  const about = {
    settings,
    engine: backend.engineVersion(),
    device: backend.device(),
    command,
    commits: [...new Set(result.map(({ commit }) => commit))],
  };
  checkpoints.writeFileAtomic(path.join(folder, `${name}.json`), `${JSON.stringify(about, null, 2)}\n`);
}

type Prediction = "p1" | "p2";
const there = (name: Prediction, { suffix }: Study): boolean =>
  fs.existsSync(path.join(folder, `${name}${suffix}.csv`));
/** Studies whose rows are there. */
const finished = (): Study[] =>
  Object.values(STUDIES).filter((study) => there("p1", study) && (study.p2.length === 0 || there("p2", study)));
const rowsOf = (name: Prediction, study: Study): Row[] =>
  there(name, study) ? tidy.readCsv(path.join(folder, `${name}${study.suffix}.csv`)) : [];
/** Without the runs on validation fonts that chose the learning rate. */
const ofTestFonts = (rows: readonly Row[]): Row[] => rows.filter(({ variant }) => variant === "");

function claimsDocument(): string {
  const sections = finished().flatMap((study) => [
    {
      title: `P1 on the ${study.title}: pruning on a source keeps transfer`,
      file: `p1${study.suffix}`,
      notebook: study.notebooks.p1,
      result: rowsOf("p1", study),
      verdicts: study.verdicts ?? experiments.p1Verdicts,
    },
    ...(study.p2.length > 0
      ? [
          {
            title: `P2 on the ${study.title}: fine-tuning on the source lifts transfer`,
            file: `p2${study.suffix}`,
            notebook: study.notebooks.p2,
            result: ofTestFonts(rowsOf("p2", study)),
            verdicts: experiments.p2Verdicts,
          },
        ]
      : []),
  ]);
  const number = (x: number): string => String(Number(x.toPrecision(3)));
  const parts = sections.flatMap(({ title, file, notebook, result, verdicts }) => {
    const list = (column: "model" | "seed" | "source" | "draw"): string =>
      [...new Set(result.filter(({ keep }) => keep < 1).map((row) => row[column]))].join(", ");
    const lines = verdicts(result).map(
      ({ id, claim, predicted, measured, unit, verdict }) =>
        `| ${claim} | ${predicted} | ${number(measured.mean)}${Number.isFinite(measured.sd) ? ` ± ${number(measured.sd)}` : ""} ${unit ?? ""} | ${measured.n} | **${verdict}** | \`${id}\` |`,
    );
    if (lines.length === 0) return [];
    return [
      `## ${title}`,
      "",
      `Notebook: [${notebook}](notebooks/${notebook}.ipynb). Rows: [data/results/${file}.csv](data/results/${file}.csv) (net ${list("model")}; pre-training seeds ${list("seed")}; sources ${list("source")}; draws of scoring images ${list("draw")}; ${result[0]!.n} test images a task; ${result[0]!.protocol === "clean" ? "clean" : "the authors'"} protocol).`,
      "",
      "| claim | predicted | measured: mean ± sd over runs | n | verdict | id |",
      "|---|---|---|---|---|---|",
      ...lines,
      "",
    ].join("\n");
  });
  return [
    "# Claims",
    "",
    "What the paper (arXiv 2509.24066) claims, what we predicted for the embedded universe, and what came out. Written by `npm run results -- --claims` from the committed rows; not edited by hand.",
    "",
    "A run is one source, pre-training seed and draw. *supports*: the whole 95 % Student-t interval over runs keeps to the prediction; *refutes*: all of it breaks the prediction; *open*: neither. Runs share backbones and tasks, so they are less independent than the interval assumes. The paper's own numbers are for ResNet-50 and ViT on ImageNet tasks and are not in its public material; they cannot be set beside these.",
    "",
    ...parts,
  ].join("\n");
}

const mean = (values: readonly number[], digits = 1): string => {
  const { mean, sd, n } = tidy.stats(values);
  return n > 1 ? `${mean.toFixed(digits)} ± ${sd.toFixed(digits)}` : mean.toFixed(digits);
};

/** The table of README.md: accuracy after pruning, knee and lift, mean ± sd over runs. */
function readmeTable(pruned: readonly Row[], tuned: readonly Row[]): string {
  const runs = tidy.replicates(pruned);
  const knees = tidy.knees(pruned);
  const lifts = tidy.lifts(tuned);
  const near = (a: number, b: number): boolean => Math.abs(a - b) < 0.02 * b;
  const lines = tidy.groupBy(runs, ["score", "rounds"]).map(({ key, rows: own }) => {
    const same = (r: { score: string; rounds: number }): boolean => r.score === key.score && r.rounds === key.rounds;
    const at = (kind: string, keep: number): string =>
      mean(own.filter((r) => r.taskKind === kind && near(r.keep, keep)).map((r) => r.value));
    const knee = knees
      .filter((k) => same(k) && k.taskKind === "transfer" && k.knee !== null)
      .map((k) => k.knee as number);
    const lift = lifts.filter((l) => same(l) && l.taskKind === "transfer" && near(l.keep, 0.1678)).map((l) => l.lift);
    return `| ${key.score} | ${key.rounds === 1 ? "one shot" : `${key.rounds} rounds`} | ${at("source", 0.4096)} | ${at("transfer", 0.4096)} | ${at("transfer", 0.2621)} | ${at("transfer", 0.1678)} | ${mean(knee, 2)} | ${lift.length > 0 ? mean(lift) : "-"} |`;
  });
  const dense = (kind: string): string =>
    mean(
      tidy
        .groupBy(
          pruned.filter((r) => r.keep === 1 && r.taskKind === kind),
          ["seed"],
        )
        .map((g) => tidy.stats(g.rows.map((r) => r.value)).mean),
    );
  const control = lifts.filter((l) => l.score === "dense" && l.taskKind === "transfer").map((l) => l.lift);
  return [
    "| score | schedule | source, keep 0.41 | transfer, keep 0.41 | keep 0.26 | keep 0.17 | knee | lift at keep 0.17 |",
    "|---|---|---|---|---|---|---|---|",
    `| dense | | ${dense("source")} | ${dense("transfer")} | | | | ${mean(control)} |`,
    ...lines,
    "",
    `Percent, mean ± sd over ${tidy.groupBy(runs, ["source", "seed", "draw"]).length} runs (sources, pre-training seeds, draws of scoring images; scores that look at no data have one mask a seed), ${pruned[0]!.n} test images a task, chance 10 %. Knee: keep ratio at which 90 % of dense transfer accuracy is lost. Lift: points of transfer accuracy that fine-tuning on the source adds (${tidy.groupBy(lifts, ["source", "seed", "draw"]).length} runs).`,
  ].join("\n");
}

async function writeDocuments(): Promise<void> {
  checkpoints.writeFileAtomic(path.join(root, "CLAIMS.md"), claimsDocument());
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8");
  const [from, to] = ["<!-- results: written by npm run results -->", "<!-- end of results -->"];
  const [start, end] = [readme.indexOf(from), readme.indexOf(to)];
  if (start < 0 || end < start) throw new Error("README.md: the marks of the table of results are missing");
  const tables = finished().map(
    (study) =>
      `**${study.title}** (${study.p1[0]!.models.join(", ")})\n\n${readmeTable(rowsOf("p1", study), ofTestFonts(rowsOf("p2", study)))}`,
  );
  checkpoints.writeFileAtomic(
    path.join(root, "README.md"),
    `${readme.slice(0, start)}${from}\n${tables.join("\n\n")}\n${readme.slice(end)}`,
  );
  for (const study of finished()) {
    const figures = {
      p1: plots.sparsityCurve(
        rowsOf("p1", study).filter((row) => !/^(pathExclusion|blockQuadratic|hessianDiagonal|snip)/.test(row.score)),
        { title: `Pruning a ${study.title} on one task: accuracy on that task, on other tasks, far away` },
      ),
      p2: plots.beforeAfter(
        rowsOf("p2", study).filter((row) => row.keep > 0.1),
        { title: `Fine-tuning the pruned ${study.title} on the source, read on every task` },
      ),
    };
    for (const [name, figure] of Object.entries(figures)) {
      const png = await notebook.figureToPng(figure);
      if (png) checkpoints.writeFileAtomic(path.join(root, "docs", `${name}${study.suffix}.png`), png);
    }
  }
  console.log(`CLAIMS.md, README.md and docs/*.png written: ${finished().map(({ title }) => title)}`);
}

async function compute(name: string): Promise<void> {
  const study = STUDIES[name];
  if (study === undefined)
    throw new RangeError(`study must be one of ${Object.keys(STUDIES).join(", ")}, got '${name}'`);
  const models = study.p1[0]!.models;
  if (models.length === 0) return console.log(`${name}: no backbone in the zoo, left out`);
  const command = `npm run results -- ${name}`;
  const { progress } = notebook;
  const pruned: Row[] = [];
  for (const settings of study.p1) pruned.push(...(await experiments.p1(settings, { progress })));
  save(`p1${study.suffix}`, command, study.p1, distinct(pruned));
  if (study.p2.length === 0) return;
  const { tried, rate } = await chosenRate(study);
  const tuned = [...tried];
  const settings = study.p2.map((s) => (rate === undefined ? s : { ...s, rate }));
  for (const s of settings) tuned.push(...(await experiments.p2(s, { progress })));
  save(`p2${study.suffix}`, command, settings, tuned);
}

/** Settings of one file share the dense reference. */
const distinct = (rows: readonly Row[]): Row[] => [...new Map(rows.map((row) => [JSON.stringify(row), row])).values()];

/**
 * The learning rate with the highest transfer accuracy of the fine-tuned magnitude mask (keep 0.17) among those that cost the dense
 * net less than 2 points of transfer; the lowest when all cost more. Read on validation fonts, source hebrew, first seed.
 */
async function chosenRate({ p2, rates = [] }: Study): Promise<{ tried: Row[]; rate?: number }> {
  const tried: Row[] = [];
  const outcomes: { rate: number; pruned: number; cost: number }[] = [];
  const { models, perClass } = p2[0]!;
  for (const rate of rates) {
    const rows = await experiments.p2(
      {
        models: models.slice(0, 1),
        sources: ["hebrew"],
        perClass,
        rate,
        curves: [once(scores.magnitude())],
        keeps: [1, 0.1678],
        evaluateOn: "validation",
        variant: `validation rate=${rate}`,
      },
      { progress: notebook.progress },
    );
    tried.push(...rows);
    const transfer = tidy.lifts(rows).filter(({ taskKind }) => taskKind === "transfer");
    const dense = transfer.find(({ score }) => score === "dense")!;
    const pruned = transfer.find(({ score }) => score === "magnitude")!;
    outcomes.push({ rate, pruned: pruned.after, cost: -dense.lift });
  }
  const harmless = outcomes.filter(({ cost }) => cost < 2);
  const best = (harmless.length > 0 ? harmless : outcomes.slice(0, 1)).sort((a, b) => b.pruned - a.pruned)[0];
  if (best) console.log(`learning rate ${best.rate} of ${JSON.stringify(outcomes)}`);
  return best ? { tried, rate: best.rate } : { tried };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { claims: { type: "boolean", default: false } },
  });
  if (!values.claims)
    for (const name of positionals.length > 0 ? positionals : Object.keys(STUDIES)) await compute(name);
  await writeDocuments();
}

void main();
