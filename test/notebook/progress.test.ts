import { notebook } from "secateur";
import { afterEach, describe, expect, test, vi } from "vitest";
import { inKernel } from "./in-kernel";

afterEach(() => {
  vi.useRealTimers();
});

const lines: string[] = [];
const pipe = { write: (text: string) => lines.push(text) };

/** Steps through a bar with 100 ms of (fake) time a unit. */
async function run(total: number, stream: notebook.ProgressStream, note?: string): Promise<string[]> {
  lines.length = 0;
  vi.useFakeTimers({ toFake: ["Date"] });
  const bar = notebook.progress(total, "P1 grid", stream);
  for (let i = 1; i <= total; i++) {
    vi.setSystemTime(Date.now() + 100);
    await bar.step(i, note);
  }
  return [...lines];
}

describe("progress", () => {
  test("into a pipe: one line each 10 %, with what is left", async () => {
    const out = await run(40, pipe, "loss 0.1");
    expect(out).toHaveLength(10);
    expect(out[0]).toBe("P1 grid 10 %, 4/40, loss 0.1, 4 s left\n");
    expect(out[9]).toBe("P1 grid 100 %, 40/40, loss 0.1\n");
  });

  test("into a pipe: few units give few lines, skipped tenths are not repeated", async () => {
    expect((await run(3, pipe)).map((line) => line.split(",")[0])).toEqual([
      "P1 grid 30 %",
      "P1 grid 60 %",
      "P1 grid 100 %",
    ]);
  });

  test("on a terminal: one line overwritten, at most 4 times a second, closed at the end", async () => {
    const out = await run(50, { ...pipe, isTTY: true, columns: 50 });
    expect(out.length).toBeLessThanOrEqual(5 * 4 + 2);
    for (const text of out) expect(text).toMatch(/^\r/);
    expect(out.slice(0, -1).join("")).not.toContain("\n");
    expect(out.at(-1)).toBe("\rP1 grid [########################] 50/50\x1b[K\n");
    for (const text of out) expect(text.replaceAll("\x1b[K", "").trim().length).toBeLessThan(50);
  });

  test("in a notebook: one output that is updated, without times at the end", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const sent = await inKernel(async () => {
      const bar = notebook.progress(30, "fine-tuning");
      for (let i = 1; i <= 30; i++) {
        vi.setSystemTime(Date.now() + 100);
        await bar.step(i);
      }
    });
    expect(sent.map((message) => message.update)).toEqual([false, ...sent.slice(1).map(() => true)]);
    expect(sent.length).toBeLessThanOrEqual(3 * 4 + 2);
    expect(new Set(sent.map((message) => message.transient.display_id)).size).toBe(1);
    expect(sent.at(-1)!.data).toEqual({ "text/plain": "fine-tuning [########################] 30/30" });
    expect(sent.at(-1)!.transient.progress).toMatchObject({ done: 30, total: 30, label: "fine-tuning" });
  });

  test("long waits are told in minutes and hours", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    lines.length = 0;
    const bar = notebook.progress(10, "", pipe);
    vi.setSystemTime(Date.now() + 60_000);
    await bar.step(1);
    vi.setSystemTime(Date.now() + 3_540_000);
    await bar.step(2);
    expect(lines).toEqual(["10 %, 1/10, 9 min left\n", "20 %, 2/10, 4.0 h left\n"]);
  });

  test("refuses a total that is none", () => {
    for (const total of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => notebook.progress(total)).toThrow(/total must be a number > 0/);
  });
});

describe("interruptible", () => {
  test("in the kernel a loop stops at its next step after Interrupt, later loops run", async () => {
    const quiet = () => undefined;
    process.on("SIGINT", quiet); // the test itself survives
    const messages = await inKernel(async () => {
      const check = notebook.interruptible();
      await new Promise((resolve) => setImmediate(resolve));
      const bar = notebook.progress(1000, "loop");
      let done = 0;
      const loop = (async () => {
        while (done < 1000) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          await bar.step(++done);
        }
      })();
      setTimeout(() => process.kill(process.pid, "SIGINT"), 60);
      await expect(loop).rejects.toThrow(notebook.Interrupted);
      expect(done).toBeLessThan(1000);
      expect(check).toThrow(/interrupted; finished units of work are kept/);
      expect(notebook.interruptible()).not.toThrow();
      await notebook.progress(1).step(1);
    });
    process.off("SIGINT", quiet);
    expect(messages.length).toBeGreaterThan(0);
  });
});
