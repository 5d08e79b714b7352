import { humanBytes, humanSeconds, short, thousands } from "../base/text.ts";
import { smooth } from "./diagnose.ts";
import { bestOf, type Manifest, type RunRecord } from "./record.ts";

// What every form of a report tells, in words and numbers.

export const STATUS: Readonly<Record<Manifest["status"], string>> = {
  running: "running",
  finished: "finished",
  early: "stopped early: no better any more",
  stopped: "stopped, may be resumed",
  failed: "failed",
};

/** "sft of micro on rows.jsonl · 2026-01-02 03:04:05 UTC" */
export function subtitle({ kind, model, data, started }: Manifest): string {
  const when = started.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  return `${kind} of ${last(model.path)} on ${last(data.path)} · ${when}`;
}

const last = (path: string) => path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;

/** The numbers to read first: value and what it is. */
export function headline({ manifest, steps, evals }: RunRecord): [value: string, name: string][] {
  const told: [string, string][] = [];
  const final = smooth(steps.map((s) => s.loss), Math.max(1, steps.length / 20)).at(-1);
  if (final !== undefined) told.push([short(final), "training loss at the end"]);
  const best = bestOf(evals);
  const untrained = evals.find((e) => e.baseline);
  if (untrained) told.push([short(untrained.val_loss), "validation loss before training"]);
  if (best) {
    const more = best.ppl === undefined ? "" : `, perplexity ${short(best.ppl)}`;
    told.push([short(best.val_loss), `best validation loss${more}`]);
  }
  told.push([thousands(steps.at(-1)?.step ?? 0), `of ${thousands(manifest.steps)} steps`]);
  if (manifest.seconds !== undefined) told.push([humanSeconds(manifest.seconds), "in all"]);
  const speeds = steps.map((s) => s.tok_s).filter(Number.isFinite).sort((a, b) => a - b);
  if (speeds.length > 0) {
    told.push([thousands(speeds[Math.floor(speeds.length / 2)]!), "tokens a second"]);
  }
  const memory = steps.reduce((most, s) => Math.max(most, s.mem_bytes || 0), 0);
  if (memory > 0) told.push([humanBytes(memory), "of GPU memory at most"]);
  const { parameters, trainable } = manifest.model;
  if (parameters && trainable) {
    const percent = short((100 * trainable) / parameters);
    told.push([thousands(trainable), `of ${thousands(parameters)} weights trained (${percent} %)`]);
  }
  return told;
}

/** Every setting by key, as text. */
export function settingsTold({ settings }: Manifest): [key: string, value: string][] {
  return Object.entries(settings).filter(([, value]) => value !== undefined)
    .map(([key, value]) => [key, shown(value)]);
}

function shown(value: unknown): string {
  if (typeof value === "number") return short(value);
  if (Array.isArray(value)) return value.map(shown).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What the run was made from and on. */
export function origins(manifest: Manifest): [name: string, value: string][] {
  const { model, data, validation, adapter, device, whet } = manifest;
  const text = (value: unknown) => typeof value === "string" ? value : undefined;
  const rows: [string, string | undefined][] = [
    ["base model", model.path],
    ["architecture", model.type],
    ["base model sha256", model.sha256],
    ["training rows", `${data.path}, ${thousands(data.rows)} rows${tokens(data.tokens)}`],
    ["training rows sha256", data.sha256],
    ["validation rows", validation && `${validation.path}, ${thousands(validation.rows)} rows`],
    ["adapter", adapter?.path],
    ["adapter sha256", adapter?.sha256],
    ["device", text(device.adapter)],
    ["driver", text(device.driver)],
    ["graphics interface", text(device.backend)],
    ["whet", `${whet.version} (${whet.commit})`],
    ["git commit", manifest.git_commit],
    ["command", manifest.command?.join(" ")],
  ];
  return rows.filter((row): row is [string, string] => Boolean(row[1]));
}

const tokens = (n: number | undefined) => n === undefined ? "" : `, ${thousands(n)} tokens`;
