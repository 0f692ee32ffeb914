/**
 * Seconds, GFLOP/s and ratio to the operation count of the second-order quantities on a shipped backbone, 100 scoring images, 10 outputs.
 *   npm run bench [-- --json] [--repeat 5]
 * Medians over repeats; run it on a quiet machine. The count is F = 2 x MAC of one forward pass, times what each quantity needs.
 */
import * as os from "node:os";
import { parseArgs } from "node:util";
import { backend, curvature, experiments, masks, nets, scores, train, tree } from "secateur";

const { values } = parseArgs({
  options: { json: { type: "boolean", default: false }, repeat: { type: "string", default: "5" } },
});
const repeat = Number(values.repeat);
if (!(Number.isInteger(repeat) && repeat >= 1))
  throw new RangeError(`repeat must be a positive integer, got ${values.repeat}`);

const { tf } = backend;
const bench = new experiments.Workbench({
  model: "rs64x1-supervised-seed0",
  protocol: "clean",
  perClass: 1,
  evaluateOn: "test",
});
const model = bench.model("hebrew");
const data = bench.scoringData("hebrew", 0);
const [n, classes] = [data.x.shape[0], 10];
const F = 2 * nets.macs(model.net) * n;
const free = (result: unknown): void => tf.dispose(result as never);

interface Case {
  readonly name: string;
  /** floating-point operations that it cannot do without */
  readonly operations: number;
  run(): void;
}

const cases: Case[] = [
  { name: "forward", operations: F, run: () => free(curvature.predict(model, data.x)) },
  { name: "gradient", operations: 3 * F, run: () => free(curvature.lossGradient(model, data).gradient) },
  { name: "exact diagonal", operations: (1 + 2 * classes) * F, run: () => free(curvature.gnDiag(model, data)) },
  {
    name: "block product, all layers",
    operations: (2 + classes) * F,
    run: () => free(curvature.gnBlockProduct(model, data)),
  },
  {
    name: "diagonal and block product",
    operations: (2 + 2 * classes) * F,
    run: () => free(curvature.gnDiagAndBlockProduct(model, data)),
  },
  {
    name: "Gauss-Newton-vector product",
    operations: 5 * F,
    run: () => free(curvature.gnProduct(model, data, nets.prunableWeights(model))),
  },
  {
    name: "block OBS score, chunks of 16",
    operations: (1 + 2 * classes) * F + 2 * nets.prunableCount(model.net) * n * classes * 16,
    run: () => free(scores.blockObs({ chunk: 16 }).score(model, data)),
  },
  { name: "path exclusion score", operations: 3 * F, run: () => free(scores.pathExclusion().score(model, data)) },
];

function secondsOf(run: () => void): number {
  run(); // warm-up
  const times = Array.from({ length: repeat }, () => {
    const start = process.hrtime.bigint();
    run();
    return Number(process.hrtime.bigint() - start) / 1e9;
  });
  return times.sort((a, b) => a - b)[Math.floor(repeat / 2)]!;
}

async function main(): Promise<void> {
  const rows = cases.map(({ name, operations, run }) => {
    const seconds = secondsOf(run);
    return { name, seconds, gflops: operations / seconds / 1e9, gradients: 0 };
  });
  const set = bench.finetuningSet("hebrew");
  const steps = Math.floor(set.shape[0] / 64);
  const start = Date.now();
  const { params } = await train.finetune(model, masks.fullMask(model.net), set, { epochs: 2 });
  tree.disposeTree(params);
  const step = (Date.now() - start) / 1000 / (2 * steps);
  rows.push({ name: "fine-tuning step, batch 64", seconds: step, gflops: (3 * F * 0.64) / step / 1e9, gradients: 0 });
  const gradient = rows.find(({ name }) => name === "gradient")!.seconds;
  const report = rows.map((row) => ({ ...row, gradients: row.seconds / gradient }));
  const about = {
    net: model.net.name,
    images: n,
    classes,
    repeat,
    engine: backend.engineVersion(),
    device: backend.device(),
    cpu: os.cpus()[0]?.model,
    cores: os.cpus().length,
    commit: experiments.commit(),
    peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
  };
  if (values.json) console.log(JSON.stringify({ ...about, report }, null, 2));
  else {
    console.log(JSON.stringify(about));
    for (const { name, seconds, gflops, gradients } of report)
      console.log(
        `${name.padEnd(32)} ${(1000 * seconds).toFixed(1).padStart(8)} ms ${gflops.toFixed(0).padStart(5)} GFLOP/s ${gradients.toFixed(2).padStart(7)} gradients`,
      );
  }
}

void main();
