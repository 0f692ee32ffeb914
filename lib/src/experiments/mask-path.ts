/** Paths of masks, kept by their settings: what several studies look at is scored once. */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { foldBatchNorm, prunableCount } from "../nets";
import { type PrunedMask, prune } from "../prune";
import { disposeTree } from "../tree";
import type { Mask, Net, Scorer } from "../types";
import { cached } from "./cache";
import { nearest } from "./p1";
import type { Workbench } from "./workbench";

export interface MaskPathSettings {
  readonly source: string;
  readonly scorer: Scorer;
  /** of the whole grid: 1, or a multiple of its length */
  readonly rounds: number;
  readonly grid: readonly number[];
  /** of the grid; the path ends at the lowest */
  readonly keeps: readonly number[];
  readonly draw: number;
  /** scores of the net whose batch norms are folded into the layers before them; the masks fit the net as it is */
  readonly folded?: boolean;
}

/** The masks of `prune` at these keep ratios, in their order: read from the results folder when they are there. */
export async function maskPath(
  bench: Workbench,
  settings: MaskPathSettings,
  { fresh }: { readonly fresh?: boolean } = {},
): Promise<PrunedMask[]> {
  const { source, scorer, draw, folded = false } = settings;
  const wanted = settings.keeps.map((keep) => nearest(settings.grid, keep));
  const grid = settings.grid.filter((keep) => keep >= Math.min(...wanted));
  // rounds of the whole grid say how many lie between two keep ratios
  const rounds = settings.rounds === 1 ? 1 : (settings.rounds / settings.grid.length) * grid.length;
  const { net } = bench.model(source);
  const unit = {
    checkpoint: bench.checkpoint,
    protocol: bench.settings.protocol,
    score: scorer.name,
    rounds,
    grid,
    ...(scorer.usesData ? { source, draw } : {}),
    ...(folded ? { folded } : {}),
  };
  const { value } = await cached(
    "masks",
    unit,
    async () => {
      const path = folded
        ? await foldedPath(bench, source, scorer, { grid, rounds, draw })
        : await bench.masks(source, scorer, { grid, rounds, draw });
      return path.map(({ mask }) => pack(net, mask));
    },
    { fresh },
  );
  return wanted.map((keep) => ({ keep, mask: unpack(net, value[grid.indexOf(keep)]!) }));
}

async function foldedPath(
  bench: Workbench,
  source: string,
  scorer: Scorer,
  { grid, rounds, draw }: { grid: readonly number[]; rounds: number; draw: number },
): Promise<PrunedMask[]> {
  const data = bench.scoringData(source, draw);
  const folded = foldBatchNorm(bench.model(source));
  try {
    return await prune(folded, scorer, data, { grid, rounds });
  } finally {
    disposeTree(folded.params);
    data.x.dispose();
  }
}

/** All layers behind each other, a byte a weight, deflated, in base 64. */
const pack = (net: Net, mask: Mask): string =>
  deflateRawSync(Buffer.concat(net.prunable.map((key) => mask[key]!)), { level: 1 }).toString("base64");

function unpack(net: Net, packed: string): Mask {
  const bytes = inflateRawSync(Buffer.from(packed, "base64"), { maxOutputLength: prunableCount(net) });
  let from = 0;
  return Object.fromEntries(
    net.prunable.map((key) => {
      const size = net.params[key]!.shape.reduce((a, b) => a * b, 1);
      from += size;
      return [key, Uint8Array.from(bytes.subarray(from - size, from))];
    }),
  );
}
