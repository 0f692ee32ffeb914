import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { writeWhole } from "./files.mjs";
import { buildDir, inRoot } from "./paths.mjs";

const lockFile = inRoot("build/setup.lock");
let held = false;

/**
 * One set-up at a time: waits while another one runs. A set-up that was killed leaves the lock behind, and perhaps a
 * child (npm, pip, the compiler) still at work: the lock counts until both are gone.
 */
export async function withLock(work, say = console.log) {
  mkdirSync(buildDir, { recursive: true });
  for (let waited = false; !tryLock(); waited = true) {
    if (!waited) say("Another set-up is at work in this folder: waiting for it");
    await sleep(1000);
  }
  held = true;
  try {
    return await work();
  } finally {
    held = false;
    rmSync(lockFile, { force: true });
  }
}

/** Tells the lock which child is at work. */
export function noteChild(pid) {
  if (held) writeWhole(lockFile, [identity(process.pid), identity(pid)].join("\n"));
}

function tryLock() {
  try {
    writeFileSync(lockFile, identity(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  if (holders().some((holder) => holder !== "" && holder === identity(Number.parseInt(holder, 10)))) return false;
  rmSync(lockFile, { force: true });
  return tryLock();
}

function holders() {
  try {
    return readFileSync(lockFile, "utf8").split("\n");
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
