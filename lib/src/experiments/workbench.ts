/** What both predictions work on: one backbone, the clean heads and test images of every task. */
import { dataFolder, subset, type TaskInfo, tasks, toBatch } from "../datasets";
import { accuracyOf, featuresOf, fitRidge, headOf, type RidgeFit } from "../heads";
import { maskedWeights } from "../masks";
import { withParams } from "../nets";
import { type PrunedMask, prune } from "../prune";
import { stats } from "../rows";
import { disposeTree } from "../tree";
import type { Batch, Head, ImageSet, Mask, Model, Progress, Protocol, Row, Scorer, TaskKind, Tree } from "../types";
import { type Backbone, loadBackbone } from "./zoo";

export interface WorkbenchSettings {
  /** name in the zoo */
  readonly model: string;
  /**
   * clean: heads and scores from images of training fonts, accuracy on test fonts.
   * authors: the same images for heads, scores, fine-tuning and accuracy, as in the paper's published code.
   */
  readonly protocol: Protocol;
  /** images a class that accuracy is read on */
  readonly perClass: number;
  /** fonts that accuracy is read on (clean protocol): test for results, validation for choosing settings */
  readonly evaluateOn: "test" | "validation";
}

/** Accuracy in percent by task name. */
export type Accuracies = Readonly<Record<string, number>>;

/** Heads that this process has fitted, by data folder, checkpoint and images: another workbench need not make the images again. */
const fits = new Map<string, RidgeFit>();

/**
 * One backbone with the head of every task, fitted on the CLEAN backbone; `dispose` frees it all. Heads and images are made when
 * they are first needed.
 */
export class Workbench {
  readonly tasks: readonly TaskInfo[] = tasks();
  private readonly backbone: Backbone;
  private readonly headOf = new Map<string, Head>();
  private readonly evaluationOf = new Map<string, ImageSet>();

  /** @throws RangeError naming the setting that is out of range */
  constructor(readonly settings: WorkbenchSettings) {
    const { model, protocol, evaluateOn } = settings;
    if (protocol !== "clean" && protocol !== "authors")
      throw new RangeError(`protocol must be clean or authors, got '${protocol}'`);
    if (evaluateOn !== "test" && evaluateOn !== "validation")
      throw new RangeError(`evaluateOn must be test or validation, got '${evaluateOn}'`);
    this.evaluationSet(this.tasks[0]!.name);
    this.backbone = loadBackbone(model);
  }

  /** The backbone with this task's head. */
  model(task: string): Model {
    this.checkTask(task);
    const head = this.headOf.get(task) ?? headOf(this.fit(task));
    this.headOf.set(task, head);
    return { ...this.backbone.model, head };
  }

  /** Images behind one accuracy. */
  get images(): number {
    return this.evaluationSet(this.tasks[0]!.name).shape[0];
  }

  /** The images that scores see: 10 a class of the source, the `draw`-th such ten. The caller disposes x. */
  scoringData(source: string, draw: number): Batch {
    if (this.settings.protocol === "clean") return toBatch(subset(source, "scoring", { draw }));
    if (draw !== 0) throw new RangeError(`draw must be 0 under the authors' protocol (one set of images), got ${draw}`);
    return toBatch(subset(source, "authors"));
  }

  /** The images that fine-tuning sees. */
  finetuningSet(source: string): ImageSet {
    return subset(source, this.settings.protocol === "authors" ? "authors" : "finetuning");
  }

  /** Zero-shot accuracy on every task: the given parameters under the heads of the clean backbone. */
  accuracies(params: Tree = {}): Accuracies {
    return Object.fromEntries(
      this.tasks.map(({ name }) => [
        name,
        accuracyOf(withParams(this.model(name), params), this.evaluationSet(name), { batchSize: 200 }),
      ]),
    );
  }

  /** The same for a mask on the clean weights. */
  maskedAccuracies(mask: Mask): Accuracies {
    const weights = maskedWeights(this.backbone.model, mask);
    try {
      return this.accuracies(weights);
    } finally {
      disposeTree(weights);
    }
  }

  /** Mean accuracy of each kind of task, as seen from this source; NaN for a kind without tasks (far, when the source is far). */
  byKind(accuracies: Accuracies, source: string): Readonly<Record<TaskKind, number>> {
    this.checkTask(source);
    const mean = (kind: TaskKind): number => {
      const values = this.tasks
        .filter((task) => this.kindOf(task, source) === kind)
        .map(({ name }) => accuracies[name]!);
      return values.length === 0 ? Number.NaN : stats(values).mean;
    };
    return { source: mean("source"), transfer: mean("transfer"), unseen: mean("unseen"), far: mean("far") };
  }

  async masks(
    source: string,
    scorer: Scorer,
    options: { grid: readonly number[]; rounds: number; draw: number; progress?: Progress },
  ): Promise<PrunedMask[]> {
    const data = this.scoringData(source, options.draw);
    try {
      return await prune(this.model(source), scorer, data, options);
    } finally {
      data.x.dispose();
    }
  }

  /** What a task is to this source. */
  kindOf({ name, kind }: TaskInfo, source: string): TaskKind {
    if (name === source) return "source";
    return kind === "pretraining" ? "transfer" : kind;
  }

  /** Columns that every row of this workbench shares. */
  get columns(): Pick<Row, "model" | "pretraining" | "protocol" | "seed"> {
    const { net, pretraining, settings } = this.backbone.card;
    return { model: net, pretraining, protocol: this.settings.protocol, seed: settings.seed };
  }

  /** A row for every task, filed under each of these sources: more than one for what looks at no source. */
  accuracyRows(
    sources: readonly string[],
    accuracies: Accuracies,
    rest: Pick<Row, "score" | "rounds" | "keep" | "draw" | "variant" | "seconds" | "commit">,
  ): Row[] {
    return sources.flatMap((source) =>
      this.tasks.map((task) => ({
        ...this.columns,
        source,
        task: task.name,
        taskKind: this.kindOf(task, source),
        ...rest,
        metric: "accuracy",
        value: accuracies[task.name]!,
        n: this.images,
      })),
    );
  }

  /** SHA-256 of the checkpoint: part of what a result depends on. */
  get checkpoint(): string {
    return this.backbone.card.sha256;
  }

  dispose(): void {
    disposeTree(this.backbone.model.params);
    for (const head of this.headOf.values()) disposeTree({ ...head });
    this.headOf.clear();
  }

  private fit(task: string): RidgeFit {
    const role = this.settings.protocol === "authors" ? "authors" : "head";
    const key = [dataFolder(), this.checkpoint, task, role].join("\n");
    const known = fits.get(key);
    if (known) return known;
    const set = subset(task, role);
    const fit = fitRidge(featuresOf(this.backbone.model, set), set.labels, { classes: set.classes });
    fits.set(key, fit);
    return fit;
  }

  private checkTask(task: string): void {
    if (!this.tasks.some(({ name }) => name === task))
      throw new RangeError(`task must be one of ${this.tasks.map(({ name }) => name).join(", ")}, got '${task}'`);
  }

  private evaluationSet(task: string): ImageSet {
    const { protocol, evaluateOn, perClass } = this.settings;
    const set =
      this.evaluationOf.get(task) ?? subset(task, protocol === "authors" ? "authors" : evaluateOn, { perClass });
    this.evaluationOf.set(task, set);
    return set;
  }
}
