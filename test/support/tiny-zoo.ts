/** A data folder of one's own: the real tasks, and a zoo of random backbones that take milliseconds; results beside it. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backend, checkpoints, datasets, nets } from "secateur";
import { afterAll } from "vitest";
import { temporaryFolder } from "./temporary-folder";

export interface TinyZoo {
  /** folder of cards and checkpoints */
  readonly folder: string;
  readonly results: string;
  /** Writes a random backbone and its card, and returns the card. */
  add(name: string, options?: { seed?: number; net?: string }): Record<string, unknown>;
  /** Writes a card as it is. */
  writeCard(name: string, card: unknown): void;
}

/** SECATEUR_DATA and SECATEUR_RESULTS name it until the test file ends. */
export function tinyZoo(): TinyZoo {
  const real = datasets.dataFolder();
  const root = temporaryFolder();
  const [data, folder, results] = [join(root, "data"), join(root, "data", "zoo"), join(root, "results")];
  mkdirSync(folder, { recursive: true });
  for (const name of ["glyphs", "fashion"]) symlinkSync(join(real, name), join(data, name));
  const before = { SECATEUR_DATA: process.env.SECATEUR_DATA, SECATEUR_RESULTS: process.env.SECATEUR_RESULTS };
  Object.assign(process.env, { SECATEUR_DATA: data, SECATEUR_RESULTS: results });
  afterAll(() => {
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  });

  const writeCard = (name: string, card: unknown): void =>
    writeFileSync(join(folder, `${name}.json`), typeof card === "string" ? card : JSON.stringify(card));
  return {
    folder,
    results,
    writeCard,
    add(name, { seed = 3, net: netName = "rs4x1" } = {}) {
      const net = nets.netByName(netName);
      const params = nets.initialise(net, seed);
      const file = join(folder, `${name}.safetensors`);
      checkpoints.saveParams(file, net, params);
      backend.tf.dispose(params as never);
      const card = {
        name,
        file: `${name}.safetensors`,
        sha256: checkpoints.sha256File(file),
        net: netName,
        pretraining: "none",
        settings: { seed },
      };
      writeCard(name, card);
      return card;
    },
  };
}
