// Everything that this suite needs and Git does not keep. Each step is skipped when done; start again after any stop.
import { addonStep } from "./setup/addon.mjs";
import { kernelspecStep } from "./setup/kernelspec.mjs";
import { libraryStep } from "./setup/library.mjs";
import { withLock } from "./setup/lock.mjs";
import { packagesStep } from "./setup/packages.mjs";
import { inRoot } from "./setup/paths.mjs";
import { atLeast, machineFacts, missingMessage, missingPrerequisites, oldestNode } from "./setup/prerequisites.mjs";
import { needsOf, runSteps } from "./setup/steps.mjs";
import { tensorflowStep } from "./setup/tensorflow.mjs";

const installSteps = [packagesStep, tensorflowStep, addonStep, kernelspecStep];

/** @param options.library false when the caller builds the library itself */
export async function setup({ library = true } = {}) {
  const steps = library ? [...installSteps, libraryStep] : installSteps;
  const start = performance.now();
  await withLock(async () => {
    await refuseWithoutPrerequisites(steps);
    await runSteps(steps);
  });
  console.log(`Set-up complete (${((performance.now() - start) / 1000).toFixed(1)} s)\n`);
}

async function refuseWithoutPrerequisites(steps) {
  const needs = await needsOf(steps);
  if (needs.size === 0 && atLeast(process.versions.node, oldestNode)) return;
  const missing = missingPrerequisites(machineFacts(), new Set([...needs, "node"]), { diskGb: tensorflowStep.diskGb });
  if (missing.length > 0) throw new Error(missingMessage(missing));
}

/** Runs a script's main part; an error ends it with one readable message and status 1. */
export async function main(work) {
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}

if (process.argv[1] === inRoot("scripts/setup.mjs")) await main(() => setup());
