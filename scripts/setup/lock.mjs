import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { writeWhole } from "./files.mjs";
import { inRoot } from "./paths.mjs";

let held;

/**
 * One set-up at a time: waits while another one runs. A set-up that was killed leaves the lock behind, and perhaps a
 * child (npm, pip, the compiler) still at work: the lock counts until both are gone.
 */
export async function withLock(work, { file = inRoot("build/setup.lock"), say = console.log } = {}) {
  mkdirSync(dirname(file), { recursive: true });
  for (let waited = false; !tryLock(file); waited = true) {
    if (!waited) say("Another set-up is at work in this folder: waiting for it");
    await sleep(1000);
  }
  held = file;
  try {
    return await work();
  } finally {
    held = undefined;
    rmSync(file, { force: true });
  }
}

/** Tells the lock which child is at work. */
export function noteChild(pid) {
  if (held) writeWhole(held, [identity(process.pid), identity(pid)].join("\n"));
}

/** The lock file appears at once with its content: a link to a file that is complete, refused when there is one. */
function tryLock(file) {
  const own = `${file}.${process.pid}`;
  writeFileSync(own, identity(process.pid));
  try {
    linkSync(own, file);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  } finally {
    rmSync(own);
  }
  if (holders(file).some((holder) => holder !== "" && holder === identity(Number.parseInt(holder, 10)))) return false;
  rmSync(file, { force: true });
  return tryLock(file);
}

function holders(file) {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch {
    return [];
  }
}

/** Process number and start time, since numbers are used again; "" when there is no such process. */
function identity(pid) {
  try {
    const afterName = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
    return afterName[0] === "Z" ? "" : `${pid} ${afterName[19]}`;
  } catch {
    return "";
  }
}
