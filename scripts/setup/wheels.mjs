import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { sha256OfFile } from "./files.mjs";

/** The lines `name==version --hash=sha256:...` of a requirements file. */
export function readPins(path) {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const match = /^([\w-]+)==([\w.]+) --hash=sha256:([0-9a-f]{64})$/.exec(line);
      if (!match) throw new Error(`${basename(path)}: '${line}' is not of the form name==version --hash=sha256:HEX`);
      return { name: match[1], version: match[2], sha256: match[3] };
    });
}

/** The wheel's pin; refuses a file that no pin names or whose bytes are not the pinned ones. */
export async function verifyWheel(path, pins) {
  const file = basename(path);
  const pin = pins.find(({ name, version }) => file.startsWith(`${name.replaceAll("-", "_")}-${version}-`));
  if (!pin) throw new Error(`${file}: no pinned package has this name and version`);
  const found = await sha256OfFile(path);
  if (found !== pin.sha256)
    throw new Error(`${file}: sha256 must be ${pin.sha256}, got ${found}; the file was refused`);
  return pin;
}
