/** Collects nodes and parameters; every method returns the id of the node that it adds. */
import type { Net, NetNode, ParamRole, ParamSpec } from "../types";

export class NetBuilder {
  private readonly nodes: NetNode[] = [];
  private readonly params: Record<string, ParamSpec> = {};

  /** `key` without ".weight"; the node has the same id. */
  conv2d(
    key: string,
    input: string,
    inChannels: number,
    outChannels: number,
    size: number,
    stride: number,
    bias = false,
    pad = Math.floor(size / 2),
  ): string {
    const params: Record<string, string> = {
      weight: this.param(`${key}.weight`, "convWeight", [size, size, inChannels, outChannels]),
    };
    if (bias) params.bias = this.param(`${key}.bias`, "bias", [outChannels]);
    return this.push({ id: key, kind: "conv2d", inputs: [input], params, attributes: { stride, pad } });
  }

  linear(key: string, input: string, inFeatures: number, outFeatures: number, bias = true): string {
    const params: Record<string, string> = {
      weight: this.param(`${key}.weight`, "linearWeight", [inFeatures, outFeatures]),
    };
    if (bias) params.bias = this.param(`${key}.bias`, "bias", [outFeatures]);
    return this.push({ id: key, kind: "linear", inputs: [input], params, attributes: {} });
  }

  batchNorm(key: string, input: string, channels: number): string {
    const params = {
      weight: this.param(`${key}.weight`, "normScale", [channels]),
      bias: this.param(`${key}.bias`, "normShift", [channels]),
      mean: this.param(`${key}.running_mean`, "normMean", [channels]),
      variance: this.param(`${key}.running_var`, "normVariance", [channels]),
    };
    return this.push({
      id: key,
      kind: "batchNorm",
      inputs: [input],
      params,
      attributes: { epsilon: 1e-5, momentum: 0.1 },
    });
  }

  relu(id: string, input: string): string {
    return this.push({ id, kind: "relu", inputs: [input], params: {}, attributes: {} });
  }

  gelu(id: string, input: string): string {
    return this.push({ id, kind: "gelu", inputs: [input], params: {}, attributes: {} });
  }

  add(id: string, ...inputs: string[]): string {
    return this.push({ id, kind: "add", inputs, params: {}, attributes: {} });
  }

  maxPool(id: string, input: string, size: number, stride: number, pad: number): string {
    return this.push({ id, kind: "maxPool", inputs: [input], params: {}, attributes: { size, stride, pad } });
  }

  avgPool(id: string, input: string, size: number, stride: number, pad: number): string {
    return this.push({ id, kind: "avgPool", inputs: [input], params: {}, attributes: { size, stride, pad } });
  }

  globalAvgPool(id: string, input: string): string {
    return this.push({ id, kind: "globalAvgPool", inputs: [input], params: {}, attributes: {} });
  }

  flatten(id: string, input: string): string {
    return this.push({ id, kind: "flatten", inputs: [input], params: {}, attributes: {} });
  }

  /** Pixels become tokens, row by row. */
  tokens(id: string, input: string): string {
    return this.push({ id, kind: "tokens", inputs: [input], params: {}, attributes: {} });
  }

  /** The node `pos_embed`: class token in front (cls_token), positions added. */
  classToken(input: string, tokens: number, dim: number): string {
    const params = {
      token: this.param("cls_token", "embedding", [1, 1, dim]),
      positions: this.param("pos_embed", "embedding", [1, tokens + 1, dim]),
    };
    return this.push({ id: "pos_embed", kind: "classToken", inputs: [input], params, attributes: {} });
  }

  takeClass(id: string, input: string): string {
    return this.push({ id, kind: "takeClass", inputs: [input], params: {}, attributes: {} });
  }

  layerNorm(key: string, input: string, dim: number): string {
    const params = {
      weight: this.param(`${key}.weight`, "normScale", [dim]),
      bias: this.param(`${key}.bias`, "normShift", [dim]),
    };
    return this.push({ id: key, kind: "layerNorm", inputs: [input], params, attributes: { epsilon: 1e-6 } });
  }

  /** @param input queries, keys and values in one, [n, tokens, 3 dim] */
  attention(id: string, input: string, heads: number): string {
    return this.push({ id, kind: "attention", inputs: [input], params: {}, attributes: { heads } });
  }

  /** @param features length of the last node's output for one image */
  build(name: string, input: readonly [number, number, number], features: number): Net {
    const prunable = Object.keys(this.params).filter((key) => /Weight$/.test(this.params[key]!.role));
    return { name, input, features, nodes: this.nodes, params: this.params, prunable };
  }

  private push(node: NetNode): string {
    if (node.id === "x" || this.nodes.some(({ id }) => id === node.id))
      throw new Error(`net: the id '${node.id}' is taken`);
    for (const input of node.inputs)
      if (input !== "x" && !this.nodes.some(({ id }) => id === input))
        throw new Error(`net: '${node.id}' reads '${input}', which no earlier node makes`);
    this.nodes.push(node);
    return node.id;
  }

  private param(key: string, role: ParamRole, shape: readonly number[]): string {
    if (key in this.params) throw new Error(`net: the parameter '${key}' is there already`);
    this.params[key] = { role, shape };
    return key;
  }
}
