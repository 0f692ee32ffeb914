/**
 * Pre-trains a backbone of the zoo and writes data/zoo/NET-PRETRAINING-seedS.safetensors (float16) with its model card (.json).
 *   npm run pretrain -- glyphs-resnet-supervised [--seed 0] [--epochs 14] [--net rs64x1]
 *   npm run pretrain -- --all          the whole zoo, one after the other
 * Safe to kill: it goes on from its last epoch (state in build/pretrain).
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { parseArgs } from "node:util";
import {
  backend,
  checkpoints,
  datasets,
  experiments,
  heads,
  type ImageSet,
  type Model,
  type Net,
  nets,
  notebook,
  type Tree,
  train,
  tree,
} from "secateur";

const root = path.resolve(__dirname, "..");
const stateFolder = path.join(root, "build", "pretrain");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "0" },
    epochs: { type: "string" },
    net: { type: "string" },
    all: { type: "boolean", default: false },
  },
});

/** What a run may change of its recipe. */
interface Choice {
  readonly seed: number;
  readonly epochs: number;
}

interface Entry {
  readonly net: string;
  readonly pretraining: "supervised" | "supervised-nodecay" | "moco" | "dino";
  readonly epochs: number;
  /** heads are fitted on the backbone after every so many epochs, after the first and after the last */
  readonly evaluateEvery: number;
  prepare(): {
    readonly trainedOn: Readonly<Record<string, unknown>>;
    readonly stepsPerEpoch: number;
    settings(choice: Choice): object;
    run(
      net: Net,
      choice: Choice,
      options: train.PretrainOptions,
    ): Promise<{ params: Tree; history: readonly train.EpochRecord[] }>;
  };
}

const supervised = (
  net: string,
  recipe: train.PretrainRecipe,
  pretraining: Entry["pretraining"] = "supervised",
): Entry => ({
  net,
  pretraining,
  epochs: recipe.epochs,
  evaluateEvery: 1,
  prepare() {
    const set = datasets.pretrainingSet();
    const settings = (choice: Choice): train.PretrainSettings => ({ ...recipe, ...choice });
    return {
      trainedOn: { name: set.name, hash: set.hash, images: set.shape[0], classes: set.classes },
      stepsPerEpoch: Math.floor(set.shape[0] / recipe.batchSize),
      settings,
      run: (on, choice, options) => train.pretrainSupervised(on, set, settings(choice), options),
    };
  },
});

function selfSupervised<Recipe extends train.MocoRecipe | train.DinoRecipe>(
  net: string,
  pretraining: "moco" | "dino",
  recipe: Recipe,
  pretrain: (
    net: Net,
    source: train.ViewSource,
    settings: Recipe & Choice,
    options: train.PretrainOptions,
  ) => Promise<{ params: Tree; history: readonly train.EpochRecord[] }>,
): Entry {
  return {
    net,
    pretraining,
    epochs: recipe.epochs,
    evaluateEvery: 2,
    prepare() {
      const source = train.glyphViews();
      const settings = (choice: Choice): Recipe & Choice => ({ ...recipe, ...choice });
      return {
        trainedOn: { name: source.name, hash: source.hash, instances: source.instances },
        stepsPerEpoch: recipe.stepsPerEpoch,
        settings,
        run: (on, choice, options) => pretrain(on, source, settings(choice), options),
      };
    },
  };
}

const entries: Readonly<Record<string, Entry>> = {
  "glyphs-resnet-supervised": supervised("rs64x1", train.SUPERVISED_RESNET),
  // a control: what weight decay does to magnitudes
  "glyphs-resnet-supervised-nodecay": supervised(
    "rs64x1",
    { ...train.SUPERVISED_RESNET, weightDecay: 0 },
    "supervised-nodecay",
  ),
  "glyphs-vit-supervised": supervised("vh128x4", train.SUPERVISED_VIT),
  "glyphs-resnet-moco": selfSupervised("rs64x1", "moco", train.MOCO_RESNET, train.pretrainMoco),
  "glyphs-resnet-dino": selfSupervised("rs64x1", "dino", train.DINO_RESNET, train.pretrainDino),
  "glyphs-vit-moco": selfSupervised("vh128x4", "moco", train.MOCO_VIT, train.pretrainMoco),
  "glyphs-vit-dino": selfSupervised("vh128x4", "dino", train.DINO_VIT, train.pretrainDino),
};

/** The whole zoo, the arguments of one run each. */
const zoo: readonly { readonly name: string; readonly seed: number; readonly net?: string }[] = [
  ...Object.entries(entries).flatMap(([name, { pretraining }]) =>
    (pretraining === "supervised" ? [0, 1] : [0]).map((seed) => ({ name, seed })),
  ),
  ...["rs32x1", "rs128x1"].map((net) => ({ name: "glyphs-resnet-supervised", seed: 0, net })),
];

async function main(): Promise<void> {
  if (values.all) return retrainAll();
  const [name = ""] = positionals;
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (!entry) throw new Error(`name must be one of ${Object.keys(entries).join(", ")}, got '${name}'`);
  const seed = Number(values.seed);
  const epochs = Number(values.epochs ?? entry.epochs);
  await pretrain(name, entry, nets.netByName(values.net ?? entry.net), { seed, epochs });
}

/** The whole zoo; when interrupted, it goes on with the runs that are not done yet. */
async function retrainAll(): Promise<void> {
  const doneFile = path.join(stateFolder, "all.json");
  const done: string[] = fs.existsSync(doneFile) ? JSON.parse(fs.readFileSync(doneFile, "utf8")) : [];
  for (const { name, seed, net } of zoo) {
    const entry = entries[name]!;
    const run = `${name} ${net ?? entry.net} ${seed}`;
    if (done.includes(run)) continue;
    await pretrain(name, entry, nets.netByName(net ?? entry.net), { seed, epochs: entry.epochs });
    done.push(run);
    checkpoints.writeFileAtomic(doneFile, `${JSON.stringify(done)}\n`);
  }
  fs.rmSync(doneFile);
}

async function pretrain(name: string, entry: Entry, net: Net, choice: Choice): Promise<void> {
  const commit = experiments.commit(); // of the code that trains, not of the day it ends
  const { trainedOn, stepsPerEpoch, settings, run } = entry.prepare();
  const { seed, epochs } = choice;
  const label = `${net.name}-${entry.pretraining}-seed${seed}`;
  const stateFile = path.join(stateFolder, `${label}.safetensors`);
  const { params, history } = await run(net, choice, {
    stateFile,
    progress: notebook.progress(epochs * stepsPerEpoch, label),
    evaluate(model, epoch) {
      if (epoch > 1 && epoch < epochs && epoch % entry.evaluateEvery !== 0) return {};
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
    pretraining: entry.pretraining,
    parameters: nets.parameterCount(net),
    licence: "Apache-2.0",
    trainedOn,
    settings: settings(choice),
    accuracyOfHeads: {
      validation: headAccuracy(shipped, "validation"),
      test: headAccuracy(shipped, "test"),
      unit: "percent, mean over tasks, 1000 images a task",
    },
    history,
    seconds: history.reduce((sum, record) => sum + record.seconds, 0),
    machine: {
      cpu: os.cpus()[0]?.model,
      cores: os.cpus().length,
      engine: backend.engineVersion(),
      device: backend.device(),
    },
    commit,
    command: [
      `npm run pretrain -- ${name} --seed ${seed}`,
      ...(net.name === entry.net ? [] : [`--net ${net.name}`]),
      ...(epochs === entry.epochs ? [] : [`--epochs ${epochs}`]),
    ].join(" "),
  };
  checkpoints.writeFileAtomic(path.join(root, "data", "zoo", `${label}.json`), `${JSON.stringify(card, null, 2)}\n`);
  fs.rmSync(stateFile);
  tree.disposeTree(params);
  tree.disposeTree(shipped.params);
  console.log(`${file} written; heads on test fonts: ${JSON.stringify(card.accuracyOfHeads.test)}`);
}

/** Mean accuracy (percent) of ridge heads, by kind of task: fitted on training fonts, read on `role` fonts. */
function headAccuracy(model: Model, role: "validation" | "test"): Record<string, number> {
  const byKind: Record<string, number[]> = {};
  for (const { name, kind } of datasets.tasks()) {
    const head = heads.fitHead(model, imagesOf(name, "head"));
    const percent = heads.accuracyOf({ ...model, head }, imagesOf(name, role));
    tree.disposeTree({ ...head });
    byKind[kind] = [...(byKind[kind] ?? []), percent];
  }
  return Object.fromEntries(
    Object.entries(byKind).map(([kind, all]) => [kind, all.reduce((a, b) => a + b, 0) / all.length]),
  );
}

const known = new Map<string, ImageSet>();

/** A task's images, made once. */
function imagesOf(task: string, role: datasets.Role): ImageSet {
  const key = `${task}/${role}`;
  const set = known.get(key) ?? datasets.subset(task, role);
  known.set(key, set);
  return set;
}

void main();
