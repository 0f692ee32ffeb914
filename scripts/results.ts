/**
 * The committed sweeps: P1 and P2 over pre-training seeds, sources and draws -> data/results/{p1,p2}.csv, with the settings beside
 * them, and the documents that are made of the rows.
 *   npm run results              compute what is missing (units of work are cached in build/results, so it can be interrupted)
 *   npm run results -- --claims  only write the documents from the committed rows
 * Documents: CLAIMS.md, the table of results in README.md, docs/p1.png and docs/p2.png.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { backend, checkpoints, experiments, notebook, plots, type Row, scores, rows as tidy } from "secateur";

const root = path.resolve(__dirname, "..");
const folder = path.join(root, "data", "results");
const models = experiments
  .zoo()
  .filter(
    (name) => experiments.modelCard(name).net === "rs64x1" && experiments.modelCard(name).pretraining === "supervised",
  );
const rounds = experiments.KEEP_GRID.length;

const P1 = {
  models,
  sources: ["hebrew", "latin_cap", "hangul"],
  draws: [0, 1],
  perClass: 30,
  curves: [
    { scorer: scores.magnitude(), rounds: 1 },
    { scorer: scores.diagonal(), rounds: 1 },
    { scorer: scores.diagonal(), rounds },
    { scorer: scores.blockObs({ chunk: 16 }), rounds: 1 },
    { scorer: scores.blockObs({ chunk: 16 }), rounds },
    { scorer: scores.pathExclusion(), rounds: 1 },
    { scorer: scores.blockQuadratic(), rounds: 1 },
    { scorer: scores.random(), rounds: 1 },
  ],
};
const P2 = {
  models,
  sources: ["hebrew", "latin_cap", "hangul"],
  keeps: [1, 0.2621, 0.1678, 0.1074],
  perClass: 30,
  curves: [
    { scorer: scores.magnitude(), rounds: 1 },
    { scorer: scores.diagonal(), rounds },
  ],
};
const DEAD = { ...P2, keeps: [0.044], curves: [P2.curves[0]!] };

function save(name: string, settings: unknown, result: readonly Row[]): void {
  fs.mkdirSync(folder, { recursive: true });
  tidy.writeCsv(path.join(folder, `${name}.csv`), result);
  const about = {
    settings,
    engine: backend.engineVersion(),
    device: backend.device(),
    command: "npm run results",
    commits: [...new Set(result.map(({ commit }) => commit))],
  };
  checkpoints.writeFileAtomic(path.join(folder, `${name}.json`), `${JSON.stringify(about, null, 2)}\n`);
}

function claimsDocument(): string {
  const sections = [
    {
      title: "P1: pruning on a source keeps transfer",
      file: "p1",
      notebook: "03-p1-pruning-keeps-transfer",
      verdicts: experiments.p1Verdicts,
    },
    {
      title: "P2: fine-tuning on the source lifts transfer",
      file: "p2",
      notebook: "04-p2-fine-tuning",
      verdicts: experiments.p2Verdicts,
    },
  ];
  const number = (x: number): string => String(Number(x.toPrecision(3)));
  const parts = sections.map(({ title, file, notebook, verdicts }) => {
    const result = tidy.readCsv(path.join(folder, `${file}.csv`));
    const list = (column: "model" | "seed" | "source" | "draw"): string =>
      [...new Set(result.filter(({ keep }) => keep < 1).map((row) => row[column]))].join(", ");
    const lines = verdicts(result).map(
      ({ id, claim, predicted, measured, unit, verdict }) =>
        `| ${claim} | ${predicted} | ${number(measured.mean)}${Number.isFinite(measured.sd) ? ` ± ${number(measured.sd)}` : ""} ${unit ?? ""} | ${measured.n} | **${verdict}** | \`${id}\` |`,
    );
    return [
      `## ${title}`,
      "",
      `Notebook: [${notebook}](notebooks/${notebook}.ipynb). Rows: [data/results/${file}.csv](data/results/${file}.csv) (net ${list("model")}; pre-training seeds ${list("seed")}; sources ${list("source")}; draws of scoring images ${list("draw")}; ${result[0]!.n} test images a task; clean protocol).`,
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
  const [pruned, tuned] = ["p1", "p2"].map((name) => tidy.readCsv(path.join(folder, `${name}.csv`))) as [Row[], Row[]];
  checkpoints.writeFileAtomic(path.join(root, "CLAIMS.md"), claimsDocument());
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8");
  const [from, to] = ["<!-- results: written by npm run results -->", "<!-- end of results -->"];
  const [start, end] = [readme.indexOf(from), readme.indexOf(to)];
  if (start < 0 || end < start) throw new Error("README.md: the marks of the table of results are missing");
  checkpoints.writeFileAtomic(
    path.join(root, "README.md"),
    `${readme.slice(0, start)}${from}\n${readmeTable(pruned, tuned)}\n${readme.slice(end)}`,
  );
  const figures = {
    "p1.png": plots.sparsityCurve(
      pruned.filter((row) => !/^(pathExclusion|blockQuadratic)/.test(row.score)),
      { title: "Pruning on one task: accuracy on that task, on other tasks, far away" },
    ),
    "p2.png": plots.beforeAfter(
      tuned.filter((row) => row.keep > 0.1),
      { title: "Fine-tuning the pruned net on the source, read on every task" },
    ),
  };
  for (const [name, figure] of Object.entries(figures)) {
    const png = await notebook.figureToPng(figure);
    if (png) checkpoints.writeFileAtomic(path.join(root, "docs", name), png);
  }
  console.log("CLAIMS.md, README.md, docs/p1.png and docs/p2.png written");
}

async function main(): Promise<void> {
  if (!process.argv.includes("--claims")) {
    save("p1", P1, await experiments.p1(P1, { progress: notebook.progress }));
    const tuned = await experiments.p2(P2, { progress: notebook.progress });
    const dead = await experiments.p2(DEAD, { progress: notebook.progress });
    save("p2", { ...P2, dead: DEAD }, [...tuned, ...dead]);
  }
  await writeDocuments();
}

void main();
