import { tf } from "../backend";
import type { Tensor, Tree } from "../types";

/** Sums tensors by name across tidies; `finish` hands the sums to the caller, `dispose` drops them. */
export class TreeSum {
  private readonly sums: Record<string, Tensor> = {};

  add(name: string, value: Tensor): void {
    const old = this.sums[name];
    this.sums[name] = tf.keep(old ? tf.add(old, value) : tf.clone(value));
    old?.dispose();
  }

  /** factor * sum, by name in the order of `names`; the sums are gone afterwards. */
  finish(factor: number, names: readonly string[]): Tree {
    const missing = names.find((name) => this.sums[name] === undefined);
    if (missing !== undefined)
      throw new Error(`'${missing}' does not reach the outputs of the net: it has no derivative`);
    const result = Object.fromEntries(names.map((name) => [name, tf.mul(this.sums[name]!, factor)]));
    this.dispose();
    return result;
  }

  dispose(): void {
    for (const [name, tensor] of Object.entries(this.sums)) {
      tensor.dispose();
      delete this.sums[name];
    }
  }
}
