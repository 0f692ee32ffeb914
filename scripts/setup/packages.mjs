import { existsSync } from "node:fs";
import { readJson } from "./files.mjs";
import { inRoot } from "./paths.mjs";
import { npm } from "./prerequisites.mjs";
import { run } from "./run.mjs";

export const packagesStep = {
  title: "npm packages",
  why: "`npm ci` installs the exact versions of package-lock.json, about 0.8 GB (half a minute or more)",
  needs: ["node", "npm", "disk"],
  done: () => {
    const difference = lockDifference(inRoot("package-lock.json"), inRoot("node_modules/.package-lock.json"));
    return difference ? undefined : "installed";
  },
  // The lock file asks for development packages too: the checks and the build need them, whatever NODE_ENV says.
  run: () => run(npm[0], [...npm.slice(1), "ci", "--include=dev", "--no-audit", "--no-fund"]),
};

/** Why the installed packages are not those of the lock file, or undefined when they are. */
export function lockDifference(lockPath, installedPath) {
  if (!existsSync(installedPath)) return "no finished installation";
  const wanted = readJson(lockPath).packages;
  const installed = readJson(installedPath).packages;
  for (const [name, entry] of Object.entries(wanted)) {
    const found = installed[name];
    if (name === "" || (entry.optional && !found)) continue;
    if (found?.version !== entry.version || found?.integrity !== entry.integrity) return `${name} differs`;
  }
  return Object.keys(installed).find((name) => !wanted[name]) && "packages beyond the lock file";
}
