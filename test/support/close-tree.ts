import type { Tensor } from "secateur";
import { expect } from "vitest";

type Values = ArrayLike<number> | Tensor;
type AnyTree = Readonly<Record<string, Values>>;

export interface Tolerance {
  /** allowed error of an entry, relative to the largest expected value of the same name */
  readonly rtol: number;
  /** added to it (default 0) */
  readonly atol?: number;
}

const onHost = (values: Values): ArrayLike<number> => ("dataSync" in values ? values.dataSync() : values);

interface Miss {
  readonly name: string;
  readonly index: number;
  readonly got: number;
  readonly expected: number;
  /** error over tolerance */
  readonly excess: number;
}

/** The entry with the largest error over tolerance; undefined when there is no entry at all. */
export function worstEntry(got: AnyTree, expected: AnyTree, { rtol, atol = 0 }: Tolerance): Miss | undefined {
  let worst: Miss | undefined;
  for (const name of Object.keys(expected)) {
    const [a, b] = [onHost(got[name]!), onHost(expected[name]!)];
    const tolerance = atol + rtol * Array.from(b).reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    for (let index = 0; index < b.length; index++) {
      const error = Math.abs(a[index]! - b[index]!);
      const excess = error === 0 ? 0 : Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / tolerance;
      if (worst === undefined || excess > worst.excess)
        worst = { name, index, got: a[index]!, expected: b[index]!, excess };
    }
  }
  return worst;
}

function misfit(got: AnyTree, expected: AnyTree): string | undefined {
  const names = new Set([...Object.keys(got), ...Object.keys(expected)]);
  if (names.size === 0) return "there is nothing to compare";
  for (const name of names) {
    if (!(name in expected)) return `'${name}' was not expected`;
    if (!(name in got)) return `'${name}' is missing`;
    const [a, b] = [got[name]!, expected[name]!];
    const shapes = "shape" in a && "shape" in b;
    if (shapes && a.shape.join() !== b.shape.join()) return `'${name}' is [${a.shape}], expected [${b.shape}]`;
    const [length, wanted] = [onHost(a).length, onHost(b).length];
    if (length !== wanted) return `'${name}' has ${length} values, expected ${wanted}`;
  }
  return undefined;
}

expect.extend({
  toBeNearTree(got: AnyTree, expected: AnyTree, tolerance: Tolerance) {
    const problem = misfit(got, expected);
    if (problem !== undefined) return { pass: false, message: () => problem };
    const worst = worstEntry(got, expected, tolerance);
    const report = ({ name, index, got, expected, excess }: Miss): string =>
      `worst entry: '${name}'[${index}] is ${got}, expected ${expected} (ratio ${got / expected}); error ${excess} times the tolerance`;
    return {
      pass: worst === undefined || worst.excess <= 1,
      message: () => (worst === undefined ? "both are empty" : report(worst)),
    };
  },
});

declare module "vitest" {
  // biome-ignore lint/suspicious/noExplicitAny: must repeat vitest's own declaration
  interface Matchers<T = any> {
    /** Named tensors or arrays with equal names and sizes and close values; the message tells the worst entry. */
    toBeNearTree(expected: AnyTree, tolerance: Tolerance): T;
  }
}
