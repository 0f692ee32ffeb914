/**
 * The committed sweeps: P1 and P2 over pre-training seeds, sources and draws -> data/results/{p1,p2}.csv, with the settings beside
 * them, and CLAIMS.md from the rows.
 *   npm run results              compute what is missing (units of work are cached in build/results, so it can be interrupted)
 *   npm run results -- --claims  only write CLAIMS.md from the committed rows
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { backend, checkpoints, experiments, notebook, type Row, scores, rows as tidy } from "secateur";

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

async function main(): Promise<void> {
  if (!process.argv.includes("--claims")) {
    save("p1", P1, await experiments.p1(P1, { progress: notebook.progress }));
    const tuned = await experiments.p2(P2, { progress: notebook.progress });
    const dead = await experiments.p2(DEAD, { progress: notebook.progress });
    save("p2", { ...P2, dead: DEAD }, [...tuned, ...dead]);
  }
  checkpoints.writeFileAtomic(path.join(root, "CLAIMS.md"), claimsDocument());
  console.log("CLAIMS.md written");
}

void main();
