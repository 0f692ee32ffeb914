/**
 * The library beside PyTorch, BackPACK and curvlinops on this machine: both sides by turns, one table.
 *   npm run bench:peers [-- --python bench/peers/.venv/bin/python] [--net rs64x1] [--rounds 5] [--images 100] [--json]
 * What to install first: bench/peers/README.md. About five minutes on a quiet machine.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { backend, experiments, nets } from "secateur";
import { formulaImages, formulaModel } from "../../test/fixtures/peers/formula";
import { median, once } from "./measure";
import { finetuningStep, quantityNamed } from "./quantities";
import type { Subject } from "./subject";
import { FINETUNING } from "./worker";

const { tf } = backend;
const root = path.resolve(__dirname, "../..");

const { values } = parseArgs({
  options: {
    python: { type: "string", default: path.join(root, "bench/peers/.venv/bin/python") },
    net: { type: "string", multiple: true, default: ["rs64x1", "vh128x4"] },
    rounds: { type: "string", default: "5" },
    images: { type: "string", default: "100" },
    json: { type: "boolean", default: false },
  },
});

function positive(name: "rounds" | "images"): number {
  const value = Number(values[name]);
  if (!(Number.isInteger(value) && value >= 1))
    throw new RangeError(`${name} must be a positive integer, got ${values[name]}`);
  return value;
}

interface Comparison {
  readonly peer: string;
  readonly quantity: string;
  /** the peer's seconds over ours are to be at least this */
  readonly target?: number;
  /** nets that the peer can do it for (default: all) */
  readonly only?: string;
}

const CLASSES = 10;
/** seconds from which on three rounds are enough */
const SLOW = 4;
const BATCH = 64;
const comparisons: readonly Comparison[] = [
  { peer: "torch", quantity: "forward" },
  { peer: "torch", quantity: "gradient" },
  { peer: "BackPACK", quantity: "exact diagonal", target: 3, only: "rs64x1" },
  { peer: "torch.func", quantity: "exact diagonal" },
  { peer: "curvlinops", quantity: "block product, all layers", target: 20 },
  { peer: "curvlinops", quantity: "Gauss-Newton-vector product" },
  { peer: "curvlinops", quantity: "Hessian-vector product" },
  { peer: "torch", quantity: "Hessian-vector product" },
  { peer: "torch", quantity: FINETUNING, target: 1 },
];

/** The Python side: one line of JSON for a task, one for its answer. */
class Peers {
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly answers: AsyncIterator<string>;
  private errors = "";

  constructor(python: string) {
    if (!fs.existsSync(python))
      throw new Error(
        `python must be an interpreter with bench/peers/requirements.txt installed, there is no ${python}`,
      );
    this.process = spawn(python, [path.join(root, "bench/peers/worker.py")]);
    this.process.stderr.on("data", (text) => {
      this.errors = `${this.errors}${text}`.slice(-2000);
    });
    this.answers = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  async ask<Answer>(task: Readonly<Record<string, unknown>>): Promise<Answer> {
    this.process.stdin.write(`${JSON.stringify(task)}\n`);
    const { done, value } = await this.answers.next();
    if (done) throw new Error(`bench:peers: the Python side ended at ${JSON.stringify(task)}\n${this.errors}`);
    return JSON.parse(value) as Answer;
  }

  end(): void {
    this.process.stdin.end();
  }
}

interface Line extends Comparison {
  readonly net: string;
  readonly images: number;
  readonly ours: number;
  readonly theirs: number;
  readonly ratio: number;
  /** relative difference of the results' norms; none where the result is not compared */
  readonly apart?: number;
}

/** Length of all entries together. */
function norm(result: unknown): number {
  const squares = tf.tidy(() =>
    tf.tensor_util.getTensorsInContainer(result as never).map((t) => tf.sum(tf.square(t)).dataSync()[0]!),
  );
  return Math.sqrt(squares.reduce((a, b) => a + b, 0));
}

async function compare(peers: Peers, s: Subject, comparison: Comparison): Promise<Line> {
  const { peer, quantity } = comparison;
  const net = s.model.net.name;
  const tuning = quantity === FINETUNING;
  const images = tuning ? BATCH : s.data.x.shape[0];
  const theirs = (): Promise<{ seconds: number; norm: number }> =>
    peers.ask({ net, peer, quantity, images, classes: CLASSES });
  const work = tuning ? undefined : quantityNamed(quantity);
  const ours = async (): Promise<number> => (work ? once(() => work.run(s, {})) : finetuningStep(s, BATCH, 3));

  const first = await theirs(); // makes net and operators
  const slow = first.seconds > SLOW;
  if (!slow) await theirs();
  await ours();
  let apart: number | undefined;
  if (work) {
    const result = work.run(s, {});
    apart = Math.abs(norm(result) / first.norm - 1);
    tf.dispose(result as never);
  }
  const [mine, other]: [number[], number[]] = [[], []];
  const rounds = slow ? Math.min(positive("rounds"), 3) : positive("rounds");
  for (let round = 0; round < rounds; round++) {
    mine.push(await ours());
    await setTimeout(50); // threads of one side come to rest before the other starts
    other.push((await theirs()).seconds);
    await setTimeout(50);
  }
  const [a, b] = [median(mine), median(other)];
  return { ...comparison, net, images, ours: a, theirs: b, ratio: b / a, apart };
}

function print({ net, quantity, images, peer, ours, theirs, ratio, apart, target }: Line): void {
  const verdict = target === undefined ? "" : `${ratio >= target ? "met" : "MISSED"}: at least ${target}x`;
  console.log(
    `${net.padEnd(8)} ${quantity.padEnd(28)} ${String(images).padStart(4)} ${ours.toFixed(4).padStart(9)} ${peer.padEnd(11)} ${theirs.toFixed(4).padStart(9)} ${ratio.toFixed(2).padStart(7)}  ${(apart?.toExponential(1) ?? "-").padStart(8)}  ${verdict}`,
  );
}

async function main(): Promise<void> {
  const peers = new Peers(values.python);
  try {
    const about = {
      ours: backend.engineVersion(),
      peers: await peers.ask<Record<string, unknown>>({ about: true }),
      cpu: os.cpus()[0]?.model,
      cores: os.cpus().length,
      loadAverage: os.loadavg()[0],
      commit: experiments.commit(),
      rounds: positive("rounds"),
      classes: CLASSES,
    };
    if (!values.json) {
      console.log(JSON.stringify(about));
      console.log(
        "net      quantity                     images ours, s peer          peer, s  peer/ours  apart    target",
      );
    }
    const lines: Line[] = [];
    for (const name of values.net) {
      const net = nets.netByName(name);
      const images = positive("images");
      const data = {
        x: formulaImages(net, images) as Subject["data"]["x"],
        labels: Int32Array.from({ length: images }, (_, i) => i % CLASSES),
      };
      const s: Subject = {
        model: formulaModel(net, { classes: CLASSES }),
        weights: "by formula",
        data,
        classes: CLASSES,
      };
      for (const comparison of comparisons.filter(({ only = name }) => only === name)) {
        lines.push(await compare(peers, s, comparison));
        if (!values.json) print(lines[lines.length - 1]!);
      }
      tf.dispose([s.model.params, s.model.head, data.x] as never);
    }
    if (values.json) console.log(JSON.stringify({ ...about, lines }, null, 2));
  } finally {
    peers.end();
  }
}

void main();
