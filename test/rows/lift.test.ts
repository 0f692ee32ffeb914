import { rows } from "secateur";
import { describe, expect, test } from "vitest";
import { rowOf } from "./rows-of";

const tuned = (part: Parameters<typeof rowOf>[0]) => rowOf({ metric: "accuracyFineTuned", ...part });

describe("lifts", () => {
  test("pairs by run and task, averages the tasks of a run", () => {
    const list = [
      rowOf({ task: "x", value: 50 }),
      rowOf({ task: "y", value: 60 }),
      tuned({ task: "x", value: 58, variant: "lr=3" }),
      tuned({ task: "y", value: 64, variant: "lr=3" }),
    ];
    expect(rows.lifts(list)).toEqual([
      {
        taskKind: "transfer",
        score: "magnitude",
        rounds: 1,
        keep: 0.5,
        source: "hebrew",
        seed: 0,
        draw: 0,
        variant: "lr=3",
        before: 55,
        after: 61,
        lift: 6,
        tasks: 2,
      },
    ]);
  });

  test("the dense control is compared with the dense accuracy of its task, filed under any source", () => {
    const list = [
      rowOf({ source: "", score: "dense", keep: 1, value: 90 }),
      tuned({ keep: 1, value: 89, score: "magnitude" }),
    ];
    expect(rows.lifts(list)).toEqual([
      expect.objectContaining({ score: "dense", rounds: 0, keep: 1, before: 90, after: 89, lift: -1 }),
    ]);
  });

  test("a partner of the same variant goes before the plain one", () => {
    const list = [
      rowOf({ value: 50 }),
      rowOf({ value: 40, variant: "shuffled" }),
      tuned({ value: 60, variant: "shuffled" }),
    ];
    expect(rows.lifts(list)[0]!.before).toBe(40);
  });

  test("names what is missing", () => {
    expect(() => rows.lifts([rowOf()])).toThrow(/no row has the metric 'accuracyFineTuned'/);
    expect(() => rows.lifts([rowOf({ seed: 1 }), tuned({})])).toThrow(
      /no 'accuracy' row for magnitude, 1 round\(s\), keep 0.5, source 'hebrew', task 'greek', seed 0, draw 0/,
    );
    expect(() => rows.lifts([tuned({ keep: 1 })])).toThrow(/no dense row/);
  });
});
