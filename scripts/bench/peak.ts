/** The rate that the engine reaches on this machine when nothing but multiplications is asked of it. */
import { backend, type Tensor } from "secateur";
import { once } from "./measure";

const { operations, tf } = backend;

export interface Peak {
  readonly name: string;
  /** best of the repeats, in 1e9 floating-point operations a second */
  readonly gflops: number;
}

/** A large matrix product, and a convolution in the middle of a ResNet-50. */
export function enginePeaks(repeat = 5): readonly Peak[] {
  const [a, b] = [tf.randomNormal([2048, 2048]), tf.randomNormal([2048, 2048])];
  const [x, w] = [tf.randomNormal([16, 28, 28, 128]), tf.randomNormal([3, 3, 128, 128])];
  const cases: [name: string, flop: number, run: () => Tensor][] = [
    ["matMul 2048 x 2048 x 2048", 2 * 2048 ** 3, () => tf.matMul(a as never, b as never)],
    ["conv2d 3x3, 128 -> 128, 16 x 28 x 28", 2 * 16 * 28 * 28 * 9 * 128 * 128, () => operations.conv2d(x, w, 1, 1)],
  ];
  const peaks = cases.map(([name, flop, run]) => {
    const best = Math.min(...Array.from({ length: repeat + 1 }, () => once(run)));
    return { name, gflops: flop / best / 1e9 };
  });
  tf.dispose([a, b, x, w]);
  return peaks;
}
