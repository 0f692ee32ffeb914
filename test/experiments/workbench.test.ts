import { backend, datasets, experiments, heads, masks, nets, scores, tree } from "secateur";
import { afterAll, describe, expect, test } from "vitest";
import { tinyZoo } from "../support/tiny-zoo";

const { tf } = backend;
const { Workbench } = experiments;

const card = tinyZoo().add("tiny");
const clean = { model: "tiny", protocol: "clean", perClass: 2, evaluateOn: "test" } as const;

describe("Workbench", () => {
  const bench = new Workbench(clean);
  afterAll(() => bench.dispose());

  test("columns, checkpoint, number of images", () => {
    expect(bench.columns).toEqual({ model: "rs4x1", pretraining: "none", protocol: "clean", seed: 3 });
    expect(bench.checkpoint).toBe(card.sha256);
    expect(bench.images).toBe(20);
    expect(bench.tasks).toEqual(datasets.tasks());
  });

  test("a task's head is the ridge head of the clean backbone, fitted once", () => {
    const model = bench.model("greek");
    const { head: _, ...backbone } = model;
    const expected = heads.fitHead(backbone, datasets.subset("greek", "head"));
    expect([...model.head!.weight.dataSync()]).toEqual([...expected.weight.dataSync()]);
    expect(bench.model("greek").head).toBe(model.head);
    tf.dispose(expected as never);
  });

  test("accuracies: every task under its own clean head, whatever the parameters", () => {
    const mask = masks.globalThreshold(tree.toHost(nets.prunableWeights(bench.model("greek"))), 0.5);
    const weights = masks.maskedWeights(bench.model("greek"), mask);
    const accuracies = bench.maskedAccuracies(mask);
    expect(Object.keys(accuracies)).toEqual(bench.tasks.map(({ name }) => name));
    for (const name of ["greek", "malayalam", "fashion"]) {
      const set = datasets.subset(name, "test", { perClass: 2 });
      expect(accuracies[name]).toBe(heads.accuracyOf(nets.withParams(bench.model(name), weights), set));
      expect(bench.accuracies()[name]).toBe(heads.accuracyOf(bench.model(name), set));
    }
    expect(bench.accuracies(weights)).toEqual(accuracies);
    tree.disposeTree(weights);
  });

  test("data of a source: scoring draws and the fine-tuning set", () => {
    const [a, b] = [bench.scoringData("hebrew", 0), bench.scoringData("hebrew", 1)];
    const expected = datasets.toBatch(datasets.subset("hebrew", "scoring", { draw: 1 }));
    expect([...b.x.dataSync()]).toEqual([...expected.x.dataSync()]);
    expect([...a.x.dataSync()]).not.toEqual([...b.x.dataSync()]);
    expect(bench.finetuningSet("hebrew").hash).toBe(datasets.subset("hebrew", "finetuning").hash);
    tf.dispose([a.x, b.x, expected.x]);
  });

  test("the kind of a task is what it is to the source", () => {
    const kinds = (source: string) => {
      const count: Record<string, number> = {};
      for (const task of bench.tasks) count[bench.kindOf(task, source)] = (count[bench.kindOf(task, source)] ?? 0) + 1;
      return count;
    };
    expect(kinds("hebrew")).toEqual({ source: 1, transfer: 9, unseen: 4, far: 1 });
    expect(kinds("digits")).toEqual({ source: 1, transfer: 10, unseen: 3, far: 1 });
    expect(kinds("fashion")).toEqual({ source: 1, transfer: 10, unseen: 4 });
    expect(bench.kindOf(bench.tasks.find(({ name }) => name === "hebrew")!, "hebrew")).toBe("source");
  });

  test("byKind: means over the tasks of a kind, NaN where there is none", () => {
    const accuracies = Object.fromEntries(bench.tasks.map(({ name }, i) => [name, i]));
    expect(bench.byKind(accuracies, "hebrew")).toEqual({ source: 4, transfer: 41 / 9, unseen: 11.5, far: 14 });
    expect(bench.byKind(accuracies, "fashion")).toEqual({ source: 14, transfer: 4.5, unseen: 11.5, far: Number.NaN });
    expect(() => bench.byKind(accuracies, "klingon")).toThrow(/got 'klingon'/);
  });

  test("names the task that is not there", () => {
    expect(() => bench.model("klingon")).toThrow(/task must be one of latin_cap, .*, fashion, got 'klingon'/);
    expect(() => bench.scoringData("klingon", 0)).toThrow(/klingon/);
  });
});

describe("the authors' protocol", () => {
  test("one set of images for heads, scores, fine-tuning and accuracy", () => {
    const bench = new Workbench({ ...clean, protocol: "authors" });
    const same = datasets.subset("hebrew", "authors");
    const { head: _, ...backbone } = bench.model("hebrew");
    const expected = heads.fitHead(backbone, same);
    expect([...bench.model("hebrew").head!.weight.dataSync()]).toEqual([...expected.weight.dataSync()]);
    expect(bench.finetuningSet("hebrew").hash).toBe(same.hash);
    const { x } = bench.scoringData("hebrew", 0);
    expect(x.shape[0]).toBe(same.shape[0]);
    expect(() => bench.scoringData("hebrew", 1)).toThrow(/draw must be 0 under the authors' protocol .*, got 1/);
    expect(bench.columns.protocol).toBe("authors");
    expect(bench.accuracies().hebrew).toBe(
      heads.accuracyOf(bench.model("hebrew"), datasets.subset("hebrew", "authors", { perClass: 2 })),
    );
    const other = new Workbench({ ...clean, protocol: "authors", evaluateOn: "validation" });
    expect(other.accuracies(), "whatever fonts were asked for").toEqual(bench.accuracies());
    tf.dispose([x, expected] as never);
    bench.dispose();
    other.dispose();
  });
});

describe("memory", () => {
  const use = async (): Promise<void> => {
    const bench = new Workbench(clean);
    const path = await bench.masks("hebrew", scores.diagonal(), { grid: [0.5, 0.1], rounds: 2, draw: 0 });
    bench.maskedAccuracies(path[0]!.mask);
    bench.dispose();
    bench.dispose();
  };

  test("is flat after dispose, which may be called twice", async () => {
    await use();
    const [tensors, handles] = [tf.memory().numTensors, backend.nativeHandles()];
    await use();
    expect([tf.memory().numTensors, backend.nativeHandles()]).toEqual([tensors, handles]);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ["a model that is not there", { model: "huge" }, /model must be one of tiny, got 'huge'/],
    ["a protocol that is not there", { protocol: "dirty" }, /protocol must be clean or authors, got 'dirty'/],
    ["training fonts", { evaluateOn: "train" }, /evaluateOn must be test or validation, got 'train'/],
    ["too many images", { perClass: 101 }, /perClass must be an integer from 1 to 100, got 101/],
    ["no images", { perClass: 0 }, /perClass must be an integer from 1 to 100, got 0/],
  ])("is flat after %s", (_, change, rule) => {
    const before = tf.memory().numTensors;
    expect(() => new Workbench({ ...clean, ...change } as never)).toThrow(rule);
    expect(tf.memory().numTensors).toBe(before);
  });
});
