import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

// Runs on Node versions that are too old as well, so that they are told so.
export const here = dirname(fileURLToPath(import.meta.url));
export const root = resolve(here, "../..");
export const inRoot = (...parts) => join(root, ...parts);

export const nodeModules = inRoot("node_modules");
export const bindingPackage = inRoot("node_modules/@tensorflow/tfjs-node-gpu");
