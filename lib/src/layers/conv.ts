import { operations, tf } from "../backend";
import type { NetNode, Tensor } from "../types";
import { addAll, lastAxis, leadingAxes, type Params, type Rule } from "./rule";

type Node = Extract<NetNode, { kind: "conv2d" }>;
type Shape4 = [number, number, number, number];

/** y = x * weight (+ bias); weight [kh, kw, in, out], square stride, the same padding on all sides; grouped filters are refused. */
export const conv2d: Rule<Node> = {
  forward([x], { weight, bias }, { stride, pad }) {
    if (lastAxis(x!) !== weight!.shape[2])
      throw new Error(
        `conv2d: the image has ${lastAxis(x!)} channels, the filter ${weight!.shape[2]} (grouped convolutions are not supported)`,
      );
    const y = operations.conv2d(x!, weight!, stride, pad);
    return bias ? tf.add(y, bias) : y;
  },

  jvp({ x, y, params, attributes: { stride, pad } }, [dx], { weight, bias }) {
    return addAll([
      dx && operations.conv2d(dx, params.weight!, stride, pad),
      weight && operations.conv2d(x[0]!, weight, stride, pad),
      bias && tf.mul(bias, tf.fill([...y.shape.slice(0, -1), 1], 1)),
    ]);
  },

  vjp({ x, params, attributes: { stride, pad } }, dy) {
    const [, h, w, c] = x[0]!.shape as Shape4;
    return [operations.conv2dInputGrad(dy, params.weight!, [dy.shape[0]!, h, w, c], stride, pad)];
  },

  paramGrad({ x, params, attributes: { stride, pad } }, dy): Params {
    const weight: Tensor = operations.conv2dFilterGrad(x[0]!, dy, params.weight!.shape as Shape4, stride, pad);
    return params.bias ? { weight, bias: tf.sum(dy, leadingAxes(dy)) } : { weight };
  },

  bend: "none",
  outputShape([x], { weight }, { stride, pad }) {
    const [h, w] = x as readonly [number, number];
    const [kh, kw, , out] = weight as readonly [number, number, number, number];
    return [operations.slideLength(h, kh, stride, pad), operations.slideLength(w, kw, stride, pad), out];
  },

  weighted: {
    patches({ x, params, attributes: { stride, pad } }) {
      const [kh, kw] = params.weight!.shape as Shape4;
      return operations.patches(x[0]!, [kh, kw], stride, pad);
    },
    linearPart: ({ y, params }) => (params.bias ? tf.sub(y, params.bias) : y),
  },
};
