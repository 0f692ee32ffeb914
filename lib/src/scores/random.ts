import { stream, tf } from "../backend";
import type { Scorer, Tensor } from "../types";

/** U(0, 1) for every weight: what any criterion must beat. The same numbers for one seed. */
export function random({ seed = 0 }: { readonly seed?: number } = {}): Scorer {
  return {
    name: seed === 0 ? "random" : `random-seed${seed}`,
    unit: "none",
    usesData: false,
    score: ({ net }) =>
      Object.fromEntries(
        net.prunable.map((key): [string, Tensor] => {
          const numbers = stream(seed, "random-score", key);
          const shape = [...net.params[key]!.shape];
          return [
            key,
            tf.tensor(
              Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => numbers.uniform()),
              shape,
            ),
          ];
        }),
      ),
  };
}
