import { kernelWriter } from "./show";

/** Thrown inside a loop after Interrupt was pressed. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  constructor() {
    super("interrupted; finished units of work are kept");
  }
}

let interrupts = 0;
let listening = false;

/**
 * Makes a loop stoppable: `const checkInterrupt = interruptible()` before it, `checkInterrupt()` in it, with an `await` that
 * lets the event loop turn. Needed in the kernel, where tslab ends the cell at an interrupt but lets its loop run on. Outside
 * a kernel Ctrl-C ends the process as usual.
 * @returns a function that throws `Interrupted` once Interrupt was pressed after this call
 */
export function interruptible(): () => void {
  listen();
  const seen = interrupts;
  return () => {
    if (interrupts !== seen) throw new Interrupted();
  };
}

function listen(): void {
  if (listening || !kernelWriter()) return;
  listening = true;
  // not at once: a listener added while tslab's vm watches for SIGINT kills the kernel at the next interrupt
  setImmediate(() => process.on("SIGINT", () => interrupts++));
}
