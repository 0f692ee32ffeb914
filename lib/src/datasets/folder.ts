import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * The folder of the data that came with the suite: SECATEUR_DATA when set, else `data` beside the library.
 * @throws Error naming the folder when it is not there
 */
export function dataFolder(): string {
  const override = process.env.SECATEUR_DATA;
  const folder = override ? resolve(override) : join(__dirname, "..", "..", "..", "data");
  if (!existsSync(folder)) {
    const reason = override ? "SECATEUR_DATA names it" : "set SECATEUR_DATA to the suite's data folder";
    throw new Error(`${folder}: no such folder (${reason})`);
  }
  return folder;
}
