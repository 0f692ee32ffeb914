import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { filesBelow, hashOfFiles, readJsonIfThere, writeWhole } from "./files.mjs";
import { inRoot, nodeModules, root } from "./paths.mjs";
import { run } from "./run.mjs";

const source = inRoot("lib/src");
const output = inRoot("lib/dist");
const typescript = join(nodeModules, "typescript");
const stampFile = inRoot("build/library.json");

export const libraryStep = {
  title: "Library secateur",
  why: "compiles lib/src to lib/dist, which notebooks and tests import by name",
  done: () => {
    if (!existsSync(join(typescript, "package.json"))) return undefined;
    const built = readJsonIfThere(stampFile);
    const upToDate = built?.sources === sourcesHash() && built.output === outputHash();
    return upToDate ? "up to date" : undefined;
  },
  run: async () => {
    for (const [path, name] of outputs()) if (!existsSync(join(source, `${name}.ts`))) rmSync(path);
    // tsc keeps a note of what it wrote, and would not write again what was removed by hand.
    rmSync(inRoot("build/lib.tsbuildinfo"), { force: true });
    await run(process.execPath, [join(typescript, "bin/tsc"), "-p", inRoot("lib")]);
    writeWhole(stampFile, `${JSON.stringify({ sources: sourcesHash(), output: outputHash() })}\n`);
  },
};

function sourcesHash() {
  const configs = [inRoot("lib/tsconfig.json"), inRoot("lib/package.json"), join(typescript, "package.json")];
  return hashOfFiles([...filesBelow(source, (path) => path.endsWith(".ts")), ...configs], root);
}

const outputHash = () =>
  hashOfFiles(
    outputs().map(([path]) => path),
    root,
  );

/** The compiled files, each with the name of its source below lib/src. */
function outputs() {
  const ending = /\.(js|d\.ts|js\.map)$/;
  return filesBelow(output, (path) => ending.test(path)).map((path) => [
    path,
    path.slice(output.length + 1).replace(ending, ""),
  ]);
}
