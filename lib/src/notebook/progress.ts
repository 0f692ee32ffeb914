import type { Progress } from "../types";
import { interruptible } from "./interrupt";
import { kernelWriter } from "./show";

/** A line that tells how far a loop is; `await bar.step(done, note)` after every unit. */
export interface ProgressBar extends Progress {
  /** @throws Interrupted once Interrupt was pressed */
  step(done: number, note?: string): Promise<void>;
}

/** Where the line goes outside a kernel. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const millisecondsBetweenMessages = 250;
const millisecondsBetweenTurns = 50;
let bars = 0;

/**
 * One API for three places: in a notebook an output that is replaced in place (at most 4 messages a second, its last state
 * stays in the file, without times), on a terminal a line that is overwritten, into a pipe one line each 10 %.
 * Every step lets the event loop turn now and then, so that interrupts arrive.
 * @param total   units of work, > 0
 * @param stream  default: standard error
 */
export function progress(total: number, label = "", stream: ProgressStream = process.stderr): ProgressBar {
  if (!(total > 0 && Number.isFinite(total)))
    throw new RangeError(`progress: total must be a number > 0, got ${total}`);
  const checkInterrupt = interruptible();
  const start = Date.now();
  const draw =
    kernelDrawer(total, label) ??
    (stream.isTTY ? terminalDrawer(total, label, stream) : pipeDrawer(total, label, stream));
  let turned = start;
  return {
    async step(done: number, note = ""): Promise<void> {
      const now = Date.now();
      const left = done > 0 && done < total ? remaining(((now - start) / done) * (total - done)) : "";
      draw(done, note, left, now);
      if (now - turned >= millisecondsBetweenTurns || done >= total) {
        await new Promise((resolve) => setImmediate(resolve));
        turned = Date.now();
      }
      checkInterrupt();
    },
  };
}

type Drawer = (done: number, note: string, left: string, now: number) => void;

function kernelDrawer(total: number, label: string): Drawer | undefined {
  const write = kernelWriter();
  if (!write) return undefined;
  const display_id = `progress-${process.pid}-${++bars}`;
  let last = Number.NEGATIVE_INFINITY;
  let begun = false;
  return (done, note, left, now) => {
    if (done < total && now - last < millisecondsBetweenMessages) return;
    last = now;
    const data = { "text/plain": line(done, total, label, note, left) };
    write({ data, metadata: {}, transient: { display_id, progress: { done, total, label, note, left } } }, begun);
    begun = true;
  };
}

function terminalDrawer(total: number, label: string, stream: ProgressStream): Drawer {
  let last = Number.NEGATIVE_INFINITY;
  return (done, note, left, now) => {
    if (done < total && now - last < millisecondsBetweenMessages) return;
    last = now;
    const text = line(done, total, label, note, left).slice(0, (stream.columns ?? 80) - 1);
    stream.write(`\r${text}\x1b[K${done >= total ? "\n" : ""}`);
  };
}

function pipeDrawer(total: number, label: string, stream: ProgressStream): Drawer {
  let tenths = 0;
  return (done, note, left) => {
    const now = Math.floor((10 * done) / total + 1e-9);
    if (now <= tenths) return;
    tenths = now;
    stream.write(`${[`${label} ${10 * now} %`.trim(), `${done}/${total}`, note, left].filter(Boolean).join(", ")}\n`);
  };
}

function line(done: number, total: number, label: string, note: string, left: string): string {
  const filled = Math.max(0, Math.min(24, Math.round((24 * done) / total)));
  return [label, `[${"#".repeat(filled)}${".".repeat(24 - filled)}]`, `${done}/${total}`, note, left]
    .filter(Boolean)
    .join(" ");
}

function remaining(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 100) return `${seconds} s left`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min left` : `${(minutes / 60).toFixed(1)} h left`;
}
