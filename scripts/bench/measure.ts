/** Seconds and peak memory of a piece of work. */
import * as fs from "node:fs";
import { backend, type Tensor } from "secateur";

const { tf } = backend;

/** Tensors, alone or in trees. */
export type Result = Tensor | Readonly<Record<string, unknown>> | number;

export interface Measured {
  /** median over repeats, after a warm-up */
  readonly seconds: number;
  /** peak of resident memory while it ran less `restingMiB()` before; without Linux's /proc the peak of the whole process so far */
  readonly peakMiB: number;
}

/** @param rest resident memory that does not count, as `restingMiB` gave it */
export function measure(run: () => Result, repeat: number, rest: number): Measured {
  once(run);
  const peakMiB = watchPeak(rest);
  const seconds = median(Array.from({ length: repeat }, () => once(run)));
  return { seconds, peakMiB: peakMiB() };
}

/** Seconds of one run; the result is freed outside the measured time. */
export function once(run: () => Result): number {
  const start = process.hrtime.bigint();
  const result = run();
  settle(result);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  tf.dispose(result as never);
  return seconds;
}

/** A GPU computes in the background: reading one number waits for it. On the CPU operations are done when they return. */
function settle(result: Result): void {
  if (backend.device() === "CPU") return;
  const [last] = tf.tensor_util.getTensorsInContainer(result as never).slice(-1);
  if (last) tf.tidy(() => tf.sum(last).dataSync());
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Resident memory now, garbage collected if the process was started with --expose-gc. */
export function restingMiB(): number {
  global.gc?.();
  return process.memoryUsage.rss() / 2 ** 20;
}

/** Starts anew with the peak (Linux forgets it when told so; elsewhere it stays that of the process); the result reads it. */
export function watchPeak(rest: number): () => number {
  try {
    fs.writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    return () => Math.max(0, process.resourceUsage().maxRSS / 1024 - rest);
  }
  return () => {
    const [, kB] = /VmHWM:\s+(\d+) kB/.exec(fs.readFileSync("/proc/self/status", "utf8"))!;
    return Math.max(0, Number(kB) / 1024 - rest);
  };
}
