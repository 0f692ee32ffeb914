import { backend } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";

const { tf } = backend;

describe("the float64 oracle", () => {
  test("says what it is", () => {
    expect([backend.kind, backend.device()]).toEqual(["float64", "CPU"]);
    expect(backend.engineVersion()).toMatch(/^tfjs 4\./);
  });

  test("keeps and computes 16 digits, from typed arrays and from lists", () => {
    const third = tf.tensor1d(Float32Array.of(1 / 3));
    expect(third.dataSync()[0]).toBe(1 / 3);
    expect(tf.mul(tf.tensor1d([1 / 3]), third).dataSync()[0]).toBe((1 / 3) * (1 / 3));
    const tiny = tf.sub(tf.add(1, tf.scalar(2 ** -50)), 1);
    expect(tiny.dataSync()[0]).toBe(2 ** -50);
  });

  test("erf is exact to the last bits, also where its series meets its continued fraction at 3", () => {
    // Python's math.erf
    const values: [number, number][] = [
      [0, 0],
      [1e-8, 1.1283791670955126e-8],
      [0.5, 0.5204998778130465],
      [1, 0.8427007929497149],
      [2, 0.9953222650189527],
      [2.999, 0.9999777698314002],
      [3.001, 0.9999780483390822],
      [4, 0.9999999845827421],
      [5.5, 0.9999999999999927],
      [-1.5, -0.9661051464753108],
      [-3.5, -0.9999992569016276],
    ];
    const got = tf.erf(tf.tensor1d(values.map(([x]) => x))).dataSync();
    values.forEach(([x, erf], i) => {
      expect(Math.abs(got[i]! - erf), `erf(${x})`).toBeLessThanOrEqual(4e-16 * Math.max(1, Math.abs(erf)));
    });
    expect(got[1]! / 1.1283791670955126e-8).toBeCloseTo(1, 15);
  });
});
