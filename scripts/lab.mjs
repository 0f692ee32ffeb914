// `npm run lab`: JupyterLab on notebooks/, with the TypeScript kernel and live plotly figures. Its own options follow
// a double dash: npm run lab -- --no-browser
import { delimiter } from "node:path";
import { jupyterStep, oldestPython, venvPython } from "./setup/jupyter.mjs";
import { inRoot } from "./setup/paths.mjs";
import { machineFacts, missingMessage, missingPrerequisites } from "./setup/prerequisites.mjs";
import { runToEnd } from "./setup/run.mjs";
import { runSteps } from "./setup/steps.mjs";
import { main, setup } from "./setup.mjs";

/** Loopback only, with Jupyter's token; nothing is asked from outside this machine. */
const settings = [
  "--ip=127.0.0.1",
  "--MultiKernelManager.default_kernel_name=tslab",
  "--LabApp.news_url=None",
  "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
  "--LabApp.extension_manager=readonly",
  ...(process.getuid?.() === 0 ? ["--allow-root"] : []), // as in containers
];

async function openLab(options) {
  process.on("SIGINT", () => {}); // Ctrl-C is for JupyterLab, which asks back
  const { status } = await runToEnd(venvPython, ["-m", "jupyterlab", ...settings, ...options, inRoot("notebooks")], {
    env: { JUPYTER_PATH: [inRoot("jupyter"), process.env.JUPYTER_PATH].filter(Boolean).join(delimiter) },
  });
  return status ?? 1;
}

await main(async () => {
  if (!jupyterStep.done()) {
    const missing = missingPrerequisites(machineFacts(), new Set(["python", "venv"]), { oldestPython });
    if (missing.length > 0) throw new Error(missingMessage(missing));
  }
  await setup();
  await runSteps([jupyterStep]);
  if (process.argv[2] === "--install-only") return 0;
  return openLab(process.argv.slice(2));
});
