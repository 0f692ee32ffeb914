/** What a layer must be able to do. */
import { tf } from "../backend";
import type { NetNode, Tensor, Tensor3D } from "../types";

export type Shape = readonly number[];

/** Parameters of one node by the rule's own names (weight, bias ...). */
export type Params = Readonly<Record<string, Tensor>>;

/** A tangent; missing means zero. */
export type Maybe = Tensor | null | undefined;

/** Where a layer is differentiated: its inputs, output and parameters in one forward pass. */
export interface Point<Node extends NetNode = NetNode> {
  readonly x: readonly Tensor[];
  readonly y: Tensor;
  readonly params: Params;
  readonly attributes: Node["attributes"];
  /** of `forwardSaving`, or, in training mode of batch normalisation, what its gradient needs */
  readonly saved?: readonly Tensor[];
}

/**
 * Forward, forward-mode, reverse-mode and second derivative of one operation.
 * In `vjp` a cotangent may carry M stacked directions: first axis M * n, direction-major, where the point has n.
 */
export interface Rule<Node extends NetNode = NetNode> {
  forward(x: readonly Tensor[], params: Params, attributes: Node["attributes"]): Tensor;
  /** The same, with what derivatives at this point share; they compute it themselves where a point comes without. */
  forwardSaving?(
    x: readonly Tensor[],
    params: Params,
    attributes: Node["attributes"],
  ): { y: Tensor; saved: readonly Tensor[] };
  /** Tangent of the output; a missing tangent of an input or parameter is zero, and so is a missing result. */
  jvp(at: Point<Node>, dx: readonly Maybe[], dparams: Params): Maybe;
  /** Cotangents of the inputs. */
  vjp(at: Point<Node>, dy: Tensor): Tensor[];
  /** Gradients of the parameters, summed over the batch (one direction). */
  paramGrad?(at: Point<Node>, dy: Tensor): Params;
  /** "none": linear in its inputs, between switches at least, so that second derivatives in them vanish almost everywhere. */
  readonly bend: "none" | Bend<Node>;
  /** Shape of the output for one image, from the shapes of the inputs for one image and of the parameters. */
  outputShape(x: readonly Shape[], params: Readonly<Record<string, Shape>>, attributes: Node["attributes"]): Shape;
  /** Multiply-accumulates for one image that no weight takes part in (products of activations). */
  macs?(x: readonly Shape[], attributes: Node["attributes"]): number;
  /** Layers with a prunable weight W: the output is patches . W (+ bias); jvp, vjp and paramGrad are linear in W, too. */
  readonly weighted?: Weighted<Node>;
}

/** Derivative of vjp(at, dy) while the inputs move by dx (missing means zero) and dy stays; one direction. */
export type Bend<Node extends NetNode = NetNode> = (at: Point<Node>, dx: readonly Maybe[], dy: Tensor) => Maybe[];

export interface Weighted<Node extends NetNode = NetNode> {
  /** [n, positions, K], K in the memory order of W flattened to [K, out] */
  patches(at: Point<Node>): Tensor3D;
  /** the part of the output that is linear in W: without the bias */
  linearPart(at: Point<Node>): Tensor;
}

/** Number of stacked directions in a cotangent. */
export const directions = (dy: Tensor, y: Tensor): number => dy.shape[0]! / y.shape[0]!;

/** dy * factor, where dy may carry stacked directions of factor's shape. */
export function mulStacked(dy: Tensor, factor: Tensor): Tensor {
  const m = directions(dy, factor);
  if (m === 1) return tf.mul(dy, factor);
  return tf.reshape(tf.mul(tf.reshape(dy, [m, factor.size]), tf.reshape(factor, [1, factor.size])), dy.shape);
}

/** t repeated M times along its first axis. */
export function repeatStacked(t: Tensor, m: number): Tensor {
  return m === 1 ? t : tf.tile(t, [m, ...t.shape.slice(1).map(() => 1)]);
}

/** Sum of the terms that are there. */
export function addAll(terms: readonly Maybe[]): Tensor | null {
  const present = terms.filter((t): t is Tensor => t != null);
  return present.length === 0 ? null : present.reduce((a, b) => tf.add(a, b));
}

export const lastAxis = (t: Tensor): number => t.shape[t.shape.length - 1]!;

/** All axes but the last. */
export const leadingAxes = (t: Tensor): number[] => t.shape.map((_, i) => i).slice(0, -1);
