/** Debian packages by name, version and hash: downloaded with apt-get, checked, extracted with dpkg. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

export interface Package {
  readonly name: string;
  readonly version: string;
  /** of the .deb file */
  readonly sha256: string;
  readonly licence: string;
  readonly upstream: string;
}

/** Reads a table of packages: a header, then name, version, SHA-256, licence and upstream, separated by tabs. */
export function readPackages(path: string): Package[] {
  const [, ...lines] = readFileSync(path, "utf8").trimEnd().split("\n");
  return lines.map((line, i) => {
    const [name, version, sha256, licence, upstream] = line.split("\t");
    if (!name || !version || !sha256 || !licence || !upstream)
      throw new Error(`${path}, line ${i + 2}: five columns separated by tabs expected, got "${line}"`);
    return { name, version, sha256, licence, upstream };
  });
}

/** Downloads and extracts what is not there yet, one package at a time. @returns the folder with a folder per package */
export function fetchPackages(packages: readonly Package[], cache: string): string {
  const downloads = join(cache, "deb");
  const tree = join(cache, "tree");
  mkdirSync(downloads, { recursive: true });
  mkdirSync(tree, { recursive: true });
  for (const pkg of packages) {
    const target = folderOf(tree, pkg);
    if (existsSync(target)) continue;
    const file = find(downloads, pkg) ?? download(downloads, pkg);
    const digest = createHash("sha256").update(readFileSync(file)).digest("hex");
    if (digest !== pkg.sha256) throw new Error(`${file}: SHA-256 is ${digest}, ${pkg.sha256} expected; delete it`);
    rmSync(`${target}.part`, { recursive: true, force: true });
    execFileSync("dpkg", ["-x", file, `${target}.part`]);
    renameSync(`${target}.part`, target);
  }
  return tree;
}

/** Where fetchPackages extracted a package. */
export const folderOf = (tree: string, pkg: Package): string => join(tree, `${pkg.name}_${pkg.sha256.slice(0, 12)}`);

function find(downloads: string, pkg: Package): string | undefined {
  const start = `${pkg.name}_${pkg.version.replace(":", "%3a")}_`;
  const name = readdirSync(downloads).find((file) => file.startsWith(start) && file.endsWith(".deb"));
  return name && join(downloads, name);
}

function download(downloads: string, pkg: Package): string {
  console.log(`downloading ${pkg.name} ${pkg.version}`);
  execFileSync("apt-get", ["download", "-q", `${pkg.name}=${pkg.version}`], { cwd: downloads, stdio: "inherit" });
  const file = find(downloads, pkg);
  if (!file) throw new Error(`apt-get download left no file for ${pkg.name} ${pkg.version} in ${downloads}`);
  return file;
}
