import { spawn, spawnSync } from "node:child_process";
import { noteChild } from "./lock.mjs";
import { root } from "./paths.mjs";

/** Runs a program with its output shown as it comes. Rejects unless it ends with status 0. */
export async function run(command, args, { env = {}, cwd = root } = {}) {
  const { status, signal } = await runToEnd(command, args, { env, cwd });
  if (status !== 0) {
    throw new Error(`'${[command, ...args].join(" ")}' ended with ${signal ? `signal ${signal}` : `status ${status}`}`);
  }
}

/** Like `run`, but resolves with the status whatever it is. */
export function runToEnd(command, args, { env = {}, cwd = root, stdio = "inherit" } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio, env: { ...process.env, ...env } });
    child.on("spawn", () => noteChild(child.pid));
    child.on("error", (error) => reject(new Error(`cannot start '${command}': ${error.message}`)));
    child.on("close", (status, signal) => resolve({ status, signal }));
  });
}

/** Runs a program silently: its status (undefined when it could not start) and what it printed. */
export function capture(command, args, { env = {}, cwd = root, timeout } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    timeout,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, ...env },
  });
  return {
    status: result.status ?? undefined,
    stdout: result.stdout ?? "",
    stderr: result.stderr ?? "",
    text: `${result.stdout ?? ""}${result.stderr ?? ""}`,
  };
}
