/** Arithmetic on named tensors. Trees are paired by name; a misfit is an error that names the entry. */
import { tf } from "../backend";
import type { Tensor, Tree } from "../types";

/** Values of a tree on the host, in memory order. */
export type HostTree = Readonly<Record<string, Float32Array | Float64Array>>;

/** A new tree with f of every entry. */
export function mapTree(tree: Tree, f: (tensor: Tensor, name: string) => Tensor): Tree {
  return Object.fromEntries(Object.entries(tree).map(([name, tensor]) => [name, f(tensor, name)]));
}

/**
 * A new tree with f of the entries of equal name.
 * @throws Error when names or shapes do not fit
 */
export function zipTree(left: Tree, right: Tree, f: (a: Tensor, b: Tensor, name: string) => Tensor): Tree {
  assertSameNames("zipTree", left, right);
  return mapTree(left, (a, name) => {
    const b = right[name]!;
    if (a.shape.join() !== b.shape.join())
      throw new Error(`zipTree: '${name}' is [${a.shape}] on the left, [${b.shape}] on the right`);
    return f(a, b, name);
  });
}

/** sum_j left_j right_j over all entries, in float64 on the host. */
export function dotTree(left: Tree, right: Tree): number {
  const products = zipTree(left, right, (a, b) => tf.tidy(() => tf.sum(tf.mul(a, b))));
  const sum = Object.values(products).reduce((total, t) => total + t.dataSync()[0]!, 0);
  disposeTree(products);
  return sum;
}

/** Number of values. */
export function countTree(tree: Tree): number {
  return Object.values(tree).reduce((total, t) => total + t.size, 0);
}

/** The entries with these names, the same tensors. */
export function pickTree(tree: Tree, names: readonly string[]): Tree {
  return Object.fromEntries(
    names.map((name) => {
      const tensor = tree[name];
      if (tensor === undefined) throw new Error(`pickTree: there is no '${name}'`);
      return [name, tensor];
    }),
  );
}

/** Copies to the host. */
export function toHost(tree: Tree): HostTree {
  return Object.fromEntries(Object.entries(tree).map(([name, t]) => [name, t.dataSync().slice() as Float32Array]));
}

export function disposeTree(tree: Tree): void {
  for (const tensor of Object.values(tree)) tensor.dispose();
}

function assertSameNames(where: string, left: Tree, right: Tree): void {
  for (const name of Object.keys(left))
    if (!(name in right)) throw new Error(`${where}: '${name}' is only on the left`);
  for (const name of Object.keys(right))
    if (!(name in left)) throw new Error(`${where}: '${name}' is only on the right`);
}
