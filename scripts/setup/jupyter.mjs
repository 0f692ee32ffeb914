import { existsSync, readFileSync } from "node:fs";
import { writeWhole } from "./files.mjs";
import { inRoot } from "./paths.mjs";
import { python } from "./prerequisites.mjs";
import { capture, run } from "./run.mjs";

const venv = inRoot(".venv");
const requirements = inRoot("jupyter/requirements.txt");
const stamp = inRoot(".venv/installed-requirements.txt");

export const venvPython = inRoot(".venv/bin/python");
/** JupyterLab 4.6 asks for more than the set-up does. */
export const oldestPython = [3, 10];

export const jupyterStep = {
  title: "JupyterLab",
  why: "installs JupyterLab and its plotly extension into .venv, about 0.4 GB (a minute or two)",
  done: () => {
    const installed = existsSync(stamp) && readFileSync(stamp, "utf8") === readFileSync(requirements, "utf8");
    // A folder that was moved has a venv that points to the old place.
    return installed && capture(venvPython, ["-c", "import jupyterlab"]).status === 0
      ? "installed in .venv"
      : undefined;
  },
  run: async () => {
    await run(python, ["-m", "venv", "--clear", venv]);
    await run(venvPython, ["-m", "pip", "install", "--disable-pip-version-check", "--requirement", requirements]);
    writeWhole(stamp, readFileSync(requirements, "utf8"));
  },
};
