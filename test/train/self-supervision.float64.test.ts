import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  backend,
  curvature,
  type Net,
  nets,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tree,
  train,
  tree,
} from "secateur";
import { describe, expect, test } from "vitest";
import { entrySlope, FD_RTOL } from "../oracle/differences";
import { plainDino, plainMoco } from "../oracle/self-supervision";
import "../support/close-tree";
import { DINO, MOCO, patterns, trainingNet } from "../support/tiny-training";

const { stream, tf } = backend;

type Numbers = readonly number[];

describe("losses and gradients follow torch (test/fixtures/torch-ssl, made by make.py)", () => {
  const golden = JSON.parse(readFileSync(join(__dirname, "../fixtures/torch-ssl/losses.json"), "utf8"));
  const tensor = (from: { shapes: Record<string, [number, number]> }, name: string): Tensor2D =>
    tf.tensor2d((from as never as Record<string, number[]>)[name]!, from.shapes[name]!);
  const rtol = 1e-12;

  test.each<{ temperature: number; loss: number; matched: number; gradient: Numbers }>(golden.moco.cases)(
    "mocoLoss at temperature $temperature",
    (expected) => {
      const [outputs, keys, queue] = ["outputs", "keys", "queue"].map((name) => tensor(golden.moco, name)) as [
        Tensor2D,
        Tensor2D,
        Tensor2D,
      ];
      const { loss, matched, cotangent } = train.mocoLoss(outputs, keys, queue, expected.temperature);
      expect({ loss: [loss], cotangent }).toBeNearTree(
        { loss: [expected.loss], cotangent: expected.gradient },
        { rtol },
      );
      expect(matched).toBe(expected.matched);
    },
  );

  test.each<{
    studentTemperature: number;
    teacherTemperature: number;
    loss: number;
    teacherEntropy: number;
    teacherInformation: number;
    gradients: Record<"student" | "features" | "weight", Numbers>;
  }>(golden.dino.cases)("dinoLoss at temperatures $studentTemperature and $teacherTemperature", (expected) => {
    const { dino } = golden;
    const [features, weight, student] = ["features", "weight", "student"].map((name) => tensor(dino, name)) as [
      Tensor2D,
      Tensor2D,
      Tensor2D,
    ];
    const teacher = tf.tensor2d(dino.teacher, dino.shapes.student);
    const { cotangent, ...numbers } = train.dinoLoss(student, teacher, tf.tensor1d(dino.centre), expected);
    const got = {
      student: cotangent,
      features: train.unitRowsGrad(features, tf.matMul(cotangent, train.unitRows(weight))),
      weight: train.unitRowsGrad(weight, tf.matMul(cotangent, train.unitRows(features), true)),
    };
    expect(got).toBeNearTree(expected.gradients, { rtol });
    for (const name of ["loss", "teacherEntropy", "teacherInformation"] as const)
      expect({ [name]: [numbers[name]] }).toBeNearTree({ [name]: [expected[name]] }, { rtol });
  });
});

describe("the gradient of a whole tiny net in training mode is that of central differences", () => {
  const images = (seed: number): Tensor => {
    const numbers = stream(seed, "images");
    return tf.tensor4d(
      Float32Array.from({ length: 6 * 64 }, () => numbers.normal()),
      [6, 8, 8, 1],
    );
  };
  const rows = (seed: number, n: number, d: number): Tensor2D => {
    const numbers = stream(seed, "rows");
    return train.unitRows(
      tf.tensor2d(
        Float32Array.from({ length: n * d }, () => numbers.normal()),
        [n, d],
      ),
    );
  };

  const compare = (net: Net, loss: (outputs: Tensor2D) => { loss: number; cotangent: Tensor2D }): void => {
    const x = images(1);
    // outputs of length 2: close to 0 the normalisation bends too much for differences
    const params: Tree = { ...nets.initialise(net, 3), "head.1.bias": tf.tensor1d([1, -1, 1, 1]) };
    const forward = (p: Tree) => curvature.forward({ net, params: p }, x, { training: true });
    const trace = forward(params);
    const gradient = curvature.vjp(trace, loss(trace.features).cotangent);
    for (const key of ["conv1.weight", "bn2.weight", "bn2.bias", "head.0.weight", "head.1.bias"]) {
      const entries = [0, params[key]!.size - 1];
      const expected = entries.map(
        (j) => entrySlope(params, key, j, (p) => tf.scalar(loss(forward(p).features).loss))[0]!,
      );
      const values = gradient[key]!.dataSync();
      expect({ [key]: entries.map((j) => values[j]!) }).toBeNearTree(
        { [key]: expected },
        { rtol: FD_RTOL, atol: 1e-9 },
      );
    }
  };

  test("MoCo", () => {
    const net = train.withProjection(trainingNet(), [5, 4], "relu");
    const [keys, queue] = [rows(1, 6, 4), rows(2, 9, 4)];
    compare(net, (outputs) => train.mocoLoss(outputs, keys, queue, 0.2));
  });

  test("DINO", () => {
    const net = train.withProjection(trainingNet(), [5, 4], "gelu");
    const teacher = rows(3, 6, 4);
    const temperatures = { studentTemperature: 0.1, teacherTemperature: 0.04 };
    compare(net, (outputs) => train.dinoLoss(outputs, teacher, tf.zeros([4]) as Tensor1D, temperatures));
  });
});

describe("a run is the plain loop with tfjs's own gradients", () => {
  // conv1's bias stays 0 but for rounding, the norm behind it takes it off; AdamW divides that rounding by 1e-8
  const near = (params: Tree, expected: Record<string, Float64Array>, rounding: number): void => {
    const { "conv1.bias": bias, ...others } = params as Record<string, Tensor>;
    const { "conv1.bias": expectedBias, ...expectedOthers } = expected;
    expect(others).toBeNearTree(expectedOthers, { rtol: 1e-8, atol: 1e-13 });
    expect({ bias: bias! }).toBeNearTree({ bias: expectedBias! }, { rtol: 0, atol: rounding });
  };
  const net = trainingNet();
  const backboneOf = (params: Record<string, Float64Array>) =>
    Object.fromEntries(Object.keys(net.params).map((key) => [key, params[key]!]));

  test("MoCo: momentum encoder, shuffled groups, queue", async () => {
    const whole = train.withProjection(net, MOCO.head, "relu");
    const start = nets.initialise(whole, MOCO.seed);
    const queue = train.startQueue(MOCO.queue, 4, MOCO.seed);
    const expected = plainMoco(start, queue, patterns(), MOCO);
    const { params, history } = await train.pretrainMoco(net, patterns(), MOCO);
    near(params, backboneOf(expected.params), 1e-13);
    expect({ loss: history.map(({ loss }) => loss) }).toBeNearTree({ loss: expected.losses }, { rtol: 1e-9 });
    tf.dispose([params, start, queue] as never);
  });

  test("DINO: teacher, centre, temperatures, frozen prototypes", async () => {
    const whole = train.withProjection(net, DINO.head, "gelu");
    const numbers = stream(DINO.seed, "initialise", "prototypes.weight");
    const prototypes = tf.tensor2d(
      Float32Array.from({ length: DINO.prototypes * 4 }, () => numbers.uniform(-0.5, 0.5)),
      [DINO.prototypes, 4],
    );
    const start = { ...nets.initialise(whole, DINO.seed), "prototypes.weight": prototypes };
    const expected = plainDino(start, patterns(), DINO);
    const { params, history } = await train.pretrainDino(net, patterns(), DINO);
    near(params, backboneOf(expected.params), 1e-8);
    expect({ loss: history.map(({ loss }) => loss) }).toBeNearTree({ loss: expected.losses }, { rtol: 1e-9 });
    tree.disposeTree(params);
    tree.disposeTree(start);
  });
});
