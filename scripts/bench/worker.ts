/** One measurement a process: what an earlier one left behind in memory does not count. */
import { fork } from "node:child_process";
import { curvature, nets } from "secateur";
import { type Measured, measure, restingMiB, watchPeak } from "./measure";
import { finetuningStep, quantityNamed } from "./quantities";
import { subject } from "./subject";

export interface Task {
  readonly net: string;
  readonly images: number;
  readonly classes: number;
  /** name of a quantity, or FINETUNING: a step with as many images */
  readonly quantity: string;
  readonly repeat: number;
  readonly memoryBytes: number;
}

export interface Outcome extends Measured {
  readonly weights: string;
  /** floating-point operations that it cannot do without */
  readonly operations: number;
}

export const FINETUNING = "fine-tuning step";

/** @throws Error with the message of what went wrong in the process */
export function inOwnProcess(task: Task): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = fork(__filename, [], { execArgv: [...process.execArgv, "--expose-gc"] });
    child.once("message", (outcome) => resolve(outcome as Outcome));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`bench: ${task.quantity} on ${task.net} ended with ${code}`)));
    child.send(task);
  });
}

async function carriedOut({ net, images, classes, quantity, repeat, memoryBytes }: Task): Promise<Outcome> {
  const s = subject(net, { images, classes });
  const forward = 2 * nets.macs(s.model.net) * images;
  curvature.predict(s.model, s.data.x).dispose(); // uploads parameters and images: they are at rest
  const rest = restingMiB();
  if (quantity === FINETUNING) {
    const peakMiB = watchPeak(rest);
    const seconds = await finetuningStep(s, images, repeat);
    return { weights: s.weights, operations: 3 * forward, seconds, peakMiB: peakMiB() };
  }
  const { forwards, run } = quantityNamed(quantity);
  const measured = measure(() => run(s, { memoryBytes }), repeat, rest);
  return { weights: s.weights, operations: forwards(classes) * forward, ...measured };
}

// started by `inOwnProcess`
if (require.main === module)
  process.once("message", (task) => {
    void carriedOut(task as Task).then((outcome) => {
      process.send!(outcome);
      process.disconnect();
    });
  });
