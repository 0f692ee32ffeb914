import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { backend, checkpoints, type ImageSet, type Mask, type Model, nets, train, tree } from "secateur";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../support/temporary-folder";
import {
  barsAndDots,
  FINETUNE,
  halfMask,
  jobs,
  PRETRAIN,
  type Run,
  STEPS_AN_EPOCH,
  trainingModel,
  trainingNet,
} from "../support/tiny-training";

const { tf } = backend;
const folder = temporaryFolder();
const MINUTES = 120_000; // for hooks, as tests have them

const allBytes = ({ params }: Run): Record<string, string> =>
  Object.fromEntries(
    Object.entries(tree.toHost(params)).map(([key, values]) => [key, Buffer.from(values.buffer).toString("hex")]),
  );
const losses = ({ history }: Run) => history.map(({ epoch, loss }) => ({ epoch, loss }));

/** Kills another process with SIGKILL in the middle of a job. */
async function killedAt(step: number, job: keyof typeof jobs, stateFile: string): Promise<void> {
  const child = fork(join(__dirname, "../support/train-child.ts"), [job, stateFile, String(step)], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  await new Promise<void>((resolve, reject) => {
    child.once("message", () => child.kill("SIGKILL"));
    child.once("exit", (code, signal) =>
      signal === "SIGKILL" ? resolve() : reject(new Error(`the child ended by itself: ${code} ${signal}`)),
    );
  });
}

/** Stops a job in this process in the middle of epoch 3. */
async function interrupted(job: keyof typeof jobs, stateFile: string): Promise<void> {
  const step = (done: number): void => {
    if (done === 2 * STEPS_AN_EPOCH + 2) throw new Error("stop");
  };
  await expect(jobs[job]({ stateFile, progress: { step } })).rejects.toThrow("stop");
}

test.each(Object.keys(jobs) as (keyof typeof jobs)[])(
  "%s goes on after kill -9 to the bytes of a run that was not interrupted",
  async (job) => {
    const whole = await jobs[job]({});
    const stateFile = join(folder, "deeper", `${job}-killed.safetensors`);
    await killedAt(2 * STEPS_AN_EPOCH + 2, job, stateFile);
    expect(existsSync(stateFile)).toBe(true);
    // what a process that is killed while it writes leaves behind
    const half = readFileSync(stateFile).subarray(0, 300);
    writeFileSync(join(dirname(stateFile), `.${basename(stateFile)}.1-00ff00ff.tmp`), half);

    const steps: number[] = [];
    const resumed = await jobs[job]({ stateFile, progress: { step: (done) => void steps.push(done) } });
    expect(steps).toEqual([7, 8, 9, 10, 11, 12]);
    expect(allBytes(resumed)).toEqual(allBytes(whole));
    expect(losses(resumed)).toEqual(losses(whole));
    tf.dispose([whole.params, resumed.params] as never);
  },
);

describe.each(["finetune", "pretrain"] as const)("%s", (job) => {
  describe("a file that is not as it was written", () => {
    const good = join(folder, `${job}-good.safetensors`);
    const bad = join(folder, `${job}-bad.safetensors`);
    beforeAll(() => interrupted(job, good), MINUTES);

    const refused = async (content: Uint8Array, rule: RegExp): Promise<void> => {
      writeFileSync(bad, content);
      const before = tf.memory().numTensors;
      const error = await jobs[job]({ stateFile: bad }).then(
        ({ params }) => tree.disposeTree(params),
        (e: Error) => e,
      );
      expect(error?.message).toContain(bad);
      expect(error?.message).toMatch(rule);
      expect(tf.memory().numTensors).toBe(before);
      expect(readFileSync(bad).equals(content), "the file is left as it is").toBe(true);
    };

    test("the good one is accepted", async () => {
      copyFileSync(good, bad);
      const { params } = await jobs[job]({ stateFile: bad });
      tree.disposeTree(params);
    });

    test("truncated", async () => {
      const content = readFileSync(good);
      for (const length of [0, 7, 9, 200, content.length - 4000, content.length - 1])
        await refused(content.subarray(0, length), /./);
    });

    test("one bit changed, wherever it is", async () => {
      const content = readFileSync(good);
      const positions = backend.stream(1, "bits", job);
      for (let i = 0; i < 60; i++) {
        const changed = Buffer.from(content);
        const at =
          i < 30 ? positions.integer(8 + Number(content.readBigUInt64LE())) : positions.integer(content.length);
        changed[at]! ^= 1 << positions.integer(8);
        await refused(changed, /./);
      }
    });

    /** The file with other content, and a digest that fits it. */
    const forged = (
      change: (parts: { metadata: Record<string, string>; tensors: Map<string, checkpoints.StoredTensor> }) => void,
    ): Buffer => {
      const { metadata, tensors } = checkpoints.readSafetensors(good);
      const parts = { metadata: Object.fromEntries(metadata), tensors: new Map(tensors) };
      change(parts);
      const sum = createHash("sha256");
      for (const key of ["settings", "epoch", "history"]) sum.update(JSON.stringify(parts.metadata[key]));
      for (const name of [...parts.tensors.keys()].sort()) {
        const { dtype, shape, data } = parts.tensors.get(name)!;
        const values = Float64Array.from(data as Float32Array, (v) => Math.fround(Number(v)));
        sum.update(JSON.stringify([name, dtype, shape])).update(new Uint8Array(values.buffer));
      }
      checkpoints.writeSafetensors(bad, parts.tensors, { ...parts.metadata, sha256: sum.digest("hex") });
      return readFileSync(bad);
    };
    const zero = { dtype: "F32", shape: [1], data: new Float32Array(1) } as const;

    test("forged, with a digest that fits", async () => {
      const untouched = forged(() => {});
      expect(untouched.equals(readFileSync(good)), "this test knows the digest").toBe(true);
      const name = "params/conv2.weight";
      await refused(
        forged(({ tensors }) => tensors.delete(name)),
        /"params\/conv2.weight" must be F32 \[3,3,4,6\], got none/,
      );
      await refused(
        forged(({ tensors }) => tensors.set(name, zero)),
        /"params\/conv2.weight" must be F32 \[3,3,4,6\]/,
      );
      await refused(
        forged(({ tensors }) => tensors.set("params/more", zero)),
        /unexpected tensor "params\/more"/,
      );
      await refused(
        forged(({ tensors }) => tensors.set("__proto__/params", zero)),
        /unexpected tensor "__proto__\/params"/,
      );
      await refused(
        forged(({ metadata }) => (metadata.epoch = "1000000")),
        /history must have an entry for each of 1000000 epochs/,
      );
      await refused(
        forged(({ metadata }) => (metadata.epoch = "one")),
        /each of one epochs/,
      );
      await refused(
        forged(({ metadata }) => (metadata.history = '{"length":2}')),
        /history must have an entry/,
      );
      await refused(
        forged(({ metadata }) => (metadata.history = "[[")),
        /history must have an entry/,
      );
    });

    test("something else", async () => {
      await refused(Buffer.from('{"settings": {}}'), /./);
      checkpoints.writeSafetensors(bad, new Map([["x", zero]]));
      await refused(readFileSync(bad), /was written with other settings; remove it/);
    });
  });
});

describe("finetune with other settings than the file's", () => {
  const net = trainingNet();
  const run = async (
    stateFile: string,
    change: { model?: Model; mask?: Mask; set?: ImageSet; options?: train.FinetuneOptions } = {},
  ): Promise<void> => {
    const own = trainingModel();
    const { model = own, mask = halfMask(net), set = barsAndDots(), options } = change;
    try {
      const { params } = await train.finetune(model, mask, set, { ...FINETUNE, ...options, stateFile });
      tree.disposeTree(params);
    } finally {
      tf.dispose([own.params, own.head] as never);
    }
  };
  const stateFile = join(folder, "others.safetensors");
  const other = trainingModel(2);
  const own = trainingModel();
  beforeAll(() => interrupted("finetune", stateFile), MINUTES);

  test.each([
    ["epochs", { options: { epochs: 5 } }],
    ["batch size", { options: { batchSize: 6 } }],
    ["rate", { options: { rate: 0.21 } }],
    ["momentum", { options: { momentum: 0.8 } }],
    ["weight decay", { options: { weightDecay: 0 } }],
    ["milestones", { options: { milestones: [0.5] } }],
    ["seed", { options: { seed: 6 } }],
    ["mask", { mask: halfMask(net, 2) }],
    ["images", { set: barsAndDots(24, 2) }],
    ["start", { model: { net, params: other.params, head: own.head! } }],
    ["head", { model: { net, params: own.params, head: other.head! } }],
    ["net of the same name", { model: { ...own, net: strided() } }],
  ])("another %s", async (_, change) => {
    const before = readFileSync(stateFile);
    const message = `${stateFile}: was written with other settings; remove it or use another file`;
    await expect(run(stateFile, change)).rejects.toThrow(message);
    expect(readFileSync(stateFile).equals(before)).toBe(true);
  });

  test("the same ones: it goes on, and the file is gone at the end", async () => {
    await run(stateFile);
    expect(existsSync(stateFile)).toBe(false);
  });

  /** The same parameters, another stride. */
  function strided() {
    const b = new nets.NetBuilder();
    const stem = b.relu("relu1", b.batchNorm("bn1", b.conv2d("conv1", "x", 1, 4, 3, 2, true), 4));
    b.globalAvgPool("gap", b.relu("relu2", b.batchNorm("bn2", b.conv2d("conv2", stem, 4, 6, 3, 2), 6)));
    return b.build(net.name, [8, 8, 1], 6);
  }
});

describe("pretrainSupervised with a file", () => {
  const net = trainingNet();
  const stateFile = join(folder, "pretrain-others.safetensors");

  test("keeps it at the end: the same call gives the same bytes without a step", async () => {
    const first = await jobs.pretrain({ stateFile });
    const step = () => expect.fail("no step expected");
    const second = await jobs.pretrain({ stateFile, progress: { step } });
    expect(allBytes(second)).toEqual(allBytes(first));
    expect(second.history).toEqual(first.history);
    tf.dispose([first.params, second.params] as never);
  });

  test.each<[string, Partial<train.PretrainSettings>]>([
    ["epochs", { epochs: 5 }],
    ["batch size", { batchSize: 6 }],
    ["rate", { rate: 0.2 }],
    ["warm-up", { warmup: 0.2 }],
    ["momentum", { momentum: 0.8 }],
    ["weight decay", { weightDecay: 0 }],
    ["seed", { seed: 6 }],
    ["views", { views: { ...train.LIGHT_VIEWS, shift: 0.1 } }],
  ])("refuses another %s", async (_, change) => {
    await expect(
      train.pretrainSupervised(net, barsAndDots(), { ...PRETRAIN, ...change }, { stateFile }),
    ).rejects.toThrow(`${stateFile}: was written with other settings`);
  });

  test("refuses other images", async () => {
    await expect(train.pretrainSupervised(net, barsAndDots(24, 2), PRETRAIN, { stateFile })).rejects.toThrow(
      "was written with other settings",
    );
  });
});

test("canonicalJson: the order of keys does not matter, that of lists does", () => {
  const { canonicalJson } = train;
  expect(canonicalJson({ b: 1, a: { d: [2, 1], c: null } })).toBe('{"a":{"c":null,"d":[2,1]},"b":1}');
  expect(canonicalJson({ a: { c: null, d: [2, 1] }, b: 1, e: undefined })).toBe('{"a":{"c":null,"d":[2,1]},"b":1}');
  expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
});
