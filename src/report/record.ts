/**
 * What is known of a run: its manifest (run.json) and what happened in it (metrics.jsonl, the same events
 * that --json prints). A record is built from the two alone, so that a report can be made again at any
 * time, also of a run that was killed.
 */

import type { ExportEntry } from "./exports.ts";
import type { Tag } from "./tags.ts";

/** What training on pairs measures beside the loss, by TRL's names: means over pairs. */
export interface Rewards {
  readonly "rewards/chosen"?: number;
  readonly "rewards/rejected"?: number;
  readonly "rewards/accuracies"?: number;
  readonly "rewards/margins"?: number;
  readonly "logps/chosen"?: number;
  readonly "logps/rejected"?: number;
}

/** What training on triplets measures: how well an anchor finds its positive, and is told from negatives. */
export const FOUND = [
  "recall@1",
  "recall@5",
  "recall@10",
  "mrr@10",
  "ndcg@10",
  "accuracy",
] as const;
export type Found = { readonly [name in (typeof FOUND)[number]]?: number };

/** One optimiser step. Loss in nats per supervised token, time in milliseconds, memory in bytes. */
export interface StepPoint extends Rewards {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly lr: number;
  /** Global L2 norm before clipping. */
  readonly grad_norm: number;
  readonly tok_s: number;
  readonly mem_bytes: number;
  readonly ms: number;
}

/** One measurement on rows that are not trained. */
export interface EvalPoint extends Rewards, Found {
  readonly step: number;
  readonly epoch: number;
  readonly val_loss: number;
  /** Where the loss is a likelihood. */
  readonly ppl?: number;
  /** Of the answers generated beside it. */
  readonly exact_match?: number;
  readonly json_valid?: number;
  readonly best?: boolean;
  /** Of the base, before the first step. */
  readonly baseline?: boolean;
  readonly ms?: number;
}

/** L2 norms by module in one step: of the gradient, of the change made, of the trained numbers. */
export interface LayerPoint {
  readonly step: number;
  readonly modules: readonly string[];
  readonly gradient: readonly number[];
  readonly update: readonly number[];
  readonly weight: readonly number[];
}

export interface Sample {
  readonly step?: number;
  readonly prompt: string;
  readonly output: string;
  readonly expected?: string;
}

/** Measures of whole answers, by name ("exact_match", "json_valid"), each in [0, 1] where it is a share. */
export type Metrics = Readonly<Record<string, number>>;

export interface Weights {
  readonly path: string;
  readonly type?: string;
  readonly parameters?: number;
  readonly trainable?: number;
  readonly sha256?: string;
  /** Its name on the Hub, where it lies in the Hub's cache. */
  readonly id?: string;
  /** As its model card names it. */
  readonly license?: string;
}

export interface Rows {
  readonly path: string;
  readonly rows: number;
  readonly tokens?: number;
  readonly supervised_tokens?: number;
  readonly sha256?: string;
  /** Of the rows as the model sees them. */
  readonly tokens_sha256?: string;
  /** Rows are conversations, so the model answers in its chat template: `whet infer --chat`. */
  readonly chat?: boolean;
}

export type Status = "running" | "finished" | "early" | "stopped" | "failed";

/** run.json: everything needed to know what was run, and to run it again. */
export interface Manifest {
  readonly format: 1;
  readonly kind: string;
  readonly name: string;
  readonly status: Status;
  /** ISO 8601, UTC. */
  readonly started: string;
  /** Of all sittings of a run that was stopped and resumed. */
  readonly seconds?: number;
  readonly whet: { readonly version: string; readonly commit: string; readonly bun?: string };
  /** Commit of the folder the run was started in, with "+" where files were changed since. */
  readonly git_commit?: string;
  readonly command?: readonly string[];
  readonly device: Readonly<Record<string, unknown>>;
  /** Kinds of work, and the kernels that compute them where several could. */
  readonly kernels?: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly model: Weights;
  readonly data: Rows;
  readonly validation?: Rows;
  /** Under which system prompt, chat template and stop tokens the rows were trained. */
  readonly prompt?: object;
  readonly steps: number;
  /** How the run was fitted to the device's memory; `bytes` by part. */
  readonly computed?: {
    readonly micro_tokens: number;
    readonly recomputed_blocks: number;
    readonly bytes: object;
  };
  readonly best?: { readonly step: number; readonly val_loss: number };
  readonly adapter?: { readonly path: string; readonly sha256: string; readonly bytes?: number };
  readonly before?: Metrics;
  readonly after?: Metrics;
  readonly error?: string;
}

export interface RunRecord {
  readonly manifest: Manifest;
  readonly steps: readonly StepPoint[];
  readonly evals: readonly EvalPoint[];
  readonly layers: readonly LayerPoint[];
  readonly samples: readonly Sample[];
  readonly warnings: readonly string[];
  readonly tags?: readonly Tag[];
  readonly exports?: readonly ExportEntry[];
}

/** An event as it stands in metrics.jsonl. */
export type RunEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** The record of a manifest and its events; what a resumed run repeats replaces what it had before. */
export function recordOf(manifest: Manifest, events: Iterable<RunEvent>): RunRecord {
  let steps: StepPoint[] = [];
  let evals: EvalPoint[] = [];
  let layers: LayerPoint[] = [];
  let samples: Sample[] = [];
  const warnings: string[] = [];
  for (const { event, v: _, ...fields } of events) {
    switch (event) {
      case "start": {
        // Begun anew, in a folder where a run was killed before its first checkpoint: nothing of it is kept.
        const from = Number(fields.resumed_from ?? -1);
        steps = steps.filter((s) => s.step <= from);
        evals = evals.filter((e) => e.step <= from);
        layers = layers.filter((l) => l.step <= from);
        samples = samples.filter((s) => (s.step ?? 0) <= from);
        break;
      }
      case "step":
        steps.push(numbers<StepPoint>(fields));
        break;
      case "eval":
        evals.push(numbers<EvalPoint>(fields));
        break;
      case "layers":
        layers.push(fields as unknown as LayerPoint);
        break;
      case "sample":
        samples.push(fields as unknown as Sample);
        break;
      case "warn":
        warnings.push(String(fields.message));
    }
  }
  return { manifest, steps, evals, layers, samples, warnings };
}

/** The measurement with the lowest validation loss, of those after training began. */
export function bestOf(evals: readonly EvalPoint[]): EvalPoint | undefined {
  return evals.filter((e) => !e.baseline && Number.isFinite(e.val_loss))
    .reduce<EvalPoint | undefined>((a, b) => !a || b.val_loss < a.val_loss ? b : a, undefined);
}

/** The samples of each question in order; an answer that repeats the one before is left out. */
export function byQuestion(samples: readonly Sample[]): Sample[][] {
  const asked = new Map<string, Sample[]>();
  for (const sample of samples) {
    const answers = asked.get(sample.prompt) ?? [];
    if (answers.at(-1)?.output !== sample.output) answers.push(sample);
    asked.set(sample.prompt, answers);
  }
  return [...asked.values()];
}

/** The numbers of an event. JSON has no NaN: what was not finite was written as null. */
export function numbers<T>(fields: Readonly<Record<string, unknown>>): T {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, value === null ? NaN : value]),
  ) as T;
}
