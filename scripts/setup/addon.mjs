import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { filesBelow, hashOfFiles, sha256 } from "./files.mjs";
import { bindingPackage, here, inRoot, nodeModules, root } from "./paths.mjs";
import { compilers } from "./prerequisites.mjs";
import { capture, run } from "./run.mjs";
import { tensorflowChoice, tensorflowIdentity } from "./tensorflow.mjs";

const link = join(bindingPackage, "lib/napi-v8/tfjs_binding.node");
const earlyLogSource = join(here, "early_log.cc");
const flags = ["-shared", "-fPIC", "-O2", "-std=c++17", "-DNAPI_VERSION=8"];

export const addonStep = {
  title: "Bridge between Node and TensorFlow",
  get why() {
    return existsSync(addonFile())
      ? "links the compiled addon into node_modules (`npm ci` removed the link)"
      : "compiles tfjs-node-gpu's own addon against that library, outside node_modules (about 15 s)";
  },
  get needs() {
    return existsSync(bindingPackage) && existsSync(addonFile()) ? [] : ["compiler"];
  },
  done: () => {
    if (!existsSync(bindingPackage) || !existsSync(tensorflowChoice().folder)) return undefined;
    return existsSync(link) && realpathSync(link) === addonFile() ? "linked" : undefined;
  },
  run: async (say) => {
    const file = addonFile();
    if (!existsSync(file)) await compile(dirname(file), tensorflowChoice().folder);
    linkIn(file);
    say(`${relative(root, link)} -> ${relative(root, file)}`);
  },
};

/** Where the addon for these sources, flags and this TensorFlow lies: a changed one is compiled beside the old one. */
function addonFile() {
  const sources = [...filesBelow(join(bindingPackage, "binding")), earlyLogSource];
  const inputs = [hashOfFiles(sources, root), flags.join(" "), tensorflowIdentity(tensorflowChoice())];
  return inRoot("build/addon", sha256(inputs.join("\n")).slice(0, 16), "tfjs_binding.node");
}

async function compile(folder, tensorflow) {
  const part = `${folder}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  const compiler = compilers.find((command) => capture(command, ["--version"]).status === 0);
  const libraries = tensorflow.startsWith(join(root, "/")) ? `$ORIGIN/${relative(folder, tensorflow)}` : tensorflow;

  const symbol = minLogLevelSymbol(join(tensorflow, "libtensorflow_framework.so.2"));
  const earlyLog = symbol ? ["-Wl,--no-as-needed", join(part, "libearly_log.so")] : [];
  if (symbol) {
    const own = ["-Wl,-z,initfirst", "-Wl,-soname,libearly_log.so"];
    await run(compiler, [...flags, `-DSET_MIN_LOG_LEVEL=${symbol}`, earlyLogSource, "-o", earlyLog[1], ...own]);
  }
  await run(compiler, [
    ...flags,
    ...[join(nodeModules, "node-api-headers/include"), join(tensorflow, "include"), bindingPackage].map(
      (path) => `-I${path}`,
    ),
    ...["tfjs_backend.cc", "tfjs_binding.cc"].map((name) => join(bindingPackage, "binding", name)),
    ...["-o", join(part, "tfjs_binding.node")],
    ...earlyLog,
    ...[`-L${tensorflow}`, "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"],
    ...["-Wl,-rpath,$ORIGIN", `-Wl,-rpath,${libraries}`],
  ]);
  checkLoads(join(part, "tfjs_binding.node"));
  rmSync(folder, { recursive: true, force: true });
  renameSync(part, folder);
}

/** absl::SetMinLogLevel carries absl's release in its name: searched in the library's table of names. */
function minLogLevelSymbol(library) {
  const bytes = readFileSync(library);
  const end = "14SetMinLogLevelENS0_18LogSeverityAtLeastE\0";
  const at = bytes.indexOf(end);
  if (at < 0) return undefined;
  const start = bytes.lastIndexOf("\0", at) + 1;
  const symbol = bytes.toString("latin1", start, at + end.length - 1);
  return /^_ZN4absl\w+$/.test(symbol) ? symbol : undefined;
}

function checkLoads(addon) {
  const { status, text } = capture(process.execPath, ["-e", `require(${JSON.stringify(addon)})`], { timeout: 120_000 });
  if (status !== 0) throw new Error(`the compiled addon does not load:\n${text}`);
}

function linkIn(file) {
  mkdirSync(dirname(link), { recursive: true });
  const part = `${link}.part`;
  rmSync(part, { force: true });
  symlinkSync(relative(dirname(link), file), part);
  renameSync(part, link);
}
