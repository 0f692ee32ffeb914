/** TensorFlow operations by their own names. Only this folder touches engine internals. */
import type { Tensor } from "../types";
import { kind, tf } from "./start";

interface Attribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** true when operations of TensorFlow itself can be called; otherwise the portable twins run. */
export const native: boolean = kind === "tensorflow";

// biome-ignore lint/suspicious/noExplicitAny: the addon has no public types
const backend = (): any => tf.backend();

// Values of the addon's enums (TensorFlow's C API).
const attributeType = { string: 0, int: 1, float: 2, bool: 3, type: 4 } as const;
const dataType = { float32: 1, int32: 3 } as const;

export const attribute = {
  string: (name: string, value: string): Attribute => ({ name, type: attributeType.string, value }),
  int: (name: string, value: number | readonly number[]): Attribute => ({ name, type: attributeType.int, value }),
  float: (name: string, value: number): Attribute => ({ name, type: attributeType.float, value }),
  bool: (name: string, value: boolean): Attribute => ({ name, type: attributeType.bool, value }),
  type: (name: string, value: keyof typeof dataType): Attribute => ({
    name,
    type: attributeType.type,
    value: dataType[value],
  }),
};

export const float32T: Attribute = attribute.type("T", "float32");

/** One output; it is a normal tensor, tracked by tidy. */
export function run(operation: string, attributes: readonly Attribute[], inputs: readonly Tensor[]): Tensor {
  return backend().executeSingleOutput(operation, attributes, inputs);
}

export function runMany(
  operation: string,
  attributes: readonly Attribute[],
  inputs: readonly Tensor[],
  outputs: number,
): Tensor[] {
  return backend().executeMultipleOutputs(operation, attributes, inputs, outputs);
}

/** A kernel of tfjs by name, off the tape. */
export function kernel(name: string, inputs: Record<string, Tensor>, attributes: Record<string, unknown>): Tensor {
  // biome-ignore lint/suspicious/noExplicitAny: kernel attributes are untyped in tfjs
  return tf.engine().runKernel(name, inputs, attributes as any) as Tensor;
}
