import type { Row } from "secateur";

/** A row with harmless defaults. */
export function rowOf(part: Partial<Row> = {}): Row {
  return {
    model: "tiny",
    pretraining: "supervised",
    protocol: "clean",
    source: "hebrew",
    task: "greek",
    taskKind: "transfer",
    score: "magnitude",
    rounds: 1,
    keep: 0.5,
    seed: 0,
    draw: 0,
    variant: "",
    metric: "accuracy",
    value: 80,
    n: 300,
    seconds: 1.5,
    commit: "abc1234",
    ...part,
  };
}
