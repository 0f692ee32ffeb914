/** Means of random draws with their standard errors. */
import { tf } from "../backend";
import type { Tensor, Tree } from "../types";
import { TreeSum } from "./accumulate";

/** A diagonal that is wholly or partly a mean over random draws. */
export interface DiagonalEstimate {
  /** loss per weight^2 */
  readonly diagonal: Tree;
  /** standard deviation of the mean, estimated from the draws; 0 where the diagonal is exact */
  readonly standardError: Tree;
}

/** What is being collected of one entry: sums of the draws' deviations from the first draw, which cancel less than squares do. */
interface Part {
  readonly first: Tensor;
  readonly sum: Tensor;
  readonly squares: Tensor;
}

/**
 * Mean and variance of a total whose parts are drawn independently of each other (parts: chunks of images).
 * The draws of a part are added one by one, then the part is closed; means, and variances of means, of the parts add up.
 */
export class DrawStatistics {
  private readonly means = new TreeSum();
  private readonly variances = new TreeSum();
  private readonly open: Record<string, Part> = {};

  constructor(private readonly draws: number) {
    if (!(Number.isInteger(draws) && draws >= 2))
      throw new RangeError(`draws must be an integer of at least 2 (their spread is the standard error), got ${draws}`);
  }

  /** One draw of the part of `name` that is open. */
  add(name: string, value: Tensor): void {
    const old = this.open[name];
    this.open[name] = keepAll(() => {
      if (old === undefined) return { first: tf.clone(value), sum: tf.zerosLike(value), squares: tf.zerosLike(value) };
      const deviation = tf.sub(value, old.first);
      return {
        first: tf.clone(old.first),
        sum: tf.add(old.sum, deviation),
        squares: tf.add(old.squares, tf.square(deviation)),
      };
    });
    if (old) disposePart(old);
  }

  /** Closes the parts that are open, after all their draws. */
  close(): void {
    const { draws } = this;
    for (const [name, part] of Object.entries(this.open)) {
      tf.tidy(() => {
        const { first, sum, squares } = part;
        this.means.add(name, tf.add(first, tf.div(sum, draws)));
        const spread = tf.relu(tf.sub(squares, tf.div(tf.square(sum), draws)));
        this.variances.add(name, tf.div(spread, draws * (draws - 1)));
      });
      disposePart(part);
      delete this.open[name];
    }
  }

  /** factor times mean and standard error, by name; what was collected is gone afterwards. */
  finish(factor: number, names: readonly string[]): DiagonalEstimate {
    const diagonal = this.means.finish(factor, names);
    const variances = this.variances.finish(1, names);
    const standardError = Object.fromEntries(
      names.map((name) => [name, tf.tidy(() => tf.mul(tf.sqrt(variances[name]!), factor))]),
    );
    tf.dispose(variances as never);
    return { diagonal, standardError };
  }

  dispose(): void {
    for (const [name, part] of Object.entries(this.open)) {
      disposePart(part);
      delete this.open[name];
    }
    this.means.dispose();
    this.variances.dispose();
  }
}

/** The part outlives every tidy around. */
function keepAll(f: () => Part): Part {
  const part = tf.tidy(() => f() as never) as Part;
  for (const tensor of Object.values(part)) tf.keep(tensor);
  return part;
}

const disposePart = (part: Part): void => tf.dispose(Object.values(part));

export interface NegativeShare {
  /** share of the layer's entries below 0, chance included */
  readonly negative: number;
  /**
   * share of the entries more than two standard errors below 0. Of entries that are 0 in truth about 2 % get there by chance with many
   * draws, and more with few (4 % at 8 draws, Student's t); with standard error 0 it is `negative`
   */
  readonly certain: number;
}

/** Negative entries of a diagonal, layer by layer. A Gauss-Newton diagonal has none, a Hessian's may. */
export function negativeShare({ diagonal, standardError }: DiagonalEstimate): Readonly<Record<string, NegativeShare>> {
  const below = (entries: Tensor): number => tf.mean(tf.cast(tf.less(entries, 0), "float32")).dataSync()[0]!;
  return Object.fromEntries(
    Object.entries(diagonal).map(([name, entries]) => [
      name,
      tf.tidy(() => {
        const error = standardError[name];
        if (error === undefined) throw new Error(`negativeShare: standardError has no '${name}'`);
        return { negative: below(entries), certain: below(tf.add(entries, tf.mul(error, 2))) };
      }),
    ]),
  );
}
