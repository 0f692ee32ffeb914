// `npm run doctor`: what this folder runs on, how fast, and every problem with its cure. `--json` for programs.
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { addonStep } from "./setup/addon.mjs";
import { readJson, readJsonIfThere, sha256OfFile } from "./setup/files.mjs";
import { jupyterStep } from "./setup/jupyter.mjs";
import { kernelFile, kernelspecProblem } from "./setup/kernelspec.mjs";
import { libraryStep } from "./setup/library.mjs";
import { lockDifference } from "./setup/packages.mjs";
import { inRoot } from "./setup/paths.mjs";
import { cpuFlags, machineFacts, missingPrerequisites } from "./setup/prerequisites.mjs";
import { capture } from "./setup/run.mjs";
import { nvidiaGpu, tensorflowChoice } from "./setup/tensorflow.mjs";
import { readPins } from "./setup/wheels.mjs";
import { main } from "./setup.mjs";

const lowGflops = 20;

async function examine() {
  const problems = [];
  const problem = (what, cure) => problems.push({ what, cure });
  const machine = machineFacts();
  for (const { what, cures } of missingPrerequisites(machine, new Set(["machine", "node", "npm"])))
    problem(`needs ${what}`, cures.join("; "));
  const facts = {
    system: { ...systemFacts(machine, problem) },
    packages: packageFacts(problem),
    tensorflow: tensorflowFacts(problem),
    notebooks: notebookFacts(problem),
    data: await dataFacts(problem),
  };
  return { ok: problems.length === 0, ...facts, problems };
}

function systemFacts(machine, problem) {
  const flags = cpuFlags() ?? [];
  const memoryGb = totalmem() / 1e9;
  if (memoryGb < 4)
    problem(
      `${memoryGb.toFixed(1)} GB of memory`,
      "notebooks need about 4 GB: use a larger machine, or SECATEUR_SCALE=quick",
    );
  if (machine.diskFreeGb < 1)
    problem(
      `${machine.diskFreeGb.toFixed(2)} GB of free disk`,
      "free some space: results and executed notebooks are written into build/ and data/",
    );
  return {
    os: `${machine.system}, ${machine.platform}, glibc ${machine.glibc ?? "none"}`,
    node: machine.node,
    npm: machine.npm,
    python: machine.python,
    compiler: machine.compiler,
    processor: `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores`,
    vectors: ["avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"]
      .filter((flag) => flags.includes(flag))
      .join(" "),
    memoryGb: Number(memoryGb.toFixed(1)),
    memoryFreeGb: Number((freemem() / 1e9).toFixed(1)),
    diskFreeGb: Number(machine.diskFreeGb.toFixed(1)),
  };
}

function packageFacts(problem) {
  const installed = readJsonIfThere(inRoot("node_modules/.package-lock.json"))?.packages ?? {};
  const difference = lockDifference(inRoot("package-lock.json"), inRoot("node_modules/.package-lock.json"));
  if (difference) problem(`the npm packages are not those of package-lock.json (${difference})`, "npm run setup");
  const copies = Object.keys(installed).filter((name) => /(^|\/)@tensorflow\/tfjs-(core|node-gpu)$/.test(name));
  const twice = copies.length > 2;
  if (twice) problem(`more than one copy of tfjs: ${copies.join(", ")}`, "npm ci && npm run setup");
  const outdated = existsSync(inRoot("node_modules/typescript/package.json")) && !libraryStep.done();
  if (outdated) problem("lib/dist is not the build of lib/src", "npm run build, then start kernels again");
  return {
    installed: Object.keys(installed).length,
    tfjsCopies: twice ? copies : 1,
    library: outdated ? "outdated" : "up to date",
  };
}

function tensorflowFacts(problem) {
  const gpu = nvidiaGpu();
  const { variant, reason } = tensorflowChoice();
  const chosen = { choice: `${variant} (${reason})`, gpu: gpu ?? "none" };
  const linked = addonStep.done();
  if (!linked) {
    problem("TensorFlow's addon is not set up, or not for this choice", "npm run setup");
  }
  // With the log on, TensorFlow says itself whether oneDNN is in use, and why a GPU is not.
  const { status, stdout, stderr } = capture(process.execPath, [inRoot("scripts/setup/measure.cjs")], {
    env: { TF_CPP_MIN_LOG_LEVEL: "0" },
    timeout: 300_000,
  });
  if (status !== 0) {
    problem(
      `TensorFlow does not start: ${stderr.split("\n").find((line) => /Error/.test(line)) ?? stderr.trim().split("\n").at(-1)}`,
      "npm run setup; if it stays, remove build/ and node_modules/ and start it again",
    );
    return chosen;
  }
  const measured = JSON.parse(stdout.trim().split("\n").at(-1));
  const oneDnn = /oneDNN custom operations are on/.test(stderr);
  const onCpu = measured.device === "CPU";
  if (gpu && onCpu) {
    const why = stderr
      .split("\n")
      .find((line) => /Cannot dlopen|Could not find cuda|CUDA_ERROR|failed call/.test(line));
    problem(
      `this machine has a GPU (${gpu}) but TensorFlow runs on the processor${why ? `: ${why.trim()}` : ""}`,
      variant === "cpu"
        ? "SECATEUR_TENSORFLOW=gpu npm run setup"
        : "look at CUDA_VISIBLE_DEVICES and the driver's version (nvidia-smi): CUDA 12 needs driver 525 or newer",
    );
  }
  if (onCpu && !oneDnn)
    problem("oneDNN is off: convolutions run several times slower", "unset TF_ENABLE_ONEDNN_OPTS, or set it to 1");
  for (const kind of ["conv", "matmul"]) {
    const rate = measured[`${kind}Gflops`];
    if (rate < lowGflops)
      problem(
        `${kind} at ${rate.toFixed(0)} GFLOP/s (below ${lowGflops})`,
        "end other programs and measure again; TF_NUM_INTRAOP_THREADS must not be small",
      );
  }
  return {
    version: measured.tensorflow,
    tfjs: measured.tfjs,
    ...chosen,
    cuda: variant === "gpu" ? cudaVersions() : "not used",
    device: measured.device,
    oneDnn: oneDnn ? "on" : "off",
    convGflops: Math.round(measured.convGflops),
    matmulGflops: Math.round(measured.matmulGflops),
  };
}

function cudaVersions() {
  const pins = readPins(inRoot("scripts/setup/tensorflow-gpu.txt"));
  return ["nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12"]
    .map((wanted) => pins.find(({ name }) => name === wanted))
    .map(({ name, version }) => `${name.slice("nvidia-".length)} ${version}`)
    .join(", ");
}

function notebookFacts(problem) {
  const kernel = kernelspecProblem();
  if (kernel) problem(kernel, existsSync(kernelFile) ? "npm run setup" : "git checkout -- jupyter/kernels");
  return {
    kernelspec: kernel
      ? "not usable"
      : "jupyter/kernels/tslab (`npm run lab` finds it; else JUPYTER_PATH=$PWD/jupyter)",
    jupyterLab: jupyterStep.done() ?? "not installed; `npm run lab` does it",
  };
}

/** The hashes that the data's own index files and model cards state, compared with the files. */
async function dataFacts(problem) {
  const facts = {};
  for (const folder of ["data/glyphs", "data/fashion", "data/zoo"]) {
    const claims = statedHashes(folder);
    if (claims.length === 0) problem(`${folder} states no file`, `git checkout -- ${folder}`);
    for (const { file, sha256 } of claims) {
      const path = join(inRoot(folder), file);
      const found = existsSync(path) ? await sha256OfFile(path) : "no file";
      if (found !== sha256)
        problem(`${folder}/${file}: sha256 must be ${sha256}, got ${found}`, `git checkout -- ${folder}`);
      facts[`${folder}/${file}`] = found;
    }
  }
  return facts;
}

/** [{ file, sha256 }] of every JSON file of a data folder. */
function statedHashes(folder) {
  const names = existsSync(inRoot(folder)) ? readdirSync(inRoot(folder)) : [];
  const packed = names.find((name) => name.endsWith(".gz"));
  return names
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => claimsOf(readJson(inRoot(folder, name)), packed));
}

/** `{ file, sha256 }` of a model card; `sha256Gzip` of a data set's index speaks of the folder's packed file. */
function claimsOf({ file, sha256, sha256Gzip }, packed) {
  if (sha256Gzip) return [{ file: packed ?? "packed file", sha256: sha256Gzip }];
  return file && sha256 ? [{ file, sha256 }] : [];
}

const labels = {
  os: "operating system",
  node: "Node",
  npm: "npm",
  python: "Python",
  compiler: "C++ compiler",
  vectors: "vector units",
  memoryGb: "memory (GB)",
  memoryFreeGb: "memory free (GB)",
  diskFreeGb: "disk free (GB)",
  tfjsCopies: "copies of tfjs",
  library: "lib/dist",
  version: "TensorFlow",
  gpu: "NVIDIA GPU",
  cuda: "CUDA",
  device: "device in use",
  oneDnn: "oneDNN",
  convGflops: "conv (GFLOP/s)",
  matmulGflops: "matmul (GFLOP/s)",
  jupyterLab: "JupyterLab",
};

function asText({ ok, problems, ...groups }) {
  const lines = Object.entries(groups).flatMap(([group, facts]) => [
    `\n${group}`,
    ...Object.entries(facts).map(([key, value]) => `  ${(labels[key] ?? key).padEnd(30)} ${value ?? "none"}`),
  ]);
  const found = problems.flatMap(({ what, cure }) => [`  - ${what}`, `      cure: ${cure}`]);
  return [...lines, "", ok ? "No problem found." : `${problems.length} problem(s):`, ...found].join("\n").trimStart();
}

await main(async () => {
  const report = await examine();
  console.log(process.argv.includes("--json") ? JSON.stringify(report, undefined, 2) : asText(report));
  return report.problems.length > 0 ? 1 : 0;
});
