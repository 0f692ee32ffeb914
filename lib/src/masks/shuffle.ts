import type { Stream } from "../backend";
import type { Mask } from "../types";

/** The same number of kept weights in every layer, at random places: what a mask's layer-wise densities are worth alone. */
export function shuffleWithinLayers(mask: Mask, stream: Stream): Mask {
  return Object.fromEntries(
    Object.entries(mask).map(([name, kept]) => [
      name,
      Uint8Array.from(stream.permutation(kept.length), (i) => kept[i]!),
    ]),
  );
}
