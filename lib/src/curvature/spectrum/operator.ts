/** Symmetric matrices that are known by their products with trees of weights. */
import { type Stream, tf } from "../../backend";
import { countTree, disposeTree, mapTree, pickTree } from "../../tree";
import type { Tensor, Tensor2D, Tree } from "../../types";

/**
 * v -> A v for a symmetric matrix A; the result has the names and shapes of v and belongs to the caller, v is not disposed.
 * For instance `(v) => gnProduct(model, data, v)` with the prunable weights as the template.
 */
export type Operator = (v: Tree) => Tree;

/** What long work reports to after each product with the matrix; it may throw to stop the work. */
export type OnProduct = (done: number, most: number) => void;

/**
 * The diagonal block of A that belongs to some names: v is filled up with zeros, other rows of the product are dropped.
 * @returns the operator and template of the block; the template holds the same tensors
 * @throws Error when the template has no such name; RangeError without a name
 */
export function blockOf(
  operator: Operator,
  template: Tree,
  names: readonly string[],
): { operator: Operator; template: Tree } {
  if (names.length === 0) throw new RangeError("blockOf: names must not be empty");
  const block = pickTree(template, names);
  return {
    template: block,
    operator: (v) => {
      const filled = mapTree(template, (t, name) => (v[name] ? tf.clone(v[name]!) : tf.zerosLike(t)));
      const product = operator(filled);
      disposeTree(filled);
      const wanted = mapTree(block, (_, name) => tf.clone(product[name]!));
      disposeTree(product);
      return wanted;
    },
  };
}

/** Trees of one form as rows [1, p], names in the template's order. */
export class Space {
  readonly dimension: number;

  constructor(private readonly template: Tree) {
    this.dimension = countTree(template);
    if (this.dimension === 0) throw new RangeError("spectrum: the template must hold at least one weight, got none");
  }

  /** @throws Error naming the entry that the operator's result lacks or has in another shape */
  flatten(tree: Tree): Tensor2D {
    const parts = Object.entries(this.template).map(([name, t]) => {
      const part = tree[name];
      if (part === undefined || part.shape.join() !== t.shape.join())
        throw new Error(
          `spectrum: '${name}' must be [${t.shape}] as in the template, got ${part ? `[${part.shape}]` : "nothing"}`,
        );
      return tf.reshape(part, [1, t.size]);
    });
    return parts.length === 1 ? (parts[0] as Tensor2D) : tf.concat2d(parts as Tensor2D[], 1);
  }

  unflatten(row: Tensor): Tree {
    let from = 0;
    return mapTree(this.template, (t) => {
      const part = tf.tidy(() => tf.reshape(tf.slice(row as Tensor2D, [0, from], [1, t.size]), t.shape));
      from += t.size;
      return part;
    });
  }

  apply(operator: Operator, row: Tensor): Tensor2D {
    return tf.tidy(() => this.flatten(operator(this.unflatten(row))));
  }

  signs(numbers: Stream): Tensor2D {
    return this.row(() => numbers.sign());
  }

  /** uniform on the unit sphere */
  direction(numbers: Stream): Tensor2D {
    return tf.tidy(() => {
      const row = this.row(() => numbers.normal());
      return tf.div(row, tf.norm(row));
    });
  }

  private row(draw: () => number): Tensor2D {
    return tf.tensor2d(
      Float32Array.from({ length: this.dimension }, () => draw()),
      [1, this.dimension],
    );
  }
}

export const dotRows = (a: Tensor, b: Tensor): number =>
  tf.tidy(() => tf.matMul(a as Tensor2D, b as Tensor2D, false, true).dataSync()[0]!);

/** Orthonormal rows, as blocks whose sizes are powers of two: few products however many rows. */
export class Basis {
  private readonly blocks: Tensor2D[] = [];
  private rows = 0;

  get size(): number {
    return this.rows;
  }

  /** Takes the row, which must be orthonormal to the others. */
  add(row: Tensor2D): void {
    this.blocks.push(tf.keep(row));
    this.rows++;
    for (let n = this.blocks.length; n > 1 && this.blocks[n - 1]!.shape[0] === this.blocks[n - 2]!.shape[0]; n--) {
      const pair = this.blocks.splice(n - 2);
      this.blocks.push(tf.keep(tf.concat2d(pair, 0)));
      tf.dispose(pair);
    }
  }

  /** The row without its part in the span: Gram-Schmidt, twice (once loses digits when little is left). */
  reject(row: Tensor2D): Tensor2D {
    return tf.tidy(() => {
      let rest = row;
      for (let pass = 0; pass < 2; pass++)
        for (const block of this.blocks)
          rest = tf.sub(rest, tf.matMul(tf.matMul(block, rest, false, true), block, true));
      return rest === row ? tf.clone(row) : rest;
    });
  }

  /** Rows sum_j weights[j] q_j; `weights` [k, size]. */
  combine(weights: Tensor2D): Tensor2D {
    return tf.tidy(() => {
      let from = 0;
      const parts = this.blocks.map((block) => {
        const part = tf.matMul(tf.slice(weights, [0, from], [weights.shape[0], block.shape[0]]), block);
        from += block.shape[0];
        return part;
      });
      return (parts.length === 1 ? parts[0]! : tf.addN(parts)) as Tensor2D;
    });
  }

  dispose(): void {
    tf.dispose(this.blocks);
    this.blocks.length = 0;
    this.rows = 0;
  }
}

export function assertCount(what: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): void {
  if (!(Number.isInteger(value) && value >= least && value <= most))
    throw new RangeError(
      `${what} must be an integer ${most === Number.MAX_SAFE_INTEGER ? `>= ${least}` : `from ${least} to ${most}`}, got ${value}`,
    );
}
