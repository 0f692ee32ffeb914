import { type Mask, masks } from "secateur";
import { expect, test } from "vitest";
import { net } from "./tiny";

const none = Object.fromEntries(Object.entries(masks.fullMask(net)).map(([name, m]) => [name, m.map(() => 0)])) as Mask;

test("nothing kept fits, everything kept does not; incomplete groups are left out", () => {
  // rows of 2 x 3 x 3 = 18, of 4 and of 3 inputs: 4, 1 and 0 whole groups of 4, for 4, 3 and 5 outputs
  expect(masks.nOfMReport(net, none)).toMatchObject({ groups: 19, fitting: 19, share: 1 });
  const { layers, ...all } = masks.nOfMReport(net, masks.fullMask(net));
  expect(all).toEqual({ groups: 19, fitting: 0, share: 0 });
  expect(layers).toEqual([
    { name: "conv1.weight", groups: 16, fitting: 0, share: 0 },
    { name: "conv2.weight", groups: 3, fitting: 0, share: 0 },
    { name: "fc.weight", groups: 0, fitting: 0, share: Number.NaN },
  ]);
});

test("groups run over [in, kh, kw] of one output: three kept weights of one group, and the same number spread over outputs", () => {
  // memory is [y, x, in, out] = [3, 3, 2, 4]; the first group of output 1 is input 0 at (0, 0), (0, 1), (0, 2), (1, 0)
  const at = (y: number, x: number, input: number, out: number): number => ((y * 3 + x) * 2 + input) * 4 + out;
  const withKept = (...places: number[]): Mask => {
    const conv = new Uint8Array(72);
    for (const place of places) conv[place] = 1;
    return { ...none, "conv1.weight": conv };
  };
  const crowded = withKept(at(0, 0, 0, 1), at(0, 2, 0, 1), at(1, 0, 0, 1));
  expect(masks.nOfMReport(net, crowded).fitting).toBe(18);
  expect(masks.nOfMReport(net, crowded, { n: 3, m: 4 }).fitting).toBe(19);
  const spread = withKept(at(0, 0, 0, 1), at(0, 2, 0, 2), at(1, 0, 0, 1));
  expect(masks.nOfMReport(net, spread).fitting).toBe(19);
  // (1, 1) begins the next group
  expect(masks.nOfMReport(net, withKept(at(0, 0, 0, 1), at(0, 2, 0, 1), at(1, 1, 0, 1))).fitting).toBe(19);
});

test.each([
  [{ n: 4, m: 4 }, /0 < n < m, got n 4, m 4/],
  [{ n: 0, m: 4 }, /got n 0, m 4/],
  [{ n: 1.5, m: 4 }, /got n 1\.5, m 4/],
])("refuses %j", (options, rule) => expect(() => masks.nOfMReport(net, none, options)).toThrow(rule));
