import { groupBy, stats } from "../rows";
import type { Figure, Row } from "../types";
import type { FigureOptions, Part } from "./theme";
import { axis, escapeText, frame, ink, keepText, roundsText } from "./theme";

export interface TaskMatrixOptions extends FigureOptions {
  /** default "accuracy" (percent) */
  readonly metric?: string;
  /** unit of the metric, default "%" */
  readonly unit?: string;
  /** ends of the colours, default [0, 100] */
  readonly range?: readonly [number, number];
}

export const sequential: readonly (readonly [number, string])[] = [
  [0, "#f7fbff"],
  [0.25, "#c6dbef"],
  [0.5, "#6baed6"],
  [0.75, "#2171b5"],
  [1, "#08306b"],
];

/**
 * Accuracy on every task (columns) after pruning on every source (rows), mean over seeds and draws. Framed: the source itself.
 * Tasks of pre-training first, then unseen and far ones.
 * @param rows  of ONE score, number of rounds and keep ratio < 1
 * @throws RangeError naming what varies
 */
export function taskMatrix(rows: readonly Row[], options: TaskMatrixOptions = {}): Figure {
  const { metric = "accuracy", unit = "%", range = [0, 100] } = options;
  const shown = rows.filter((row) => row.metric === metric && row.keep < 1);
  if (shown.length === 0) throw new RangeError(`taskMatrix: no pruned row has the metric '${metric}'`);
  for (const column of ["model", "pretraining", "protocol", "variant", "score", "rounds", "keep"] as const) {
    const seen = [...new Set(shown.map((row) => row[column]))];
    if (seen.length > 1)
      throw new RangeError(`taskMatrix: rows hold several values of ${column} (${seen.join(", ")}); filter first`);
  }
  const { score, rounds, keep } = shown[0]!;
  const sources = [...new Set(shown.map((row) => row.source))];
  const groups = tasksInOrder(shown, sources);
  const tasks = groups.flat();
  const cells = new Map(
    groupBy(shown, ["source", "task"]).map((g) => [
      `${g.key.source}\n${g.key.task}`,
      stats(g.rows.map((r) => r.value)),
    ]),
  );
  const z = sources.map((source) => tasks.map((task) => cells.get(`${source}\n${task}`)?.mean ?? null));
  const most = Math.max(...[...cells.values()].map((cell) => cell.n));
  const longest = (texts: readonly string[]): number => 6.4 * Math.max(...texts.map((text) => text.length));

  return frame({
    data: [
      {
        type: "heatmap",
        x: tasks.map(escapeText),
        y: sources.map(escapeText),
        z,
        zmin: range[0],
        zmax: range[1],
        colorscale: sequential,
        text: z.map((row) => row.map((value) => (value === null ? "" : value.toFixed(0)))),
        texttemplate: "%{text}",
        textfont: { size: 11 },
        xgap: 1,
        ygap: 1,
        showscale: false,
        hovertemplate: `pruned on %{y}, tested on %{x}: %{z:.1f} ${unit}<extra></extra>`,
      },
    ],
    title: options.title,
    caption: options.caption,
    note: `Cells: ${metric} (${unit}). ${score}, ${roundsText(rounds)}, keep ratio ${keepText(keep)}; mean over n = ${most} run(s) (seed, draw) a cell; framed: the source itself.`,
    height: (options.title ? 52 : 16) + 46 + longest(tasks) + 30 * sources.length,
    margin: { l: 40 + longest(sources), r: 20, t: options.title ? 52 : 16, b: 46 + longest(tasks) },
    layout: {
      xaxis: axis("tested on (task)", {
        type: "category",
        tickangle: -90,
        showgrid: false,
        ticks: "",
        showline: false,
      }),
      yaxis: axis("pruned on (source)", {
        type: "category",
        autorange: "reversed",
        showgrid: false,
        ticks: "",
        showline: false,
      }),
      shapes: [
        ...sources.flatMap((source, row) => framed(tasks.indexOf(source), row)),
        ...separators(groups, sources.length),
      ],
    },
  });
}

/** [tasks of pre-training, sources first; unseen; far], groups without a task left out. */
function tasksInOrder(rows: readonly Row[], sources: readonly string[]): string[][] {
  const kindOf = new Map(rows.map((row) => [row.task, row.taskKind === "source" ? "transfer" : row.taskKind]));
  const seen = [...kindOf.keys()];
  return [
    [
      ...sources.filter((source) => kindOf.has(source)),
      ...seen.filter((task) => kindOf.get(task) === "transfer" && !sources.includes(task)),
    ],
    seen.filter((task) => kindOf.get(task) === "unseen"),
    seen.filter((task) => kindOf.get(task) === "far"),
  ].filter((tasks) => tasks.length > 0);
}

function framed(column: number, row: number): Part[] {
  if (column < 0) return [];
  return [
    { type: "rect", x0: column - 0.5, x1: column + 0.5, y0: row - 0.5, y1: row + 0.5, line: { color: ink, width: 2 } },
  ];
}

function separators(groups: readonly (readonly string[])[], rows: number): Part[] {
  let at = 0;
  return groups.slice(0, -1).map((tasks) => {
    at += tasks.length;
    return {
      type: "line",
      x0: at - 0.5,
      x1: at - 0.5,
      y0: -0.5,
      y1: rows - 0.5,
      line: { color: ink, width: 1.5, dash: "dot" },
    };
  });
}
