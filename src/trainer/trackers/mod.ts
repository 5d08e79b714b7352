import { Exit, Fail } from "../../base/fail.ts";
import { Delivery, type Limits } from "./delivery.ts";
import { histogramOf } from "./histogram.ts";
import { Mlflow, mlflowTarget } from "./mlflow.ts";
import { TensorBoard } from "./tensorboard.ts";
import type { Entry, Outcome, RunFacts, Tracker } from "./tracker.ts";
import { WandbOffline } from "./wandb.ts";

export type { Outcome, RunFacts, Tracker } from "./tracker.ts";

/** The settings that say where metrics go. */
export interface ReportTo {
  readonly report_to: readonly string[];
  readonly mlflow_uri?: string;
  readonly experiment?: string;
  readonly offline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

const TRACKERS: Readonly<Record<string, (to: ReportTo, env: Environment) => Tracker>> = {
  tensorboard: () => new TensorBoard(),
  mlflow(to, env) {
    if (!to.offline) {
      return new Mlflow(mlflowTarget({ uri: to.mlflow_uri, experiment: to.experiment }, env));
    }
    throw new Fail("--report-to mlflow and --offline exclude each other", {
      why: "metrics would be sent to a server",
      fix: "leave one of them out; --report-to tensorboard writes files only",
      code: "WH0216",
      exit: Exit.usage,
    });
  },
  wandb: () => new WandbOffline(),
};

/**
 * The trackers that settings name, none of them begun; metrics.jsonl is always written and is none.
 * @throws Fail (usage) where one cannot be used as it is set
 */
export function trackersOf(to: ReportTo, env: Environment = process.env): Tracker[] {
  return [...new Set(to.report_to)].flatMap((name) => TRACKERS[name]?.(to, env) ?? []);
}

/** A run's trackers. Nothing here waits, throws or takes time but `end`. */
export class Trackers {
  readonly #deliveries: readonly Delivery[];
  readonly #now: () => number;

  /**
   * @param state of an earlier part of the run, by tracker
   * @param warn is told what does not reach its tracker
   */
  constructor(
    trackers: readonly Tracker[],
    run: RunFacts,
    state: Readonly<Record<string, unknown>>,
    warn: (message: string) => void,
    limits?: Limits,
  ) {
    const began = performance.now();
    // Times are told as they passed, whatever is done to the system's clock meanwhile.
    this.#now = () => Math.round(run.started + performance.now() - began);
    this.#deliveries = trackers.map((tracker) =>
      new Delivery(tracker, run, state[tracker.name], warn, limits)
    );
  }

  /** Passes an event of the run on, where it is one that trackers show: step, eval, sample. */
  event(kind: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.#deliveries.length === 0 || typeof fields.step !== "number") return;
    const when = { step: fields.step, at: this.#now() };
    if (kind === "step" || kind === "eval") {
      const values = Object.entries(fields)
        .filter(([key, value]) => typeof value === "number" && key !== "step")
        .map(([key, value]) => [`${kind === "step" ? "train" : "eval"}/${key}`, value as number]);
      this.#put({ ...when, kind: "scalars", values: Object.fromEntries(values) });
    } else if (kind === "sample") {
      const { prompt, output, expected } = fields as Record<string, string | undefined>;
      const told = expected === undefined ? [] : [`**expected** ${expected}`];
      const text = [`**asked** ${prompt}`, `**answer** ${output}`, ...told].join("\n\n");
      this.#put({ ...when, kind: "text", tag: `samples/${excerptTag(prompt ?? "")}`, text });
    }
  }

  /** A tensor's values, shown as a histogram where a tracker can. */
  histogram(step: number, tag: string, values: Float32Array): void {
    if (!this.#deliveries.some(({ tracker }) => tracker.histograms)) return;
    this.#put({ step, at: this.#now(), kind: "histogram", tag, histogram: histogramOf(values) });
  }

  /** To be awaited before a checkpoint: see {@link Delivery.flush}. */
  async flush(): Promise<void> {
    await Promise.all(this.#deliveries.map((delivery) => delivery.flush()));
  }

  /** What a later part of the run needs to go on in the same place, by tracker: JSON. */
  state(): Record<string, unknown> {
    return Object.fromEntries(
      this.#deliveries.filter(({ state }) => state !== undefined && state !== null)
        .map(({ tracker, state }) => [tracker.name, state]),
    );
  }

  /** Delivers what waits, for a bounded time. @returns where each can be seen */
  async end(outcome: Outcome): Promise<{ readonly name: string; readonly place: string }[]> {
    await Promise.all(this.#deliveries.map((delivery) => delivery.end(outcome)));
    return this.#deliveries.flatMap(({ tracker: { name, place } }) =>
      place ? [{ name, place }] : []
    );
  }

  #put(entry: Entry) {
    for (const delivery of this.#deliveries) delivery.put(entry);
  }
}

/** A short name for a prompt's samples, the same at every measurement. */
function excerptTag(prompt: string): string {
  return prompt.replace(/[^\p{L}\p{N}]+/gu, " ").trim().slice(0, 40);
}
