import fs, { readFileSync } from "node:fs";
import { root } from "./paths.mjs";
import { capture } from "./run.mjs";

export const oldestNode = [20, 19, 0];
const oldestNpm = [10];
const oldestGlibc = [2, 27];

export const python = process.env.PYTHON ?? "python3";
export const compilers = [process.env.CXX, "c++", "g++", "clang++"].filter(Boolean);
/** Through npm, `npm_execpath` is the npm that was typed; else the one in PATH. */
export const npm = process.env.npm_execpath?.endsWith(".js") ? [process.execPath, process.env.npm_execpath] : ["npm"];

/** What this machine has; each value undefined when it is not there. */
export function machineFacts() {
  const version = (command, args) => {
    const { status, text } = capture(command, args);
    return status === 0 ? /\d+(\.\d+)+/.exec(text)?.[0] : undefined;
  };
  const imports = (modules) => capture(python, ["-c", `import ${modules}`]).status === 0;
  return {
    platform: `${process.platform}-${process.arch}`,
    system: distribution(),
    glibc: process.report.getReport().header.glibcVersionRuntime,
    avx: cpuFlags()?.includes("avx"),
    node: process.versions.node,
    npm: version(npm[0], [...npm.slice(1), "--version"]),
    python: version(python, ["--version"]),
    pip: imports("pip"),
    venv: imports("venv, ensurepip"),
    compiler: compilers
      .map((command) => [command, version(command, ["--version"])])
      .find(([, found]) => found)
      ?.join(" "),
    diskFreeGb: diskFreeGb(),
  };
}

export const diskFreeGb = () => {
  const disk = fs.statfsSync?.(root);
  return disk && (disk.bavail * disk.bsize) / 1e9;
};

function distribution() {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))[1];
  } catch {
    return process.platform;
  }
}

/** The processor's feature names, or undefined where the kernel does not tell. */
export function cpuFlags() {
  try {
    return /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1].split(" ");
  } catch {
    return undefined;
  }
}

const debian = (packages) => `Debian, Ubuntu: sudo apt-get install -y ${packages}`;
const fedora = (packages) => `Fedora: sudo dnf install -y ${packages}`;

/**
 * The prerequisites in `needs` that `facts` lacks, as { what, cures }: all of them at once.
 * @param needs  names out of "machine", "node", "npm", "python", "pip", "venv", "compiler", "disk"
 * @param limits diskGb: space that the set-up takes, in GB; oldestPython: [major, minor]
 */
export function missingPrerequisites(facts, needs, { diskGb = 3, oldestPython = [3, 9] } = {}) {
  const missing = [];
  const check = (need, bad, what, ...cures) => needs.has(need) && bad && missing.push({ what, cures });
  const nodeCure = "install Node 22 or 24: with nvm, `nvm install 22`";

  check(
    "machine",
    facts.platform !== "linux-x64",
    `Linux on x86-64 (this is ${facts.platform})`,
    "use a Linux x86-64 machine, a virtual machine or WSL 2 on Windows",
  );
  check(
    "machine",
    facts.platform === "linux-x64" && !atLeast(facts.glibc, oldestGlibc),
    `glibc ${oldestGlibc.join(".")} or newer (found ${facts.glibc ?? "none: musl systems such as Alpine do not run TensorFlow"})`,
    "use Debian 11, Ubuntu 20.04, Fedora or newer",
  );
  check(
    "machine",
    facts.avx === false,
    "a processor with AVX, which TensorFlow is compiled for",
    "use another machine",
  );
  check(
    "node",
    !atLeast(facts.node, oldestNode),
    `Node ${oldestNode.join(".")} or newer (found ${facts.node})`,
    nodeCure,
  );
  check(
    "npm",
    !atLeast(facts.npm, oldestNpm),
    `npm 10 or newer (found ${facts.npm ?? "none"})`,
    `${nodeCure}, npm comes with it`,
  );
  check(
    "python",
    !atLeast(facts.python, oldestPython),
    `Python ${oldestPython.join(".")} or newer as '${python}' (found ${facts.python ?? "none"}), which fetches TensorFlow's library`,
    debian("python3 python3-pip python3-venv"),
    fedora("python3 python3-pip"),
    "or name another one in the environment variable PYTHON",
  );
  check(
    "pip",
    atLeast(facts.python, oldestPython) && !facts.pip && !facts.venv,
    "pip or venv for Python",
    debian("python3-pip python3-venv"),
    fedora("python3-pip"),
  );
  check(
    "venv",
    atLeast(facts.python, oldestPython) && !facts.venv,
    "venv for Python",
    debian("python3-venv"),
    fedora("python3"),
  );
  check(
    "compiler",
    !facts.compiler,
    "a C++ compiler, which builds the bridge between Node and TensorFlow",
    debian("g++"),
    fedora("gcc-c++"),
    "or name one in the environment variable CXX",
  );
  check(
    "disk",
    facts.diskFreeGb < diskGb,
    `${diskGb} GB of free disk (found ${facts.diskFreeGb?.toFixed(1)} GB)`,
    "free some space, or clone on a larger disk",
  );
  return missing;
}

export function missingMessage(missing) {
  const lines = missing.flatMap(({ what, cures }) => [`  - ${what}`, ...cures.map((cure) => `      ${cure}`)]);
  return ["Missing on this machine; nothing was changed yet:", ...lines, "Then start the same command again."].join(
    "\n",
  );
}

/** Whether a dotted version is at least `oldest`, a list of numbers. */
export function atLeast(version, oldest) {
  if (!version) return false;
  const numbers = version.split(".").map((part) => Number.parseInt(part, 10));
  for (const [i, low] of oldest.entries()) if ((numbers[i] ?? 0) !== low) return (numbers[i] ?? 0) > low;
  return true;
}
