/** What is measured, and the floating-point operations that each cannot do without, in forward passes F = 2 x MAC x images. */
import { curvature, masks, type Net, nets, scores, train } from "secateur";
import { median, type Result } from "./measure";
import { pixelSet, type Subject } from "./subject";

export interface Quantity {
  readonly name: string;
  /** in units of F, for C outputs */
  forwards(classes: number): number;
  run(subject: Subject, options: curvature.ChunkOptions): Result;
}

export const quantities: readonly Quantity[] = [
  { name: "forward", forwards: () => 1, run: ({ model, data }) => curvature.predict(model, data.x) },
  {
    name: "gradient",
    forwards: () => 3,
    run: ({ model, data }, options) => curvature.lossGradient(model, data, options).gradient,
  },
  {
    name: "exact diagonal",
    forwards: (c) => 1 + 2 * c,
    run: ({ model, data }, options) => curvature.gnDiag(model, data, options),
  },
  {
    name: "block product, all layers",
    forwards: (c) => 2 + c,
    run: ({ model, data }, options) => curvature.gnBlockProduct(model, data, options),
  },
  {
    name: "diagonal and block product",
    forwards: (c) => 2 + 2 * c,
    run: ({ model, data }, options) => curvature.gnDiagAndBlockProduct(model, data, options) as never,
  },
  {
    name: "Gauss-Newton-vector product",
    forwards: () => 5,
    run: ({ model, data }, options) => curvature.gnProduct(model, data, nets.prunableWeights(model), options),
  },
  {
    name: "Hessian-vector product",
    forwards: () => 8,
    run: ({ model, data }, options) => curvature.hessianProduct(model, data, nets.prunableWeights(model), options),
  },
];

/** Scores of rs64x1 and its like; on larger nets they say nothing more. */
export const scoreQuantities: readonly (Quantity & { on(net: Net): boolean })[] = [
  {
    name: "block OBS score, chunks of 16",
    on: () => true,
    forwards: (c) => 1 + 2 * c,
    run: ({ model, data }) => scores.blockObs({ chunk: 16 }).score(model, data),
  },
  {
    name: "path exclusion score",
    on: (net) => net.nodes.some(({ kind }) => kind === "relu"),
    forwards: () => 3,
    run: ({ model, data }) => scores.pathExclusion().score(model, data),
  },
];

/** @throws RangeError for a name that is not in the lists */
export function quantityNamed(name: string): Quantity {
  const found = [...quantities, ...scoreQuantities].find((quantity) => quantity.name === name);
  if (found === undefined) throw new RangeError(`quantity must be one of the benchmark's, got '${name}'`);
  return found;
}

/** Median seconds of a step of masked fine-tuning, whole steps as `train.finetune` runs them. */
export async function finetuningStep({ model, classes }: Subject, batchSize: number, steps: number): Promise<number> {
  const set = pixelSet(model.net, batchSize, classes);
  const stamps: bigint[] = [];
  const progress = {
    step: () => {
      stamps.push(process.hrtime.bigint());
    },
  };
  // a tiny rate: the values do not matter, but they must stay finite
  const options = { epochs: steps + 1, batchSize, rate: 1e-9, progress };
  const { params } = await train.finetune(model, masks.fullMask(model.net), set, options);
  for (const tensor of Object.values(params)) tensor.dispose();
  return median(stamps.slice(1).map((stamp, i) => Number(stamp - stamps[i]!) / 1e9));
}
