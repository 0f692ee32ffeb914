import fc from "fast-check";
import { backend, train } from "secateur";
import { describe, expect, test } from "vitest";

const { stream } = backend;
const { affineView, LIGHT_VIEWS } = train;

const STILL: train.ViewOptions = { rotation: 0, scale: 0, aspect: 0, shift: 0 };

const noise = (side: number, seed = 1): Float32Array => {
  const numbers = stream(seed, "noise");
  return Float32Array.from({ length: side * side }, () => numbers.normal());
};

/** The view of one drawing, its five numbers chosen instead of drawn. */
function chosen(
  image: Float32Array,
  side: number,
  view: Partial<Record<"angle" | "zoom" | "logAspect" | "right" | "down", number>>,
) {
  const { angle = 0, zoom = 1, logAspect = 0, right = 0, down = 0 } = view;
  const half = (side - 1) / 2;
  const numbers = [angle, zoom, logAspect, right / half, down / half];
  const fixed = { ...stream(0), uniform: () => numbers.shift()! };
  const out = new Float32Array(image.length);
  affineView(image, side, fixed, LIGHT_VIEWS, out);
  expect(numbers).toEqual([]);
  return out;
}

const rowsOf = (values: Float32Array, side: number): number[][] =>
  Array.from({ length: side }, (_, row) => [...values.subarray(row * side, (row + 1) * side)]);

test("nothing drawn, nothing changed", () => {
  const image = noise(7);
  const out = new Float32Array(49);
  affineView(image, 7, stream(3), STILL, out);
  expect([...out]).toEqual([...image]);
});

describe("symmetries", () => {
  const side = 6;
  const image = noise(side);
  const near = (got: Float32Array, expected: (row: number, column: number) => number): void => {
    rowsOf(got, side).forEach((line, row) => {
      line.forEach((value, column) => {
        expect(value).toBeCloseTo(expected(row, column), 5);
      });
    });
  };
  const at = (row: number, column: number): number => image[row * side + column]!;
  const last = side - 1;

  test("a quarter turn", () => {
    near(chosen(image, side, { angle: Math.PI / 2 }), (row, column) => at(column, last - row));
  });

  test("a half turn", () => {
    near(chosen(image, side, { angle: Math.PI }), (row, column) => at(last - row, last - column));
  });

  test("an image that a quarter turn does not change is turned by 45 degrees into one that it does not change", () => {
    const turned = (r: number, c: number): number =>
      at(r, c) + at(c, last - r) + at(last - r, last - c) + at(last - c, r);
    const whole = Float32Array.from(image, (_, i) => turned(Math.floor(i / side), i % side));
    const out = chosen(whole, side, { angle: Math.PI / 4 });
    near(out, (row, column) => out[column * side + last - row]!);
  });
});

test("a linear image stays linear: every pixel is read where zoom, aspect, angle and shift say", () => {
  const side = 9;
  const half = (side - 1) / 2;
  const linear = (x: number, y: number): number => 1 + 0.3 * x - 0.2 * y;
  const image = Float32Array.from({ length: side * side }, (_, i) => linear(i % side, Math.floor(i / side)));
  const [angle, zoom, logAspect, right, down] = [0.3, 0.7, 0.15, 0.4, -0.6];
  const out = chosen(image, side, { angle, zoom, logAspect, right, down });
  const a = Math.exp(logAspect);
  let inside = 0;
  rowsOf(out, side).forEach((line, row) => {
    line.forEach((value, column) => {
      const [u, v] = [(column - half) * a, (row - half) / a];
      const x = zoom * (Math.cos(angle) * u - Math.sin(angle) * v) + right + half;
      const y = zoom * (Math.sin(angle) * u + Math.cos(angle) * v) + down + half;
      if (Math.min(x, y) < 0 || Math.max(x, y) > side - 1) return;
      inside++;
      expect(value).toBeCloseTo(linear(x, y), 5);
    });
  });
  expect(inside).toBeGreaterThan(60);
});

test.each([
  [3, [3, 4, 3, 2, 1]],
  [-3, [3, 2, 1, 0, 1]],
  [0.5, [0.5, 1.5, 2.5, 3.5, 3.5]],
  [9, [1, 2, 3, 4, 3]],
  [-9, [1, 0, 1, 2, 3]],
])("beyond the edges the image is mirrored: a shift of %s", (shift, expected) => {
  const image = Float32Array.from({ length: 25 }, (_, i) => i % 5);
  for (const line of rowsOf(chosen(image, 5, { right: shift }), 5)) expect(line).toEqual(expected);
  const standing = Float32Array.from({ length: 25 }, (_, i) => Math.floor(i / 5));
  const out = chosen(standing, 5, { down: shift });
  expect([0, 1, 2, 3, 4].map((row) => out[row * 5]!)).toEqual(expected);
});

test("the same stream gives the same bytes, another one others; no value leaves the image's range", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 12 }), fc.nat(1000), (side, seed) => {
      const image = noise(side, seed);
      const [a, b, c] = [0, 1, 2].map(() => new Float32Array(side * side)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      affineView(image, side, stream(seed, "a"), LIGHT_VIEWS, a);
      affineView(image, side, stream(seed, "a"), LIGHT_VIEWS, b);
      affineView(image, side, stream(seed, "c"), LIGHT_VIEWS, c);
      const [low, high] = [Math.min(...image) - 1e-6, Math.max(...image) + 1e-6];
      expect([...a]).toEqual([...b]);
      expect([...a]).not.toEqual([...c]);
      expect(a.every((v) => v >= low && v <= high)).toBe(true);
    }),
    { numRuns: 40 },
  );
});

test.each([
  ["another size", 4, 25, 25],
  ["a short result", 5, 25, 24],
  ["a side of 1", 1, 1, 1],
])("refuses %s", (_, side, image, out) => {
  expect(() => affineView(new Float32Array(image), side, stream(0), STILL, new Float32Array(out))).toThrow(
    /side \* side values, side >= 2; got/,
  );
});
