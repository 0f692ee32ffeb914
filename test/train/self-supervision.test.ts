import fc from "fast-check";
import {
  backend,
  checkpoints,
  curvature,
  datasets,
  type Model,
  nets,
  type Tensor2D,
  type Tree,
  train,
  tree,
} from "secateur";
import { describe, expect, test } from "vitest";
import { owned } from "../support/owned";
import { ownedAsync } from "../support/owned-async";
import "../support/close-tree";
import { reluResidual } from "../support/tiny-nets";
import { DINO, MOCO, patterns, STEPS_AN_EPOCH, trainingNet } from "../support/tiny-training";

const { stream, tf } = backend;

const net = trainingNet();
const hash = (params: Model["params"]): string => checkpoints.paramsHash(net, params);
const host = (t: Tree): Record<string, number[]> =>
  Object.fromEntries(Object.entries(tree.toHost(t)).map(([name, values]) => [name, [...values]]));

describe("losses", () => {
  test("MoCo: a key at right angles to m others costs ln(1 + m e^(-1/T)), its opposite ln(1 + m e^(1/T))", () => {
    const outputs = tf.tensor2d([[3, 0, 0]]);
    const others = tf.tensor2d([
      [0, 1, 0],
      [0, 0, 1],
      [0, -1, 0],
    ]);
    for (const [key, cosine] of [
      [1, 1],
      [-1, -1],
    ] as const) {
      const told = train.mocoLoss(outputs, tf.tensor2d([[key, 0, 0]]), others, 0.5);
      expect(told.loss).toBeCloseTo(Math.log(1 + 3 * Math.exp(-cosine / 0.5)), 5);
      expect(told.matched).toBe(cosine === 1 ? 1 : 0);
      told.cotangent.dispose();
    }
  });

  test("MoCo: one image alone has no spread, opposite ones all of it; the length of the outputs does not matter", () => {
    const keys = tf.tensor2d([
      [1, 0],
      [0, 1],
    ]);
    const loss = (values: number[][]) => train.mocoLoss(tf.tensor2d(values), keys, keys, 0.2);
    expect(
      loss([
        [1, 2],
        [1, 2],
      ]).spread,
    ).toBeCloseTo(0, 3);
    expect(
      loss([
        [1, 2],
        [-1, -2],
      ]).spread,
    ).toBeCloseTo(1, 6);
    const [short, long] = [
      loss([
        [1, 2],
        [2, 1],
      ]),
      loss([
        [10, 20],
        [0.2, 0.1],
      ]),
    ];
    expect(long.loss).toBeCloseTo(short.loss, 5);
  });

  test("DINO: equal outputs cost ln K and teach nothing", () => {
    const zeros = tf.zeros([4, 8]) as Tensor2D;
    const temperatures = { studentTemperature: 0.1, teacherTemperature: 0.04 };
    const told = train.dinoLoss(zeros, zeros, tf.zeros([8]), temperatures);
    expect(told.loss).toBeCloseTo(Math.log(8), 5);
    expect(told.teacherEntropy).toBeCloseTo(Math.log(8), 5);
    expect(told.teacherInformation).toBeCloseTo(0, 5);
    expect(Math.max(...told.cotangent.dataSync().map(Math.abs))).toBeLessThan(1e-7);
  });

  test("DINO: a sure teacher costs the student's own logarithm of the other view, and the centre takes off what all share", () => {
    const teacher = tf.tensor2d([
      [1, 0, 0.5],
      [0, 1, 0.5],
    ]); // one image, two views
    const student = tf.tensor2d([
      [0.3, 0.1, 0],
      [0, 0.2, 0.7],
    ]);
    const sharp = { studentTemperature: 1, teacherTemperature: 1e-3 };
    const logSoftmax = (row: number[], k: number) => row[k]! - Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
    const plain = train.dinoLoss(student, teacher, tf.zeros([3]), sharp);
    expect(plain.loss).toBeCloseTo(-(logSoftmax([0.3, 0.1, 0], 1) + logSoftmax([0, 0.2, 0.7], 0)) / 2, 5);
    expect(plain.teacherEntropy).toBeCloseTo(0, 5);
    expect(plain.teacherInformation).toBeCloseTo(Math.log(2), 5);
    const moved = train.dinoLoss(student, tf.add(teacher, [5, 0, -3]), tf.tensor1d([5, 0, -3]), sharp);
    expect(moved.loss).toBeCloseTo(plain.loss, 5);
  });

  test("leave nothing behind but the cotangent", () => {
    const x = tf.randomNormal([4, 3], 0, 1, "float32", 1) as Tensor2D;
    const centre = tf.zeros([3]) as never;
    owned(() => train.mocoLoss(x, x, x, 0.2).cotangent);
    owned(() => train.dinoLoss(x, x, centre, { studentTemperature: 0.1, teacherTemperature: 0.1 }).cotangent);
  });

  test.each([0, -1, Number.NaN])("refuse a temperature of %s", (temperature) => {
    const x = tf.ones([2, 2]) as Tensor2D;
    expect(() => train.mocoLoss(x, x, x, temperature)).toThrow(/temperature must be a positive number/);
    const temperatures = { studentTemperature: 0.1, teacherTemperature: temperature };
    expect(() => train.dinoLoss(x, x, tf.zeros([2]), temperatures)).toThrow(/teacherTemperature must be a positive/);
  });
});

describe("the queue", () => {
  test("starts with different directions of length 1", () => {
    const rows = train.startQueue(40, 6, 3).arraySync() as number[][];
    for (const row of rows) expect(Math.hypot(...row)).toBeCloseTo(1, 5);
    expect(new Set(rows.map(String)).size).toBe(40);
  });

  test("holds the last keys, oldest replaced first, whatever its length", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 9 }),
        (n, places, batches) => {
          const length = n * places;
          let queue = tf.fill([length, 1], -1) as Tensor2D;
          for (let k = 0; k < batches; k++) {
            const keys = tf.fill([n, 1], k) as Tensor2D;
            const next = owned(() => train.enqueued(queue, keys, k));
            tf.dispose([queue, keys]);
            queue = next;
          }
          const kept = Array.from({ length: places }, (_, place) =>
            Math.max(-1, ...[...Array(batches).keys()].filter((k) => k % places === place)),
          );
          expect([...queue.dataSync()]).toEqual(kept.flatMap((k) => Array(n).fill(k)));
          queue.dispose();
        },
      ),
      { numRuns: 30 },
    );
  });

  test("refuses batches that do not fill it", () => {
    expect(() => train.enqueued(tf.zeros([5, 1]), tf.zeros([2, 1]), 0)).toThrow(
      /5 places cannot be filled by batches of 2/,
    );
  });
});

describe("movedAverage", () => {
  const [slow, fast] = [{ a: tf.tensor1d([1, 2]) }, { a: tf.tensor1d([5, -2]), b: tf.tensor1d([9]) }];

  test("0 is the fast one, 1 the slow one, between them the line", () => {
    for (const [momentum, expected] of [
      [0, [5, -2]],
      [1, [1, 2]],
      [0.75, [2, 1]],
    ] as const)
      expect(host(train.movedAverage(slow, fast, momentum))).toEqual({ a: expected });
  });

  test("of what does not move, comes to it as momentum to the power of steps", () => {
    let average: Tree = slow;
    for (let k = 0; k < 10; k++) average = train.movedAverage(average, fast, 0.5);
    expect(average).toBeNearTree({ a: [5 - 4 / 1024, -2 + 4 / 1024] }, { rtol: 1e-6 });
  });

  test("refuses", () => {
    expect(() => train.movedAverage(slow, fast, 1.1)).toThrow(/momentum must be in \[0, 1\], got 1.1/);
    expect(() => train.movedAverage(fast, slow, 0.5)).toThrow(/'b' is only in the average/);
  });
});

test("withProjection: an MLP behind the features, not prunable, the backbone's first numbers unchanged", () => {
  const whole = train.withProjection(net, [5, 4], "relu");
  expect(nets.outputShapes(whole)["head.1"]).toEqual([4]);
  expect(whole.features).toBe(4);
  expect(whole.prunable).toEqual(net.prunable);
  expect(whole.nodes.slice(net.nodes.length).map(({ kind }) => kind)).toEqual(["linear", "relu", "linear"]);
  const [own, bare] = [nets.initialise(whole, 1), nets.initialise(net, 1)];
  expect(hash(tree.pickTree(own, Object.keys(net.params)))).toBe(hash(bare));
});

describe("viewPairs", () => {
  const settings = { seed: 1, batchSize: 8, stepsPerEpoch: 5, strength: { from: 0.2, to: 1, until: 0.5 } };
  const seen: { instance: number; strength: number }[] = [];
  const spied: train.ViewSource = {
    ...patterns(),
    view(instance, strength, random, out) {
      seen.push({ instance, strength });
      patterns().view(instance, strength, random, out);
    },
  };

  test("every instance once before any comes again; both views of an image are of the same one", () => {
    seen.length = 0;
    const pairs = train.viewPairs(spied, settings, 0);
    for (let step = 0; step < 5; step++) tf.dispose(pairs(step, 0));
    const batches = Array.from({ length: 5 }, (_, k) =>
      seen.slice(16 * k, 16 * k + 16).map(({ instance }) => instance),
    );
    for (const batch of batches) expect(batch.slice(8)).toEqual(batch.slice(0, 8));
    const order = batches.flatMap((batch) => batch.slice(0, 8));
    expect(order.slice(0, 16).sort((a, b) => a - b)).toEqual([...Array(16).keys()]);
    expect(order.slice(16, 32).sort((a, b) => a - b)).toEqual([...Array(16).keys()]);
  });

  test("the strength rises in a line and then stays", () => {
    const strengths = [0, 0.25, 0.5, 0.9].map((share) => {
      seen.length = 0;
      tf.dispose(train.viewPairs(spied, settings, 0)(0, share));
      return new Set(seen.map(({ strength }) => strength));
    });
    expect(strengths.every(({ size }) => size === 1)).toBe(true);
    strengths.forEach(([strength], i) => {
      expect(strength).toBeCloseTo([0.2, 0.6, 1, 1][i]!, 12);
    });
  });

  test("views differ between the two sides, steps, epochs and seeds, and are the same when asked for again", () => {
    const first = ([a]: readonly { dataSync(): ArrayLike<number> }[]) => String(Array.from(a!.dataSync()));
    const pairs = train.viewPairs(patterns(), settings, 0);
    const [a, b] = pairs(0, 0);
    const all = [
      first([a]),
      first([b]),
      first(pairs(1, 0)),
      first(train.viewPairs(patterns(), settings, 1)(0, 0)),
      first(train.viewPairs(patterns(), { ...settings, seed: 2 }, 0)(0, 0)),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(first(train.viewPairs(patterns(), settings, 0)(0, 0))).toBe(all[0]);
  });

  test("glyphViews: every character of every training font of the ten scripts, normalised as the tasks are", () => {
    const source = train.glyphViews();
    const scripts = datasets.tasks().filter(({ kind }) => kind === "pretraining");
    const faces = scripts.map(({ name }) => datasets.cleanGlyphs(name, "train").faces.length);
    expect(source.instances).toBe(10 * faces.reduce((a, b) => a + b, 0));
    expect(source.hash).toMatch(/^[0-9a-f]{12}$/);
    const out = new Float32Array(28 * 28);
    source.view(source.instances - 1, 0.9, stream(1, "x"), out);
    const levels = [...out].map((v) => (v * 0.28 + 0.5) * 15);
    expect(levels.every((v) => Math.abs(v - Math.round(v)) < 1e-4 && v > -1e-4 && v < 15.0001)).toBe(true);
    // without corruption the second face of the first script is that face's glyph, shifted and scaled
    const [a, b] = [new Float32Array(784), new Float32Array(784)];
    source.view(13, 0, stream(2, "x"), a);
    source.view(13, 0, stream(2, "x"), b);
    expect([...a]).toEqual([...b]);
  });
});

type Pretrain = (
  settings?: object,
  options?: train.PretrainOptions,
) => Promise<{
  params: Tree;
  history: readonly (train.EpochRecord & { featureSpread: number })[];
}>;
const methods: readonly [string, Pretrain][] = [
  ["MoCo", (settings, options) => train.pretrainMoco(net, patterns(), { ...MOCO, ...settings }, options)],
  ["DINO", (settings, options) => train.pretrainDino(net, patterns(), { ...DINO, ...settings }, options)],
];

/** Of 160 views in the noise of .5, those whose nearest one (of 16, by features over the spread of each) shows the same pattern. */
function found(params: Tree): number {
  const source = patterns();
  const featuresOf = (which: number): number[][] => {
    const out = new Float32Array(source.instances * 64);
    for (let i = 0; i < source.instances; i++)
      source.view(i, 0.5, stream(9, "found", which, i), out.subarray(64 * i, 64 * i + 64));
    return curvature.predict({ net, params }, tf.tensor4d(out, [source.instances, 8, 8, 1])).arraySync();
  };
  const gallery = featuresOf(0);
  const scale = gallery[0]!.map((_, f) => {
    const values = gallery.map((row) => row[f]!);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / values.length) + 1e-9;
  });
  let right = 0;
  for (let which = 1; which <= 10; which++)
    featuresOf(which).forEach((row, i) => {
      const distances = gallery.map((other) => other.reduce((sum, v, f) => sum + ((v - row[f]!) / scale[f]!) ** 2, 0));
      if (distances.indexOf(Math.min(...distances)) === i) right++;
    });
  return right;
}

describe.each(methods)("%s", (_, pretrain) => {
  test("a view finds the other view of its pattern more often than before; evaluate sees the backbone that is returned", async () => {
    const seen: string[] = [];
    const settings = { epochs: 12, stepsPerEpoch: 6, rate: 0.03, strength: { from: 0.5, to: 0.5, until: 0 } };
    const { params, history } = await pretrain(settings, {
      evaluate(model, epoch) {
        expect(Object.keys(model.params)).toEqual(Object.keys(net.params));
        seen.push(hash(model.params));
        return { square: epoch ** 2 };
      },
    });
    expect(history.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(history.map(({ evaluation }) => evaluation.square)).toEqual(history.map(({ epoch }) => epoch ** 2));
    expect(history.every(({ featureSpread }) => featureSpread > MOCO.leastSpread && featureSpread < 1)).toBe(true);
    expect(new Set(seen).size).toBe(12);
    expect(seen.at(-1)).toBe(hash(params));
    const start = nets.initialise(net, MOCO.seed);
    expect(found(params)).toBeGreaterThan(found(start) + 20);
    tf.dispose([params, start] as never);
  });

  test("the same settings give the same bytes, another seed others; memory is flat", async () => {
    const results: string[] = [];
    for (const seed of [5, 5, 6]) {
      const run = async () => (await pretrain({ epochs: 1, seed })).params;
      const params = await ownedAsync(run);
      results.push(hash(params));
      tree.disposeTree(params);
    }
    expect(results[1]).toBe(results[0]);
    expect(results[2]).not.toBe(results[0]);
  });

  test("memory is flat when it is interrupted and when the loss is not finite", async () => {
    const step = (done: number): void => {
      if (done === STEPS_AN_EPOCH + 1) throw new Error("interrupted");
    };
    await ownedAsync(async () => {
      await expect(pretrain({}, { progress: { step } })).rejects.toThrow("interrupted");
      await expect(pretrain({ rate: 1e38, warmup: 0 })).rejects.toThrow(/the loss is (NaN|Infinity) in epoch/);
      return [];
    });
  });
});

describe("collapse", () => {
  /** Every instance looks the same. */
  const blank: train.ViewSource = { ...patterns(), view: (_, __, ___, out) => void out.fill(0.5) };

  test("MoCo: outputs that are all the same stop the run after the third epoch", async () => {
    await ownedAsync(async () => {
      await expect(train.pretrainMoco(net, blank, MOCO)).rejects.toThrow(
        /epoch 3: the outputs collapse: their spread is 0\.00\d .* at least 0.01 is asked for/,
      );
      return [];
    });
  });

  test("DINO: a teacher that says the same of every image stops the run, and its entropy is told", async () => {
    await ownedAsync(async () => {
      await expect(train.pretrainDino(net, blank, DINO)).rejects.toThrow(
        /epoch 3: the teacher collapses: its outputs tell -?0\.000 nats .* its entropy is \d\.\d\d of 1\.79/,
      );
      return [];
    });
  });
});

describe("refuses before it starts", () => {
  const refused = async (run: (progress: { step: () => void }) => Promise<unknown>, message: RegExp): Promise<void> => {
    const before = tf.memory().numTensors;
    await expect(run({ step: () => expect.fail("no step expected") })).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
  };

  test.each<[Partial<train.MocoSettings>, RegExp]>([
    [{ epochs: 0 }, /epochs must be a positive integer, got 0/],
    [{ batchSize: 17 }, /batchSize must be 2 to 16, got 17/],
    [{ stepsPerEpoch: 1.5 }, /stepsPerEpoch must be a positive integer, got 1.5/],
    [{ strength: { from: 0, to: 1.1, until: 0.5 } }, /strength must be in \[0, 1\], got 1.1/],
    [{ strength: { from: 0, to: 1, until: 2 } }, /until must be in \[0, 1\], got 2/],
    [{ head: [] }, /head must be a list of positive integers, got \[\]/],
    [{ queue: 20 }, /queue must be a multiple of the batch size 8, got 20/],
    [{ keyMomentum: 1 }, /keyMomentum must be in \[0, 1\), got 1/],
    [{ temperature: 0 }, /temperature must be a positive number, got 0/],
    [{ normGroup: 3 }, /normGroup must be at least 2 and divide the batch size 8, got 3/],
    [{ leastSpread: 1 }, /leastSpread must be in \[0, 1\), got 1/],
    [{ rate: 0 }, /rate must be a positive number, got 0/],
    [{ seed: 0.5 }, /seed must be an integer, got 0.5/],
  ])("MoCo with %o", (settings, message) =>
    refused(
      (progress) => train.pretrainMoco(net, patterns(), { ...MOCO, ...settings } as never, { progress }),
      message,
    ),
  );

  test.each<[Partial<train.DinoSettings>, RegExp]>([
    [{ head: [5, 0] }, /head must be a list of positive integers, got \[5,0\]/],
    [{ prototypes: 1 }, /prototypes must be an integer >= 2, got 1/],
    [{ frozenEpochs: -1 }, /frozenEpochs must be an integer >= 0, got -1/],
    [{ studentTemperature: -1 }, /studentTemperature must be a positive number, got -1/],
    [
      { teacherTemperature: { from: 0, to: 1, until: 0.5 } },
      /teacherTemperature.from must be a positive number, got 0/,
    ],
    [{ centreMomentum: 1 }, /centreMomentum must be in \[0, 1\), got 1/],
    [{ teacherMomentum: { from: 0.9, to: 1.1 } }, /teacherMomentum.to must be in \[0, 1\], got 1.1/],
    [{ leastInformation: -1 }, /leastInformation must be a number >= 0, got -1/],
  ])("DINO with %o", (settings, message) =>
    refused(
      (progress) => train.pretrainDino(net, patterns(), { ...DINO, ...settings } as never, { progress }),
      message,
    ),
  );

  test("a net for other images", () =>
    refused(
      () => train.pretrainMoco(reluResidual(), patterns(), MOCO),
      /patterns: views are \[8,8,1\], relu-residual sees \[8,7,2\]/,
    ));
});
