import type { Histogram } from "./histogram.ts";

/** What a tracker is told of a run before anything happens in it. */
export interface RunFacts {
  readonly name: string;
  /** The run folder, where trackers that write files put them. */
  readonly folder: string;
  /** Resolved settings and hashes; never a secret. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Steps done before, in a run that is gone on with. */
  readonly from: number;
  /** Milliseconds since 1970. */
  readonly started: number;
}

/** Something to be shown, at an optimiser step; `at` is milliseconds since 1970. */
export type Entry =
  & { readonly step: number; readonly at: number }
  & (
    | { readonly kind: "scalars"; readonly values: Readonly<Record<string, number>> }
    | { readonly kind: "text"; readonly tag: string; readonly text: string }
    | { readonly kind: "histogram"; readonly tag: string; readonly histogram: Histogram }
  );

export type Outcome = "finished" | "stopped" | "failed";

/**
 * A place that metrics go to. Its calls come one after the other, never from the training step, and may
 * take their time: delivery.ts waits for them. A Fail that it throws is final; after any other error the
 * same call is made again later.
 */
export interface Tracker {
  readonly name: string;
  /** Where a person finds the run, once it has begun: an address or a folder. */
  readonly place?: string;
  /** Writes files on this machine only, so that a checkpoint may wait for it. */
  readonly local: boolean;
  /** Whether it can show histograms, which cost something to make. */
  readonly histograms: boolean;
  /**
   * Begins a run, or goes on with one.
   * @param state what an earlier part of the run returned, where it was resumed
   * @returns what a later part needs to go on: JSON, kept in checkpoints
   */
  begin(run: RunFacts, state: unknown, signal: AbortSignal): Promise<unknown>;
  write(entries: readonly Entry[], signal: AbortSignal): Promise<void>;
  /** Lets go of what `write` still holds back. */
  flush?(): void;
  end(outcome: Outcome, signal: AbortSignal): Promise<void>;
}

/** Settings and hashes as a Markdown table. */
export function asText(config: Readonly<Record<string, unknown>>): string {
  const rows = Object.entries(config).map(([key, value]) =>
    `| ${key} | ${worded(value).replaceAll("|", "\\|")} |`
  );
  return ["| setting | value |", "|---|---|", ...rows].join("\n");
}

/** One value on one line. */
export function worded(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}
