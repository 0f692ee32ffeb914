import { groupBy, stats } from "../rows";
import type { Figure, Row, TaskKind } from "../types";
import type { FigureOptions } from "./theme";
import { axis, escapeText, frame, muted } from "./theme";

export interface TaskBarsOptions extends FigureOptions {
  /** default "accuracy" (percent) */
  readonly metric?: string;
  /** column whose values are bars side by side, default "seed" */
  readonly by?: "seed" | "score" | "model" | "pretraining" | "protocol" | "variant" | "source";
  /** the mean of each group of tasks over all its bars, as a number and a dashed line; default true */
  readonly means?: boolean;
  /** percent, dotted; default 10; null for none */
  readonly chance?: number | null;
}

const shades = ["#0072b2", "#9ecae1", "#d55e00", "#fdbe85", "#009e73", "#cc79a7"];
/** Source and transfer tasks are both tasks of pre-training. */
const groups: readonly (readonly [heading: string, kinds: readonly TaskKind[]])[] = [
  ["pre-training", ["source", "transfer"]],
  ["unseen", ["unseen"]],
  ["far", ["far"]],
];

/**
 * Accuracy of every task as bars, one for each value of the column `by`; tasks of pre-training first, then unseen and far
 * ones.
 * @param rows  at most one value for each task and bar
 * @throws RangeError when there is no row of the metric, or two for one bar
 */
export function taskBars(rows: readonly Row[], options: TaskBarsOptions = {}): Figure {
  const { metric = "accuracy", by = "seed", means = true, chance = 10 } = options;
  const shown = rows.filter((row) => row.metric === metric);
  if (shown.length === 0) throw new RangeError(`taskBars: no row has the metric '${metric}'`);
  const twice = groupBy(shown, ["task", by]).find((group) => group.rows.length > 1);
  if (twice)
    throw new RangeError(
      `taskBars: ${twice.rows.length} rows for task '${twice.key.task}' and ${by} '${twice.key[by]}'; filter first`,
    );
  const present = groups
    .map(([heading, of]) => ({ heading, rows: shown.filter((row) => of.includes(row.taskKind)) }))
    .filter((group) => group.rows.length > 0)
    .map((group) => ({ ...group, tasks: [...new Set(group.rows.map((row) => row.task))] }));
  const tasks = present.flatMap((group) => group.tasks);
  const series = groupBy(shown, [by]);
  const ends = present.map((_, i) => present.slice(0, i + 1).reduce((sum, group) => sum + group.tasks.length, 0));
  const n = [...new Set(shown.map((row) => row.n))];
  return frame({
    data: series.map(({ key, rows: own }, i) => ({
      type: "bar",
      name: escapeText(by === "seed" ? `seed ${key.seed}` : String(key[by])),
      x: tasks.map(escapeText),
      y: tasks.map((task) => own.find((row) => row.task === task)?.value ?? null),
      marker: { color: shades[i % shades.length] },
      hovertemplate: "%{x}: %{y:.1f} %",
    })),
    title: options.title,
    caption: options.caption,
    note: `n = ${n.length === 1 ? n[0]!.toLocaleString("en-US") : "several numbers of"} images a bar${means ? "; dashed: mean of a group of tasks over all its bars" : ""}${chance === null ? "" : "; dotted: chance"}.`,
    height: 400,
    margin: {
      t: (options.title ? 44 : 12) + (means ? 18 : 4),
      b: 34 + 6.4 * Math.max(...tasks.map((task) => task.length)),
      r: series.length > 1 ? 150 : 20,
    },
    annotations: present.map(({ heading, rows: own, tasks: inside }, i) => ({
      text: `<b>${heading}</b>${means ? `<br>mean ${stats(own.map((row) => row.value)).mean.toFixed(1)}` : ""}`,
      x: ends[i]! - inside.length / 2 - 0.5,
      y: 1,
      xref: "x",
      yref: "paper",
      yanchor: "bottom",
      showarrow: false,
      font: { size: 11 },
    })),
    layout: {
      barmode: "group",
      bargap: 0.25,
      showlegend: series.length > 1,
      xaxis: axis("task", { type: "category", tickangle: -90, showgrid: false, ticks: "", standoff: 4 }),
      yaxis: axis(metric === "accuracy" ? "accuracy (%)" : metric, { range: [0, 100], dtick: 20 }),
      shapes: [
        ...(means ? present : []).map(({ rows: own, tasks: inside }, i) => {
          const y = stats(own.map((row) => row.value)).mean;
          const line = { color: muted, width: 1.2, dash: "dash" };
          return { type: "line", x0: ends[i]! - inside.length - 0.5, x1: ends[i]! - 0.5, y0: y, y1: y, line };
        }),
        ...(chance === null
          ? []
          : [
              {
                type: "line",
                xref: "paper",
                x0: 0,
                x1: 1,
                y0: chance,
                y1: chance,
                line: { color: muted, width: 1.2, dash: "dot" },
              },
            ]),
      ],
    },
  });
}
