import { backend } from "secateur";
import { describe, expect, test } from "vitest";

const { stream } = backend;
const draw = <T>(n: number, f: () => T): T[] => Array.from({ length: n }, f);
const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

describe("stream", () => {
  test("gives these numbers on every machine", () => {
    const s = stream(7, "a");
    expect(s.uniform()).toBe(0.45612738747149706);
    expect(s.uniform(-1, 1)).toBe(-0.31647808151319623);
    expect(s.normal()).toBe(-0.28776416048976305);
    expect([s.integer(10), s.sign()]).toEqual([8, -1]);
    expect([...s.permutation(8)]).toEqual([6, 5, 0, 7, 4, 2, 1, 3]);
  });

  test("a name gives the same numbers again, another name, seed or kind of part gives others", () => {
    const first = (...args: Parameters<typeof stream>): string => {
      const s = stream(...args);
      return draw(4, () => s.uniform()).join();
    };
    expect(first(1, "probes", 3)).toBe(first(1, "probes", 3));
    const names: Parameters<typeof stream>[] = [
      [1, "probes", 3],
      [2, "probes", 3],
      [1, "probes", "3"],
      [1, "probes3"],
      [1, "probes", 3, 0],
      [1, 3, "probes"],
      [1],
      [-1],
    ];
    expect(new Set(names.map((name) => first(...name))).size).toBe(names.length);
  });

  test("uniform fills 100 bins evenly: chi-square within 4 sd of its 99 degrees of freedom", () => {
    const s = stream(0, "bins");
    const bins = new Array<number>(100).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const bin = Math.floor(s.uniform() * 100);
      bins[bin] = (bins[bin] as number) + 1;
    }
    const chi2 = bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(Math.abs(chi2 - 99)).toBeLessThan(4 * Math.sqrt(2 * 99));
  });

  test("first numbers of streams named by neighbours are uniform and uncorrelated", () => {
    const n = 20_000;
    const firsts = Array.from({ length: n }, (_, i) => stream(0, "image", "hebrew", i).uniform());
    expect(Math.abs(mean(firsts) - 0.5)).toBeLessThan(4 / Math.sqrt(12 * n));
    const products = firsts.slice(1).map((u, i) => 12 * (u - 0.5) * ((firsts[i] as number) - 0.5));
    expect(Math.abs(mean(products))).toBeLessThan(4 / Math.sqrt(n));
    expect(new Set(firsts).size).toBeGreaterThan(n - 5); // 0.05 pairs of equal 32-bit numbers expected
  });

  test("normal has the moments of N(0, 1), each within 4 sd, and its quantiles", () => {
    const s = stream(0, "moments");
    const n = 200_000;
    const z = draw(n, () => s.normal());
    for (const [power, moment, variance] of [
      [1, 0, 1],
      [2, 1, 2],
      [3, 0, 15],
      [4, 3, 96],
    ] as const) {
      const found = mean(z.map((v) => v ** power));
      expect(Math.abs(found - moment), `moment ${power}`).toBeLessThan(4 * Math.sqrt(variance / n));
    }
    for (const [quantile, p] of [
      [-2.326347874040841, 0.01],
      [-0.6744897501960817, 0.25],
      [0, 0.5],
      [1.2815515655446004, 0.9],
    ] as const) {
      const below = z.filter((v) => v < quantile).length / n;
      expect(Math.abs(below - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / n));
    }
  });

  test("normal is the inverse distribution function of the uniform number at its place", () => {
    // the normal distribution function, by the series z phi(z) (1 + z^2/3 + z^4/15 + ...)
    const below = (z: number): number => {
      let term = z;
      let sum = z;
      for (let k = 3; Math.abs(term) > 1e-18; k += 2) {
        term *= (z * z) / k;
        sum += term;
      }
      return 0.5 + (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * sum;
    };
    const [u, z] = [stream(5, "same"), stream(5, "same")];
    for (let i = 0; i < 2000; i++) expect(Math.abs(below(z.normal()) - (u.uniform() + 2 ** -33))).toBeLessThan(1e-14);
  });

  test("sign and integer are fair, integer reaches every value", () => {
    const s = stream(1, "fair");
    expect(Math.abs(mean(draw(40_000, () => s.sign())))).toBeLessThan(4 / 200);
    const counts = [0, 0, 0, 0, 0, 0, 0];
    for (let i = 0; i < 70_000; i++) {
      const k = s.integer(7);
      counts[k] = (counts[k] as number) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(4 * Math.sqrt(10_000 * (6 / 7)));
    expect(s.integer(1)).toBe(0);
    const large = draw(1000, () => s.integer(2 ** 32));
    expect(Math.max(...large)).toBeGreaterThan(2 ** 31);
  });

  test("permutation holds every number once; each number is first equally often", () => {
    const s = stream(2, "order");
    expect([...s.permutation(50)].sort((a, b) => a - b)).toEqual([...Array(50).keys()]);
    expect([...s.permutation(0)]).toEqual([]);
    const firsts = [0, 0, 0, 0];
    for (let i = 0; i < 40_000; i++) {
      const [first] = s.permutation(4);
      firsts[first as number] = (firsts[first as number] as number) + 1;
    }
    for (const count of firsts) expect(Math.abs(count - 10_000)).toBeLessThan(4 * Math.sqrt(10_000 * 0.75));
  });

  test("refuses numbers that are no integers", () => {
    expect(() => stream(0.5)).toThrow(/must be integers, got 0.5/);
    expect(() => stream(0, "x", Number.NaN)).toThrow(/must be integers, got NaN/);
    expect(() => stream(0).integer(0)).toThrow(/n must be an integer from 1 to 2\^32, got 0/);
    expect(() => stream(0).integer(2.5)).toThrow(/got 2.5/);
    expect(() => stream(0).permutation(-1)).toThrow(/got -1/);
  });
});
