/**
 * Pre-trains a backbone of the zoo and writes data/zoo/NAME-seedS.safetensors (float16) with its model card NAME-seedS.json.
 *   npm run pretrain -- glyphs-resnet-supervised [--seed 0] [--epochs 14] [--net rs64x1]
 * Safe to kill: it goes on from its last epoch (state in build/pretrain).
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { backend, checkpoints, datasets, experiments, heads, type Model, nets, notebook, train, tree } from "secateur";

const root = path.resolve(__dirname, "..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "0" },
    epochs: { type: "string" },
    net: { type: "string" },
  },
});

/** The zoo: net and recipe by name. */
const recipes: Readonly<Record<string, { net: string; recipe: train.PretrainRecipe }>> = {
  "glyphs-resnet-supervised": { net: "rs64x1", recipe: train.SUPERVISED_RESNET },
  "glyphs-vit-supervised": { net: "vh128x4", recipe: train.SUPERVISED_VIT },
};

/** Mean accuracy (percent) of ridge heads, by kind of task: fitted on training fonts, read on `role` fonts. */
function headAccuracy(model: Model, role: "validation" | "test"): Record<string, number> {
  const byKind: Record<string, number[]> = {};
  for (const { name, kind } of datasets.tasks()) {
    const head = heads.fitHead(model, datasets.subset(name, "head"));
    const percent = heads.accuracyOf({ ...model, head }, datasets.subset(name, role));
    tree.disposeTree({ ...head });
    byKind[kind] = [...(byKind[kind] ?? []), percent];
  }
  return Object.fromEntries(
    Object.entries(byKind).map(([kind, all]) => [kind, all.reduce((a, b) => a + b, 0) / all.length]),
  );
}

async function main(): Promise<void> {
  const commit = experiments.commit(); // of the code that trains, not of the day it ends
  const [name = ""] = positionals;
  const entry = Object.hasOwn(recipes, name) ? recipes[name] : undefined;
  if (!entry) throw new Error(`name must be one of ${Object.keys(recipes).join(", ")}, got '${name}'`);
  const seed = Number(values.seed);
  const settings = { ...entry.recipe, ...(values.epochs ? { epochs: Number(values.epochs) } : {}), seed };
  const net = nets.netByName(values.net ?? entry.net);
  const set = datasets.pretrainingSet();
  const label = `${net.name}-supervised-seed${seed}`;
  const stateFile = path.join(root, "build", "pretrain", `${label}.safetensors`);
  const steps = settings.epochs * Math.floor(set.shape[0] / settings.batchSize);
  const { params, history } = await train.pretrainSupervised(net, set, settings, {
    stateFile,
    progress: notebook.progress(steps, label),
    evaluate(model, epoch) {
      const validation = headAccuracy(model, "validation");
      console.log(
        `${label} epoch ${epoch}: heads on validation fonts ${Object.entries(validation)
          .map(([kind, v]) => `${kind} ${v.toFixed(1)}`)
          .join(", ")}`,
      );
      return validation;
    },
  });

  // what ships is float16: the accuracies below are those of the rounded file
  const file = path.join(root, "data", "zoo", `${label}.safetensors`);
  checkpoints.saveParams(file, net, params, {
    dtype: "F16",
    metadata: { net: net.name, recipe: name, seed: String(seed) },
  });
  const shipped: Model = { net, params: checkpoints.loadParams(file, net) };
  const card = {
    name: label,
    file: path.basename(file),
    sha256: checkpoints.sha256File(file),
    net: net.name,
    pretraining: "supervised",
    parameters: nets.parameterCount(net),
    licence: "Apache-2.0",
    trainedOn: { name: set.name, hash: set.hash, images: set.shape[0], classes: set.classes },
    settings,
    accuracyOfHeads: {
      validation: headAccuracy(shipped, "validation"),
      test: headAccuracy(shipped, "test"),
      unit: "percent, mean over tasks, 1000 images a task",
    },
    history,
    seconds: history.reduce((sum, { seconds }) => sum + seconds, 0),
    machine: {
      cpu: os.cpus()[0]?.model,
      cores: os.cpus().length,
      engine: backend.engineVersion(),
      device: backend.device(),
    },
    commit,
    command: `npm run pretrain -- ${name} --seed ${seed}${net.name === entry.net ? "" : ` --net ${net.name}`}`,
  };
  checkpoints.writeFileAtomic(path.join(root, "data", "zoo", `${label}.json`), `${JSON.stringify(card, null, 2)}\n`);
  fs.rmSync(stateFile);
  console.log(`${file} written; heads on test fonts: ${JSON.stringify(card.accuracyOfHeads.test)}`);
}

void main();
