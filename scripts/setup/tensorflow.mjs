import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { filesBelow, readJsonIfThere, writeWhole } from "./files.mjs";
import { here, inRoot, root } from "./paths.mjs";
import { python } from "./prerequisites.mjs";
import { capture, run } from "./run.mjs";
import { readPins, verifyWheel } from "./wheels.mjs";

const store = inRoot("build/tensorflow");
const choiceFile = join(store, "choice.json");
const downloads = inRoot("build/downloads");

const libraries = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];
const headers = ["tensorflow/c/", "tensorflow/core/platform/", "xla/tsl/c/", "tsl/"].map(
  (folder) => `include/${folder}`,
);
const kept = [...libraries, ...headers].map((name) => `tensorflow/${name}`);

/** The wheels fit one Python only by name; their libraries serve every Node, so every machine asks for the same ones. */
const oneWheel = [
  ...["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--only-binary=:all:"],
  ...["2_27", "2_25", "2_17", "2_12"].flatMap((glibc) => ["--platform", `manylinux_${glibc}_x86_64`]),
];

const variants = {
  cpu: { pins: join(here, "tensorflow-cpu.txt"), size: "a download of 274 MB, 860 MB on disk", diskGb: 3 },
  gpu: { pins: join(here, "tensorflow-gpu.txt"), size: "with CUDA: a download of 3.4 GB, 5.4 GB on disk", diskGb: 14 },
};

export const tensorflowStep = {
  title: "TensorFlow's C++ library",
  get why() {
    const { variant, reason } = tensorflowChoice();
    return `takes ${libraries.length} libraries and their headers out of the pinned wheel (${variant}: ${reason}; ${variants[variant]?.size})`;
  },
  get diskGb() {
    return variants[tensorflowChoice().variant]?.diskGb ?? 2;
  },
  needs: ["machine", "python", "pip", "disk"],
  done: () => {
    const choice = tensorflowChoice();
    if (choice.variant === "existing") checkFolder(choice.folder);
    else if (!existsSync(choice.folder)) return undefined;
    remember(choice);
    return `${choice.variant} (${choice.reason})`;
  },
  run: async (say) => {
    const choice = tensorflowChoice();
    await fetchWheels(choice, say);
    remember(choice);
  },
};

/**
 * Which TensorFlow this folder uses, as { variant: "cpu" | "gpu" | "existing", folder, reason }. The environment
 * decides, else the remembered choice, else whether an NVIDIA GPU answers.
 */
export function tensorflowChoice(env = process.env, remembered = readJsonIfThere(choiceFile), hasGpu = nvidiaGpu) {
  const asked = env.SECATEUR_TENSORFLOW || undefined;
  if (env.SECATEUR_TENSORFLOW_DIR) {
    return {
      variant: "existing",
      folder: resolve(root, env.SECATEUR_TENSORFLOW_DIR),
      reason: "SECATEUR_TENSORFLOW_DIR",
      asked: true,
    };
  }
  if (asked !== undefined && !["cpu", "gpu", "auto"].includes(asked)) {
    throw new Error(`SECATEUR_TENSORFLOW must be cpu, gpu or auto, got '${asked}'`);
  }
  if (asked === "cpu" || asked === "gpu") return choose(asked, `SECATEUR_TENSORFLOW=${asked}`, true);
  if (remembered && asked !== "auto") {
    const { variant, folder } = remembered;
    const reason = "asked for earlier; SECATEUR_TENSORFLOW=auto forgets it";
    return variant === "existing" ? { variant, folder: resolve(root, folder), reason } : choose(variant, reason);
  }
  return hasGpu() ? choose("gpu", "nvidia-smi found an NVIDIA GPU") : choose("cpu", "no NVIDIA GPU");
}

function choose(variant, reason, asked = false) {
  const version = readPins(variants[variant].pins)[0].version;
  return { variant, folder: join(store, `${variant}-${version}`, "tensorflow"), reason, asked };
}

/** A choice by the environment holds until the next one, and a GPU's libraries serve the machines without one too. */
function remember({ variant, folder, asked }) {
  if (process.env.SECATEUR_TENSORFLOW === "auto") rmSync(choiceFile, { force: true });
  if (asked || variant === "gpu")
    writeWhole(choiceFile, `${JSON.stringify({ variant, folder: relative(root, folder) })}\n`);
}

let gpu;
/** The names and driver of the NVIDIA GPUs that nvidia-smi lists, or undefined. */
export function nvidiaGpu() {
  gpu ??= capture("nvidia-smi", ["--query-gpu=name,driver_version", "--format=csv,noheader"], { timeout: 60_000 });
  return gpu.status === 0 && gpu.stdout.trim() ? gpu.stdout.trim().split("\n").join("; ") : undefined;
}

function checkFolder(folder) {
  const wanted = [...libraries, "include/tensorflow/c/c_api.h", "include/tensorflow/c/eager/c_api.h"];
  const absent = wanted.filter((name) => !existsSync(join(folder, name)));
  if (absent.length > 0) {
    throw new Error(
      `SECATEUR_TENSORFLOW_DIR: ${folder} lacks ${absent.join(", ")}; it must be TensorFlow's folder, such as a Python's site-packages/tensorflow`,
    );
  }
}

/** A text that changes when another TensorFlow is used: the addon is compiled anew for it. */
export function tensorflowIdentity({ variant, folder }) {
  if (variant !== "existing") return `${variant} ${JSON.stringify(readPins(variants[variant].pins))}`;
  return `${folder} ${statSync(join(folder, libraries[0])).size}`;
}

async function fetchWheels({ variant, folder }, say) {
  const pins = readPins(variants[variant].pins);
  const whole = resolve(folder, "..");
  const part = `${whole}.part`;
  const wheels = join(downloads, variant);
  for (const leftOver of [part, join(downloads, "tmp")]) rmSync(leftOver, { recursive: true, force: true });
  mkdirSync(join(downloads, "tmp"), { recursive: true });

  await refuseDamaged(wheels, pins, say);
  const pip = await pipCommand(say);
  await downloadWheels(pip, variants[variant].pins, wheels, say);
  for (const file of readdirSync(wheels)) {
    const { name, version } = await verifyWheel(join(wheels, file), pins);
    say(`${name} ${version}: sha256 as pinned; unpacking`);
    const wanted = name.startsWith("tensorflow") ? kept : ["nvidia/"];
    await run(python, [join(here, "unpack_wheel.py"), join(wheels, file), part, ...wanted]);
  }
  renameSync(part, whole);
  rmSync(downloads, { recursive: true, force: true });
}

/** A wheel left by a killed set-up is used when whole, and removed when not. */
async function refuseDamaged(wheels, pins, say) {
  for (const path of filesBelow(wheels)) {
    try {
      await verifyWheel(path, pins);
    } catch (error) {
      say(`${error.message}; fetching it again`);
      rmSync(path);
    }
  }
}

async function pipCommand(say) {
  if (capture(python, ["-m", "pip", "--version"]).status === 0) return [python, "-m", "pip"];
  const folder = inRoot(".cache/pip");
  say(`'${python}' has no pip: making a virtual environment for it in .cache/pip`);
  await run(python, ["-m", "venv", "--clear", folder]);
  return [join(folder, "bin/python"), "-m", "pip"];
}

async function downloadWheels([command, ...args], requirements, folder, say) {
  const stopReports = process.stdout.isTTY ? () => {} : reportSize(downloads, say);
  try {
    await run(
      command,
      [
        ...args,
        "download",
        "--no-deps",
        "--require-hashes",
        "--disable-pip-version-check",
        ...oneWheel,
        "--dest",
        folder,
        "--requirement",
        requirements,
      ],
      { env: { TMPDIR: join(downloads, "tmp") } },
    );
  } finally {
    stopReports();
  }
}

/** pip shows its progress on a terminal only: elsewhere the size so far, every 10 s. */
function reportSize(folder, say) {
  const size = () => Number.parseInt(capture("du", ["-sm", folder]).stdout, 10);
  const timer = setInterval(() => say(`pip is at work: ${size()} MB in build/downloads`), 10_000);
  return () => clearInterval(timer);
}
