/**
 * Speed and memory of the second-order quantities: seconds, GFLOP/s, seconds over the bound, peak memory.
 *   npm run bench [-- --net rs64x1] [--images 100] [--classes 10] [--repeat 5] [--memory 256] [--json]
 *   npm run bench -- --scaling [--net rs64x1]      time and memory against the number of images and of classes
 * Nets: rs64x1 and vh128x4 with 100 images, resnet50 and vits16 at 224 pixels with 4. The bound is the operations that a
 * quantity cannot do without, divided by the best rate that the engine reaches in the same run. Medians; for a quiet machine.
 */
import * as os from "node:os";
import { parseArgs } from "node:util";
import { backend, experiments, nets } from "secateur";
import type { Measured } from "./bench/measure";
import { enginePeaks } from "./bench/peak";
import { quantities, scoreQuantities } from "./bench/quantities";
import { type Growth, growth } from "./bench/scaling";
import { defaultImages } from "./bench/subject";
import { FINETUNING, inOwnProcess } from "./bench/worker";

const NETS = ["rs64x1", "vh128x4", "resnet50", "vits16"];

const { values } = parseArgs({
  options: {
    net: { type: "string", multiple: true, default: NETS },
    images: { type: "string" },
    classes: { type: "string", default: "10" },
    repeat: { type: "string" },
    memory: { type: "string", default: "256" },
    scaling: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

function positive(name: "images" | "classes" | "repeat" | "memory"): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1)) throw new RangeError(`${name} must be a positive integer, got ${text}`);
  return value;
}

interface Line extends Measured {
  readonly name: string;
  readonly gflops: number;
  /** seconds over operations / peak rate */
  readonly overBound: number;
  /** seconds over those of the gradient */
  readonly gradients: number;
}

interface Report {
  readonly net: string;
  readonly weights: string;
  readonly images: number;
  readonly classes: number;
  readonly gflopAnImage: number;
  readonly memoryBudgetMiB: number;
  readonly repeat: number;
  readonly lines: readonly Line[];
}

async function report(netName: string, peak: number): Promise<Report> {
  const net = nets.netByName(netName);
  const large = net.input[0] > 100;
  const images = positive("images") ?? defaultImages(net);
  const repeat = positive("repeat") ?? (large ? 3 : 5);
  const [classes, memory] = [positive("classes")!, positive("memory")!];
  const tasks = [
    ...[...quantities, ...(large ? [] : scoreQuantities.filter(({ on }) => on(net)))].map(({ name }) => ({
      quantity: name,
      images,
    })),
    { quantity: FINETUNING, images: large ? images : 64 },
  ];
  const lines: Omit<Line, "gradients">[] = [];
  let weights = "";
  for (const task of tasks) {
    const outcome = await inOwnProcess({ net: netName, classes, repeat, memoryBytes: memory * 2 ** 20, ...task });
    const { operations, seconds, peakMiB } = outcome;
    weights = outcome.weights;
    lines.push({
      name: task.quantity === FINETUNING ? `${FINETUNING}, batch ${task.images}` : task.quantity,
      ...{ seconds, peakMiB, gflops: operations / seconds / 1e9, overBound: (seconds * peak * 1e9) / operations },
    });
  }
  const gradient = lines.find(({ name }) => name === "gradient")!.seconds;
  return {
    ...{ net: netName, weights, images, classes, gflopAnImage: (2 * nets.macs(net)) / 1e9, memoryBudgetMiB: memory },
    ...{ repeat, lines: lines.map((line) => ({ ...line, gradients: line.seconds / gradient })) },
  };
}

function about(): Readonly<Record<string, unknown>> {
  return {
    engine: backend.engineVersion(),
    device: backend.device(),
    cpu: os.cpus()[0]?.model,
    cores: os.cpus().length,
    loadAverage: os.loadavg()[0],
    node: process.version,
    commit: experiments.commit(),
  };
}

const cell = (value: number, width: number, digits: number): string => value.toFixed(digits).padStart(width);

function print({ net, weights, images, classes, gflopAnImage, memoryBudgetMiB, repeat, lines }: Report): void {
  console.log(
    `\n${net} (weights: ${weights}), ${images} images, C = ${classes}, ${gflopAnImage.toPrecision(3)} GFLOP a forward pass of one image, budget ${memoryBudgetMiB} MiB, medians of ${repeat}`,
  );
  console.log(`${" ".repeat(34)}    seconds  GFLOP/s  x bound  gradients  peak MiB above rest`);
  for (const line of lines)
    console.log(
      `${line.name.padEnd(34)} ${cell(line.seconds, 10, 4)} ${cell(line.gflops, 8, 0)} ${cell(line.overBound, 8, 2)} ${cell(line.gradients, 10, 2)} ${cell(line.peakMiB, 9, 0)}`,
    );
}

function printGrowth({ name, unit, points, exponent }: Growth): void {
  console.log(`\n${name}, by ${unit}: seconds grow like ${unit}^${exponent.toFixed(2)}`);
  for (const { count, seconds, peakMiB } of points)
    console.log(
      `${String(count).padStart(6)} ${unit.padEnd(8)} ${cell(seconds, 10, 4)} s ${cell((1000 * seconds) / count, 10, 3)} ms each ${cell(peakMiB, 8, 0)} MiB above rest`,
    );
}

async function main(): Promise<void> {
  if (values.scaling) {
    const net = values.net === NETS ? "rs64x1" : values.net[0]!;
    const grown = await growth(net, { repeat: positive("repeat") ?? 3, memoryBytes: positive("memory")! * 2 ** 20 });
    if (values.json)
      console.log(JSON.stringify({ ...about(), net, memoryBudgetMiB: positive("memory"), grown }, null, 2));
    else {
      console.log(JSON.stringify({ ...about(), net, memoryBudgetMiB: positive("memory") }));
      for (const one of grown) printGrowth(one);
    }
    return;
  }
  for (const net of values.net) nets.netByName(net); // a wrong name is told before anything runs
  const peaks = enginePeaks();
  if (!values.json) {
    console.log(JSON.stringify(about()));
    for (const { name, gflops } of peaks) console.log(`peak: ${name.padEnd(38)} ${cell(gflops, 6, 0)} GFLOP/s`);
  }
  const peak = Math.max(...peaks.map(({ gflops }) => gflops));
  const reports: Report[] = [];
  for (const net of values.net) {
    reports.push(await report(net, peak));
    if (!values.json) print(reports[reports.length - 1]!);
  }
  if (values.json) console.log(JSON.stringify({ ...about(), peaks, reports }, null, 2));
}

void main();
