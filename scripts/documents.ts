/** The documents that are made of committed rows and model cards: CLAIMS.md, docs/results.md, the tables of README.md, figures, pretraining.csv. */
import * as fs from "node:fs";
import * as path from "node:path";
import { checkpoints, experiments, type Figure, notebook, plots, type Row, rows as tidy } from "secateur";
import { finished, folder, GOOD_ENOUGH, isGoodEnough, looked, ofTestFonts, root, rowsOf } from "./studies";

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
  const parts = sections.flatMap(({ title, file, notebook, result, verdicts }) => {
    const list = (column: "model" | "seed" | "source" | "draw"): string =>
      [...new Set(result.filter(({ keep }) => keep < 1).map((row) => row[column]))].join(", ");
    const claims = verdicts(result);
    if (claims.length === 0) return [];
    return [
      `## ${title}`,
      "",
      `Notebook: [${notebook}](notebooks/${notebook}.ipynb). Rows: [data/results/${file}.csv](data/results/${file}.csv) (net ${list("model")}; pre-training seeds ${list("seed")}; sources ${list("source")}; draws of scoring images ${list("draw")}; ${result[0]!.n} test images a task; ${result[0]!.protocol === "clean" ? "clean" : "the authors'"} protocol).`,
      "",
      ...claimLines(claims),
    ].join("\n");
  });
  const pruned = finished().flatMap((study) => rowsOf("p1", study));
  const across = [...experiments.comparisonVerdicts(pruned), ...experiments.decayVerdicts(pruned)];
  return [
    "# Claims",
    "",
    "What the paper (arXiv 2509.24066) claims, what we predicted for the embedded universe, and what came out. Written by `npm run results -- --claims` from the committed rows; not edited by hand.",
    "",
    "A run is one source, pre-training seed and draw. *supports*: the whole 95 % Student-t interval over runs keeps to the prediction; *refutes*: all of it breaks the prediction; *open*: neither. Runs share backbones and tasks, so they are less independent than the interval assumes. The paper's own numbers are for ResNet-50 and ViT on ImageNet tasks and are not in its public material; they cannot be set beside these.",
    "",
    "## Across backbones: architecture, pre-training, width",
    "",
    `Notebook: [08-across-pretrainings](notebooks/08-across-pretrainings.ipynb). Rows: all of P1. ${ACROSS_NOTE}`,
    "",
    ...claimLines(across),
    ...looked().flatMap(([name, look]) => {
      const result = tidy.readCsv(path.join(folder, `${name}.csv`));
      const list = (column: "model" | "pretraining" | "source"): string =>
        [...new Set(result.map((row) => row[column]))].join(", ");
      return [
        `## ${look.title}`,
        "",
        `Notebook: [${look.notebook}](notebooks/${look.notebook}.ipynb). Rows: [data/results/${name}.csv](data/results/${name}.csv) (net ${list("model")}; ${list("pretraining")}; sources ${list("source")}).`,
        "",
        ...claimLines(look.verdicts(result)),
      ];
    }),
    ...parts,
  ].join("\n");
}

const ACROSS_NOTE =
  "Claims within one backbone whose interval is open, or whose mean is smaller than what another draw or source changes, are ties: the notebook has the noise floor and the rankings with ties.";

function claimLines(claims: readonly experiments.Claim[]): string[] {
  const number = (x: number): string => String(Number(x.toPrecision(3)));
  return [
    "| claim | predicted | measured: mean ± sd over runs | n | verdict | id |",
    "|---|---|---|---|---|---|",
    ...claims.map(
      ({ id, claim, predicted, measured, unit, verdict }) =>
        `| ${claim} | ${predicted} | ${number(measured.mean)}${Number.isFinite(measured.sd) ? ` ± ${number(measured.sd)}` : ""} ${unit ?? ""} | ${measured.n} | **${verdict}** | \`${id}\` |`,
    ),
    "",
  ];
}

const mean = (values: readonly number[], digits = 1): string => {
  const { mean, sd, n } = tidy.stats(values);
  return n > 1 ? `${mean.toFixed(digits)} ± ${sd.toFixed(digits)}` : mean.toFixed(digits);
};

/** The table of a study: accuracy after pruning, knee and lift, mean ± sd over runs. */
function studyTable(pruned: readonly Row[], tuned: readonly Row[]): string {
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
    `Percent, mean ± sd over ${tidy.groupBy(runs, ["source", "seed", "draw"]).length} runs (sources, pre-training seeds, draws of scoring images; scores that look at no data have one mask a seed), ${pruned[0]!.n} test images a task, chance 10 %. Knee: keep ratio at which transfer accuracy falls under 90 % of dense. Lift: points of transfer accuracy that fine-tuning on the source adds (${tidy.groupBy(lifts, ["source", "seed", "draw"]).length} runs).`,
  ].join("\n");
}

/** One line for each backbone: what is left at keep 0.41 and 0.17, where the knee is, what fine-tuning lifts. */
function comparisonTable(): string {
  const columns = [
    { score: "magnitude", rounds: 1, title: "magnitude" },
    { score: "diagonal", rounds: 9, title: "diagonal, rounds" },
    { score: "blockObs16", rounds: 9, title: "block OBS, rounds" },
  ];
  const near = (a: number, b: number): boolean => Math.abs(a - b) < 0.02 * b;
  const lines = finished().flatMap((study) => {
    const [pruned, tuned] = [rowsOf("p1", study), ofTestFonts(rowsOf("p2", study))];
    return tidy.groupBy(pruned, ["model", "pretraining", "protocol"]).map(({ key, rows }) => {
      const runs = tidy.replicates(rows).filter((r) => r.taskKind === "transfer");
      const knees = tidy.knees(rows).filter((k) => k.taskKind === "transfer");
      const lifts = (tuned.length > 0 ? tidy.lifts(tuned) : []).filter((l) => l.taskKind === "transfer");
      const cells = columns.map(({ score, rounds }) => {
        const same = (r: { score: string; rounds: number }): boolean => r.score === score && r.rounds === rounds;
        const at = (keep: number): string =>
          mean(runs.filter((r) => same(r) && near(r.keep, keep)).map((r) => r.value));
        const knee = knees.filter(same).map((k) => k.knee);
        if (knee.length === 0) return "not run";
        return `${at(0.4096)} / ${at(0.1678)} / ${knee.includes(null) ? "-" : mean(knee as number[], 2)}`;
      });
      const dense = tidy
        .groupBy(
          rows.filter((r) => r.keep === 1 && r.taskKind === "transfer"),
          ["seed"],
        )
        .map((g) => tidy.stats(g.rows.map((r) => r.value)).mean);
      const lift = (score: string, keep: number): string => {
        const own = lifts.filter((l) => l.score === score && near(l.keep, keep)).map((l) => l.lift);
        return own.length > 0 ? mean(own) : "-";
      };
      const name = `${key.model} ${key.pretraining}${key.protocol === "clean" ? "" : " (authors' protocol)"}`;
      return `| ${name} | ${mean(dense)} | ${cells.join(" | ")} | ${lift("magnitude", 0.1678)} | ${lift("diagonal", 0.1678)} | ${lift("dense", 1)} |`;
    });
  });
  return [
    `| backbone | dense transfer | ${columns.map(({ title }) => `${title}: keep .41 / .17 / knee`).join(" | ")} | lift, magnitude | lift, diagonal | dense after fine-tuning |`,
    "|---|---|---|---|---|---|---|---|",
    ...lines,
    "",
    "Transfer accuracy in percent (mean over the other pre-training tasks; mean ± sd over runs), chance 10 %. Knee: keep ratio at which transfer accuracy falls under 90 % of dense. Lift: points of transfer accuracy that fine-tuning on the source adds at keep 0.17, and to the dense net.",
  ].join("\n");
}

function zooTable(): string {
  const lines = experiments.pretrainedCards().map((card) => {
    const file = path.join(root, "data", "zoo", card.file);
    const size = fs.existsSync(file) ? `${(fs.statSync(file).size / 1e6).toFixed(1)}` : "not shipped";
    const { pretraining, unseen, far } = card.accuracyOfHeads.test;
    return `| ${card.name} | ${card.pretraining} | ${(card.parameters / 1e6).toFixed(2)} | ${size} | ${pretraining.toFixed(1)} / ${unseen.toFixed(1)} / ${far.toFixed(1)} | ${card.settings.epochs} | ${(card.seconds / 60).toFixed(0)} | ${isGoodEnough(card) ? "yes" : "no"} | \`${card.command}\` |`;
  });
  return [
    "| backbone | pre-training | parameters, 10^6 | MB | heads on test fonts: seen / unseen scripts / Fashion, % | epochs | minutes | good enough | command |",
    "|---|---|---|---|---|---|---|---|---|",
    ...lines,
    "",
    `Minutes are wall time on 2 cores that other programs used too. Good enough: heads reach ${GOOD_ENOUGH.resnet} % on seen scripts (Vision Transformers ${GOOD_ENOUGH.vit} %); no conclusion is drawn from a backbone below that.`,
  ].join("\n");
}

function resultsDocument(): string {
  return [
    "# Results",
    "",
    "Every study that is in `data/results`. Written by `npm run results -- --claims` from committed rows and model cards; not edited by hand. What the numbers say about each claim: [CLAIMS.md](../CLAIMS.md).",
    "",
    "## The zoo",
    "",
    zooTable(),
    "",
    "![Accuracy of heads on validation fonts over the epochs of pre-training](pretraining.png)",
    "",
    "## All backbones",
    "",
    comparisonTable(),
    "",
    ...finished()
      .filter(({ p2 }) => p2.length > 0)
      .flatMap((study) => [
        `## ${study.title}`,
        "",
        `${study.p1[0]!.models.join(", ")}. P1: ${costOf(rowsOf("p1", study))}; P2: ${costOf(rowsOf("p2", study))}.`,
        "",
        studyTable(rowsOf("p1", study), ofTestFonts(rowsOf("p2", study))),
        "",
        `![P1](p1${study.suffix}.png)`,
        "",
        `![P2](p2${study.suffix}.png)`,
        "",
      ]),
  ].join("\n");
}

/** Wall time of the units of work behind some rows. */
function costOf(rows: readonly Row[]): string {
  const units = new Map(
    rows.map((r) => [[r.model, r.seed, r.score, r.rounds, r.draw, r.variant, r.seconds].join(), r.seconds]),
  );
  return `${([...units.values()].reduce((a, b) => a + b, 0) / 60).toFixed(0)} minutes of computation on a machine in use`;
}

async function writePicture(name: string, figure: Figure): Promise<void> {
  const png = await notebook.figureToPng(figure);
  if (png) checkpoints.writeFileAtomic(path.join(root, "docs", `${name}.png`), png);
}

export async function writeDocuments(): Promise<void> {
  checkpoints.writeFileAtomic(path.join(root, "CLAIMS.md"), claimsDocument());
  checkpoints.writeFileAtomic(path.join(root, "docs", "results.md"), `${resultsDocument()}\n`);
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8");
  const [from, to] = ["<!-- results: written by npm run results -->", "<!-- end of results -->"];
  const [start, end] = [readme.indexOf(from), readme.indexOf(to)];
  if (start < 0 || end < start) throw new Error("README.md: the marks of the table of results are missing");
  const [first] = finished();
  const tables = [
    `**${first!.title}** (${first!.p1[0]!.models.join(", ")})`,
    studyTable(rowsOf("p1", first!), ofTestFonts(rowsOf("p2", first!))),
    "**All backbones**",
    comparisonTable(),
  ];
  checkpoints.writeFileAtomic(
    path.join(root, "README.md"),
    `${readme.slice(0, start)}${from}\n${tables.join("\n\n")}\n${readme.slice(end)}`,
  );
  for (const study of finished()) {
    if (study.p2.length === 0) continue;
    await writePicture(
      `p1${study.suffix}`,
      plots.sparsityCurve(
        rowsOf("p1", study).filter((row) => !/^(pathExclusion|blockQuadratic|hessianDiagonal|snip)/.test(row.score)),
        { title: `Pruning a ${study.title} on one task: accuracy on that task, on other tasks, far away` },
      ),
    );
    await writePicture(
      `p2${study.suffix}`,
      plots.beforeAfter(
        ofTestFonts(rowsOf("p2", study)).filter((row) => row.keep > 0.1),
        { title: `Fine-tuning the pruned ${study.title} on the source, read on every task` },
      ),
    );
  }
  const curve = experiments.headHistory(experiments.pretrainedCards());
  checkpoints.writeFileAtomic(
    path.join(folder, "pretraining.csv"),
    ["backbone,epoch,quantity,value", ...curve.map((p) => [p.series, p.step, p.quantity, p.value].join()), ""].join(
      "\n",
    ),
  );
  await writePicture(
    "pretraining",
    plots.learningCurve(curve, { title: "Heads on validation fonts while backbones are pre-trained" }),
  );
  console.log(`CLAIMS.md, README.md, docs/results.md and docs/*.png written: ${finished().map(({ title }) => title)}`);
}
