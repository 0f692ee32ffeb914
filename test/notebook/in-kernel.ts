import { createRequire } from "node:module";

type Message = {
  data: Record<string, unknown>;
  metadata: Record<string, unknown>;
  transient: Record<string, unknown>;
};

export interface Sent extends Message {
  readonly update: boolean;
}

const require = createRequire(import.meta.url);

/** Runs f as in a cell of tslab; what it sent to the front end is returned. */
export async function inKernel(f: () => unknown): Promise<Sent[]> {
  const kernel = require("tslab/dist/jupyter.js") as {
    lastWriteDisplayData: ((message: Message, update?: boolean) => void) | null;
  };
  const sent: Sent[] = [];
  kernel.lastWriteDisplayData = (message, update = false) => sent.push({ ...message, update });
  try {
    await f();
  } finally {
    kernel.lastWriteDisplayData = null;
  }
  return sent;
}
