import { curvature, nets, scores, tree } from "secateur";
import { describe, expect, test } from "vitest";
import "../support/close-tree";
import { owned } from "../support/owned";
import { everyLayer, reluResidual, tinyBatch, tinyModel } from "../support/tiny-nets";

describe.each([reluResidual, everyLayer].map((make) => ({ name: make().name, make })))("$name", ({ make }) => {
  const model = tinyModel(make());
  const folded = nets.foldBatchNorm(model);
  const data = tinyBatch(model.net, { n: 4 });

  test("no norm is left, the same weights are prunable, the outputs are equal", () => {
    expect(folded.net.nodes.some(({ kind }) => kind === "batchNorm")).toBe(false);
    expect(folded.net.prunable).toEqual(model.net.prunable);
    expect(Object.keys(folded.params).sort()).toEqual(Object.keys(folded.net.params).sort());
    const outputs = [model, folded].map((m) => ({ f: curvature.predict(m, data.x) }));
    expect(outputs[1]!).toBeNearTree(outputs[0]!, { rtol: 1e-12 });
  });

  test("theta^2 H_jj is the same, magnitude is not", () => {
    expect(scores.diagonal().score(folded, data)).toBeNearTree(scores.diagonal().score(model, data), { rtol: 1e-11 });
    const [before, after] = [model, folded].map((m) => tree.toHost(scores.magnitude().score(m, data)));
    const changed = model.net.prunable.filter((name) => before![name]!.some((w, i) => w !== after![name]![i]));
    const behindNorms = model.net.nodes.filter(({ kind }) => kind === "batchNorm").map(({ inputs }) => inputs[0]);
    expect(changed).toEqual(model.net.prunable.filter((key) => behindNorms.includes(key.replace(/\.weight$/, ""))));
    expect(changed.length).toBeGreaterThan(2);
  });

  test("the given model is left alone, the new parameters are the caller's", () => {
    const params = owned(() => nets.foldBatchNorm(model).params as never);
    tree.disposeTree(params as never);
    expect(Object.values(model.params).every((t) => !t.isDisposed)).toBe(true);
  });
});

test("one filter by hand: w s, (b - mean) s + shift", () => {
  const b = new nets.NetBuilder();
  b.flatten("flat", b.batchNorm("bn", b.conv2d("conv", "x", 1, 1, 1, 1, true), 1));
  const { net } = { net: b.build("one", [1, 1, 1], 1) };
  const model = tinyModel(net);
  const of = (key: string): number => model.params[key]!.dataSync()[0]!;
  const s = of("bn.weight") / Math.sqrt(of("bn.running_var") + 1e-5);
  const { params } = nets.foldBatchNorm(model);
  expect(Object.keys(params)).toEqual(["conv.weight", "conv.bias"]);
  expect(params["conv.weight"]!.dataSync()[0]).toBeCloseTo(of("conv.weight") * s, 13);
  expect(params["conv.bias"]!.dataSync()[0]).toBeCloseTo(
    (of("conv.bias") - of("bn.running_mean")) * s + of("bn.bias"),
    13,
  );
});

test("a norm whose layer others read too stays a norm", () => {
  const b = new nets.NetBuilder();
  const conv = b.conv2d("conv", "x", 1, 2, 1, 1);
  b.flatten("flat", b.add("add", conv, b.batchNorm("bn", conv, 2)));
  const model = tinyModel(b.build("shared", [2, 2, 1], 8));
  const folded = nets.foldBatchNorm(model);
  expect(folded.net.nodes).toEqual(model.net.nodes);
  const { x } = tinyBatch(model.net);
  expect({ f: curvature.predict(folded, x) }).toBeNearTree({ f: curvature.predict(model, x) }, { rtol: 0 });
});
