import { existsSync } from "node:fs";
import { readJson } from "./files.mjs";
import { inRoot } from "./paths.mjs";

export const kernelFile = inRoot("jupyter/kernels/tslab/kernel.json");

export const kernelspecStep = {
  title: "TypeScript kernel for Jupyter",
  why: "the notebooks' kernel is described in jupyter/kernels/tslab, which Git keeps",
  done: () => (kernelspecProblem() ? undefined : "in jupyter/kernels/tslab"),
  run: () => {
    throw new Error(`${kernelspecProblem()}; bring it back by: git checkout -- jupyter/kernels`);
  },
};

/** What is wrong with the kernel's description, or undefined. */
export function kernelspecProblem(file = kernelFile) {
  if (!existsSync(file)) return `${file} is missing`;
  try {
    const { argv } = readJson(file);
    const program = argv
      .find((part) => part.endsWith("tslab"))
      .replace("{resource_dir}", inRoot("jupyter/kernels/tslab"));
    return existsSync(program) ? undefined : `${program}, which the kernel's description names, is missing`;
  } catch (error) {
    return `${file} cannot be read: ${error.message}`;
  }
}
