import type { Lift } from "../rows";
import { groupBy, lifts, sortBy, stats } from "../rows";
import type { Figure, Row, TaskKind } from "../types";
import type { FigureOptions, Panel, Part, Trace } from "./theme";
import {
  axis,
  bySeries,
  colourOf,
  escapeText,
  frame,
  keepText,
  kinds,
  level,
  muted,
  panels,
  panelTitle,
  roundsText,
} from "./theme";

export interface BeforeAfterOptions extends FigureOptions {
  /** one panel each; default: source, transfer and unseen where they have rows */
  readonly taskKinds?: readonly TaskKind[];
  /** percent, dotted; default 10; null for none */
  readonly chance?: number | null;
}

interface Line {
  readonly score: string;
  readonly rounds: number;
  readonly keep: number;
  readonly y: number;
}

const shortTitles: Readonly<Record<TaskKind, string>> = {
  source: "source task",
  transfer: "transfer tasks",
  unseen: "unseen tasks",
  far: "far tasks",
};

/**
 * Fine-tuning on the source, a line for each score at each keep ratio: open marker before, filled after, mean lift ± sd written
 * beside it; the dense control on top. A panel for each kind of task.
 * @param rows  with the metrics "accuracy" and "accuracyFineTuned" of the same runs
 * @throws RangeError when a fine-tuned row lacks its partner
 */
export function beforeAfter(rows: readonly Row[], options: BeforeAfterOptions = {}): Figure {
  const { chance = 10 } = options;
  const runs = lifts(rows);
  const shown = kindsOf(runs, options.taskKinds);
  const lines = linesOf(runs.filter((run) => shown.includes(run.taskKind)));
  const grid = panels(shown.length, shown.length, { x: 0.05, y: 0 });
  const bottom = lines.at(-1)!.y;

  const annotations: Part[] = [];
  const shapes: Part[] = [];
  const axes: Record<string, Part> = {};
  const data: Trace[] = [];
  for (const [i, kind] of shown.entries()) {
    const panel = grid[i]!;
    data.push(
      ...dumbbells(
        lines,
        runs.filter((run) => run.taskKind === kind),
        panel,
      ),
    );
    annotations.push(panelTitle(panel, shortTitles[kind]));
    if (chance !== null) shapes.push(chanceLine(panel, chance));
    axes[`xaxis${panel.id}`] = axis("accuracy (%)", {
      range: [0, 144],
      tickvals: [0, 20, 40, 60, 80, 100],
      domain: panel.x,
      anchor: `y${panel.id}`,
    });
    axes[`yaxis${panel.id}`] = axis(i === 0 ? "keep ratio and score" : "", {
      domain: panel.y,
      anchor: `x${panel.id}`,
      range: [bottom + 0.8, -0.8],
      tickvals: lines.map((line) => line.y),
      ticktext: lines.map(lineName),
      showticklabels: i === 0,
      ...(i === 0 ? {} : { title: undefined, matches: "y" }),
      ticks: "",
      gridcolor: "#f2f2f2",
    });
  }
  const n = groupBy(runs, ["taskKind", "score", "rounds", "keep"]).map((group) => group.rows.length);
  const [least, most] = [Math.min(...n), Math.max(...n)];
  return frame({
    data,
    title: options.title,
    caption: options.caption,
    note: `Open: before fine-tuning on the source; filled: after; number: mean change in points${most > 1 ? " ± sd" : ""} over n = ${least === most ? most : `${least} to ${most}`} run(s) (source, seed, draw), each averaged over its tasks${chance === null ? "" : "; dotted: chance"}.`,
    height: 130 + 24 * bottom + (options.title ? 24 : 0),
    margin: { l: 226, r: 16, t: options.title ? 66 : 30, b: 46 },
    annotations,
    layout: { shapes, showlegend: false, ...axes },
  });
}

function kindsOf(runs: readonly Lift[], wanted: readonly TaskKind[] | undefined): TaskKind[] {
  const present = kinds.filter((kind) => runs.some((run) => run.taskKind === kind));
  const missing = wanted?.find((kind) => !present.includes(kind));
  if (missing) throw new RangeError(`beforeAfter: no fine-tuned row of kind '${missing}', only ${present.join(", ")}`);
  return wanted ? [...wanted] : present.filter((kind) => kind !== "far" || present.length === 1);
}

/** Dense first, then keep ratios downward with half a line between them, scores in the order of legends. */
function linesOf(runs: readonly Lift[]): Line[] {
  let y = -1;
  let keep = Number.NaN;
  return sortBy(
    groupBy(runs, ["score", "rounds", "keep"])
      .map((group) => group.key)
      .sort(bySeries),
    "-keep",
  ).map((key) => {
    y += keep === key.keep ? 1 : Number.isNaN(keep) ? 1 : 1.5;
    keep = key.keep;
    return { ...key, y };
  });
}

function lineName({ score, rounds, keep }: Line): string {
  return keep === 1
    ? "<b>1</b>   dense control"
    : `<b>${keepText(keep)}</b>   ${escapeText(score)}, ${roundsText(rounds)}`;
}

function dumbbells(lines: readonly Line[], runs: readonly Lift[], panel: Panel): Trace[] {
  const axes = { xaxis: `x${panel.id}`, yaxis: `y${panel.id}`, type: "scatter", showlegend: false };
  const found = lines.flatMap((line) => {
    const own = runs.filter((run) => run.score === line.score && run.rounds === line.rounds && run.keep === line.keep);
    if (own.length === 0) return [];
    const [before, after, lift] = (["before", "after", "lift"] as const).map((field) =>
      stats(own.map((run) => run[field])),
    );
    return [{ line, color: colourOf(line.score), before: before!.mean, after: after!.mean, lift: lift! }];
  });
  const name = ({ line }: { line: Line }): string =>
    `${escapeText(line.score)}, ${roundsText(line.rounds)}, keep ${keepText(line.keep)}`;
  return [
    ...found.map((d) => ({
      ...axes,
      mode: "lines",
      x: [d.before, d.after],
      y: [d.line.y, d.line.y],
      line: { color: d.color, width: 3 },
      opacity: 0.45,
      hoverinfo: "skip",
    })),
    {
      ...axes,
      mode: "markers",
      x: found.map((d) => d.before),
      y: found.map((d) => d.line.y),
      marker: { symbol: "circle", size: 9, color: "#ffffff", line: { color: found.map((d) => d.color), width: 2 } },
      text: found.map(name),
      hovertemplate: "%{text}<br>before %{x:.1f} %<extra></extra>",
    },
    {
      ...axes,
      mode: "markers",
      x: found.map((d) => d.after),
      y: found.map((d) => d.line.y),
      marker: {
        symbol: "circle",
        size: 9,
        color: found.map((d) => d.color),
        line: { color: found.map((d) => d.color), width: 2 },
      },
      text: found.map(name),
      hovertemplate: "%{text}<br>after %{x:.1f} %<extra></extra>",
    },
    {
      ...axes,
      mode: "text",
      x: found.map((d) => Math.max(d.before, d.after) + 8),
      y: found.map((d) => d.line.y),
      text: found.map(
        ({ lift }) =>
          `${lift.mean < 0 ? "−" : "+"}${Math.abs(lift.mean).toFixed(1)}${Number.isFinite(lift.sd) ? ` ± ${lift.sd.toFixed(1)}` : ""}`,
      ),
      textposition: "middle right",
      textfont: { size: 10, color: muted },
      cliponaxis: false,
      hoverinfo: "skip",
    },
  ];
}

function chanceLine(panel: Panel, chance: number): Part {
  const { shape } = level(panel, chance, "dot", "");
  return { ...shape, xref: `x${panel.id}`, yref: `y${panel.id} domain`, x0: chance, x1: chance, y0: 0, y1: 1 };
}
