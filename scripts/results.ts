/**
 * The committed sweeps: P1 and P2 over pre-training seeds, sources and draws, a study for each backbone (studies.ts)
 * -> data/results/{p1,p2}SUFFIX.csv, and other rows that claims rest on, with the settings beside them, and the documents that are made
 * of the rows (documents.ts).
 *   npm run results [-- STUDY ...]    compute what is missing (units of work are cached in build/results, so it can be interrupted)
 *   npm run results -- --claims       only write the documents from the committed rows
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { backend, checkpoints, experiments, notebook, type Row, scores, rows as tidy } from "secateur";
import { writeDocuments } from "./documents";
import { folder, LOOKS, once, STUDIES, type Study } from "./studies";

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

async function compute(name: string): Promise<void> {
  const look = LOOKS[name];
  if (look !== undefined)
    return save(name, `npm run results -- ${name}`, look.settings, await look.run({ progress: notebook.progress }));
  const study = STUDIES[name];
  if (study === undefined) throw new RangeError(`study must be one of ${NAMES.join(", ")}, got '${name}'`);
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

const NAMES = [...Object.keys(STUDIES), ...Object.keys(LOOKS)];

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { claims: { type: "boolean", default: false } },
  });
  if (!values.claims) for (const name of positionals.length > 0 ? positionals : NAMES) await compute(name);
  await writeDocuments();
}

void main();
