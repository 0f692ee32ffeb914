import { backend, curvature, type Model, type Tensor, type Tree } from "secateur";
import { describe, expect, test } from "vitest";
import { entrySlope, FD_RTOL, moved, slope } from "../oracle/differences";
import "../support/close-tree";
import { everyLayer, randomTensor, tinyBatch, tinyModel, tinyNets } from "../support/tiny-nets";

const { tf } = backend;
const exact = { rtol: 1e-12 }; // the same sums in another order, float64

const learnable = ({ net }: Model): string[] =>
  Object.keys(net.params).filter((key) => !/Mean|Variance/.test(net.params[key]!.role));

const directionsLike = (params: Tree, names: readonly string[]): Tree =>
  Object.fromEntries(names.map((name) => [name, randomTensor(params[name]!.shape, 5, name)]));

const movedBy = (params: Tree, direction: Tree, step: number): Tree => ({
  ...params,
  ...Object.fromEntries(Object.entries(direction).map(([name, d]) => [name, moved(params[name]!, d, step)])),
});

describe.each(tinyNets)("$name", ({ make }) => {
  const model = tinyModel(make());
  const { x } = tinyBatch(model.net);
  const trace = curvature.forward(model, x);
  const cotangent = randomTensor(trace.outputs.shape, 6, "cotangent");
  const gradients = curvature.vjp(trace, cotangent);

  test("predict and forward give the same outputs, whatever the batch", () => {
    const one = tf.concat(
      tf.split(x, 3, 0).map((image) => curvature.predict(model, image)),
      0,
    );
    expect({ f: curvature.predict(model, x) }).toBeNearTree({ f: trace.outputs }, { rtol: 0 });
    expect({ f: one }).toBeNearTree({ f: trace.outputs }, exact);
  });

  test("outputs are features times head plus bias; without a head they are the features", () => {
    const { weight, bias } = model.head!;
    const headless = { net: model.net, params: model.params };
    const features = curvature.predict(headless, x);
    expect({ f: tf.add(tf.matMul(features, weight), bias) }).toBeNearTree({ f: trace.outputs }, exact);
    expect({ f: curvature.forward(headless, x).outputs }).toBeNearTree({ f: trace.features }, { rtol: 0 });
  });

  test("jvp along all parameters and the image is the difference quotient", () => {
    const params = directionsLike(model.params, learnable(model));
    const dx = randomTensor(x.shape, 7, "dx");
    const expected = slope((step) =>
      curvature.predict({ ...model, params: movedBy(model.params, params, step) }, moved(x, dx, step) as typeof x),
    );
    expect({ jv: curvature.jvp(trace, { params, x: dx }) }).toBeNearTree({ jv: expected }, { rtol: FD_RTOL });
  });

  test("vjp gives every learnable parameter's gradient, entry by entry the difference quotient", () => {
    expect(Object.keys(gradients).sort()).toEqual(learnable(model).sort());
    const objective = (params: Tree): Tensor => tf.sum(tf.mul(curvature.predict({ ...model, params }, x), cotangent));
    const expected = Object.fromEntries(
      learnable(model).map((name) => [
        name,
        Float64Array.from(
          { length: model.params[name]!.size },
          (_, j) => entrySlope(model.params, name, j, objective)[0]!,
        ),
      ]),
    );
    // absolute part: a weight of which nothing depends has the rounding noise of the quotient
    expect(gradients).toBeNearTree(expected, { rtol: FD_RTOL, atol: 1e-9 });
  });

  test("vjp for some keys gives those alone", () => {
    const [first, last] = [model.net.prunable[0]!, model.net.prunable[model.net.prunable.length - 1]!];
    const some = curvature.vjp(trace, cotangent, [first, last]);
    expect(some).toBeNearTree({ [last]: gradients[last]!, [first]: gradients[first]! }, { rtol: 0 });
  });

  test("stacked directions reach every node as they do one by one", () => {
    const each = [0, 1, 2, 3].map((m) => randomTensor(trace.outputs.shape, m, "stacked"));
    const seen = (u: Tensor): Tree => {
      const at: Record<string, Tensor> = {};
      curvature.backward(trace, u, (node, _, dy) => {
        at[node.id] = tf.clone(dy); // dy lives for the visit only
      });
      return at;
    };
    const single = each.map(seen);
    const expected = Object.fromEntries(
      Object.keys(single[0]!).map((id) => [
        id,
        tf.concat(
          single.map((at) => at[id]!),
          0,
        ),
      ]),
    );
    expect(Object.keys(expected).sort()).toEqual(model.net.nodes.map(({ id }) => id).sort());
    expect(seen(tf.concat(each, 0))).toBeNearTree(expected, exact);
  });
});

describe("training mode", () => {
  const model = tinyModel(everyLayer());
  const { x } = tinyBatch(model.net, { n: 4 });
  const trace = curvature.forward(model, x, { training: true });
  const cotangent = randomTensor(trace.outputs.shape, 8, "training");

  test("gradients are the difference quotients of the training forward pass", () => {
    const gradients = curvature.vjp(trace, cotangent);
    const names = learnable(model);
    expect(Object.keys(gradients).sort()).toEqual(names.sort());
    const along = (name: string, k: number): { got: number; expected: number } => {
      const d = randomTensor(model.params[name]!.shape, k, name, "along");
      const quotient = slope((step) => {
        const params = movedBy(model.params, { [name]: d }, step);
        return tf.sum(tf.mul(curvature.forward({ ...model, params }, x, { training: true }).outputs, cotangent));
      });
      return { got: tf.sum(tf.mul(gradients[name]!, d)).dataSync()[0]!, expected: quotient.dataSync()[0]! };
    };
    const pairs = names.map((name) => [name, [0, 1, 2].map((k) => along(name, k))] as const);
    const pick = (what: "got" | "expected") =>
      Object.fromEntries(pairs.map(([name, list]) => [name, list.map((pair) => pair[what])]));
    // absolute part: a bias before a norm has gradient 0 up to rounding
    expect(pick("got")).toBeNearTree(pick("expected"), { rtol: FD_RTOL, atol: 1e-8 });
  });

  test("a bias before a norm has no effect", () => {
    const { "conv1.bias": bias } = curvature.vjp(trace, cotangent);
    expect({ bias: bias! }).toBeNearTree({ bias: tf.zerosLike(bias!) }, { rtol: 0, atol: 1e-12 });
  });

  test("the running statistics of every norm are told, and only in training mode", () => {
    const statistics = Object.keys(model.net.params).filter((key) => /running/.test(key));
    expect(Object.keys(trace.running).sort()).toEqual(statistics.sort());
    expect(curvature.forward(model, x).running).toEqual({});
  });

  test("the first norm sees the first convolution's output", () => {
    const { y } = trace.points.conv1!;
    const { mean, variance } = tf.moments(y, [0, 1, 2]);
    const count = y.size / 3;
    const move = (old: Tensor, now: Tensor): Tensor => tf.add(tf.mul(old, 0.9), tf.mul(now, 0.1));
    const expected = {
      "bn1.running_mean": move(model.params["bn1.running_mean"]!, mean),
      "bn1.running_var": move(model.params["bn1.running_var"]!, tf.mul(variance, count / (count - 1))),
    };
    const got = Object.fromEntries(Object.keys(expected).map((key) => [key, trace.running[key]!]));
    expect(got).toBeNearTree(expected, exact);
  });

  test("jvp is refused: it is about frozen norms", () => {
    expect(() => curvature.jvp(trace, { x })).toThrow(/norms must be frozen/);
  });
});

describe("errors", () => {
  const model = tinyModel(everyLayer());

  test("images of another shape are named with both shapes", () => {
    const x = tf.zeros([2, 8, 9, 2]) as Tensor;
    expect(() => curvature.forward(model, x)).toThrow("every-layer: images must be [n, 9, 8, 2], got [2, 8, 9, 2]");
    expect(() => curvature.predict(model, x)).toThrow("every-layer: images must be [n, 9, 8, 2], got [2, 8, 9, 2]");
  });

  test("a tangent of an unknown parameter is named", () => {
    const trace = curvature.forward(model, tinyBatch(model.net).x);
    expect(() => curvature.jvp(trace, { params: { "conv9.weight": tf.zeros([1]) } })).toThrow(
      /no parameter 'conv9.weight'/,
    );
  });
});
