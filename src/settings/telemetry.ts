import { z } from "zod";
import { field, path, positive, whole } from "./field.ts";
import { AGENTS, MODALITIES } from "./mapping.ts";

/** Settings of the commands that make rows of a Phoenix project or of files exported from one. */

const DAY = 86_400_000;
const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: DAY, w: 7 * DAY };

/** A moment as ISO 8601 in UTC: a date, a time, or how long ago ("36h", "7d"). */
export function momentOf(text: string, now = Date.now()): string | undefined {
  const ago = /^(\d+)([mhdw])$/.exec(text.trim());
  const at = ago
    ? now - Number(ago[1]) * UNITS[ago[2]!]!
    : /^\d{4}-\d\d-\d\d/.test(text)
    ? Date.parse(text)
    : NaN;
  return Number.isFinite(at) ? new Date(at).toISOString() : undefined;
}

const moment = () =>
  z.string().refine(
    (text) => momentOf(text) !== undefined,
    "expected 2026-11-01, 2026-11-01T12:00:00Z, or how long ago: 36h, 7d, 2w",
  ).optional();

/** Where rows come from, and which. */
export const sourceFields = {
  project: field(z.string().min(1).optional(), {
    group: "Source",
    value: "NAME",
    help: "the project at the server",
    otherwise: "cogniverse-TENANT with --tenant-id, PHOENIX_PROJECT, or the only one there is",
  }),
  tenant_id: field(z.string().min(1).optional(), {
    group: "Source",
    aliases: ["tenant"],
    value: "ID",
    help: "the tenant, whose project is cogniverse-ID",
  }),
  endpoint: field(path().optional(), {
    group: "Source",
    value: "URL",
    help: "the server; keys only as PHOENIX_API_KEY and PHOENIX_CLIENT_HEADERS in the environment",
    otherwise: "PHOENIX_ENDPOINT, PHOENIX_COLLECTOR_ENDPOINT, or http://localhost:6006",
  }),
  since: field(moment(), {
    group: "Source",
    value: "TIME",
    help: "only spans that began then or later: 2026-11-01, 36h, 7d",
  }),
  until: field(moment(), {
    group: "Source",
    value: "TIME",
    help: "only spans that began before",
  }),
  max_spans: field(whole(1).default(10_000), {
    group: "Source",
    aliases: ["span-limit"],
    value: "N",
    help: "most spans that are read; of a server the newest",
  }),
  retries: field(whole().max(100).default(5), {
    group: "Source",
    value: "N",
    help: "times that a request is made again which was refused for a while or broke off",
  }),
  request_timeout: field(positive().max(86_400).default(60), {
    group: "Source",
    value: "S",
    help: "seconds until a request is given up",
  }),
  agent: field(z.enum(AGENTS).optional(), {
    group: "Rows",
    aliases: ["agent-type"],
    help: "only spans of this agent, known by a word in their name; its instruction goes before",
  }),
  modality: field(z.enum(MODALITIES).optional(), {
    group: "Rows",
    help: "of triplets: only searches that are about this",
  }),
  mapping: field(path().optional(), {
    group: "Rows",
    value: "FILE",
    help: "YAML that says which annotations count, and where prompt, answer and edited answer lie",
  }),
  annotation: field(z.array(z.string().min(1)).min(1).optional(), {
    group: "Rows",
    value: "NAMES",
    help: "only annotations with these names, joined by commas",
    otherwise: "as --mapping says; else any that a person gave",
  }),
  hard_negatives: field(
    z.enum(["top_k", "above_threshold", "random_sampling"]).default("top_k"),
    {
      group: "Rows",
      aliases: ["strategy"],
      help: "which other results of a search become negatives: the best ranked, those scored at " +
        "or above the median, or any",
    },
  ),
  top_k: field(whole(1).default(5), {
    group: "Rows",
    value: "K",
    help: "of how many results top_k chooses",
  }),
  negatives: field(whole(1).max(100).default(1), {
    group: "Rows",
    value: "N",
    help: "triplets for each relevant document",
  }),
  seed: field(whole().max(2 ** 32 - 1).default(42), {
    group: "Rows",
    value: "N",
    help: "of random_sampling",
  }),
};

/** How many rows of each kind are needed. */
export const minimumFields = {
  min_sft: field(whole(1).default(50), {
    group: "Minimums",
    aliases: ["min-sft-examples"],
    value: "N",
    help: "approved examples for supervised training",
  }),
  min_dpo: field(whole(1).default(20), {
    group: "Minimums",
    aliases: ["min-dpo-pairs"],
    value: "N",
    help: "pairs for training on preferences",
  }),
  min_triplets: field(whole(1).default(100), {
    group: "Minimums",
    value: "N",
    help: "triplets for training an embedding model",
  }),
};

const files = () =>
  field(z.array(path()).default([]), {
    group: "Main",
    value: "FILES",
    positional: 0,
    help: "exported spans and annotations: JSON, JSONL, CSV or Parquet",
    otherwise: "the Phoenix server is asked",
  });

export const fromPhoenixSettings = z.strictObject({
  files: files(),
  kind: field(z.enum(["auto", "sft", "dpo", "triplet"]).default("auto"), {
    group: "Main",
    help: "which rows to make; auto as whet data select decides",
  }),
  output: field(path().optional(), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "FILE",
    help: "the rows; from a server, rows are added to those of earlier calls",
    otherwise: "stdout",
  }),
  report: field(path().optional(), {
    group: "Main",
    value: "FILE",
    help: "write as JSON what was made, and what was left out and why",
  }),
  watermark: field(path().optional(), {
    group: "Main",
    value: "FILE",
    help: "where it is kept how far the server was read, so that the next call takes what is new",
    otherwise: "beside --output, with watermark.json at the end",
  }),
  lookback: field(z.number().min(0).max(3650).default(7), {
    group: "Main",
    value: "DAYS",
    help: "spans so many days older are read again, for they may have been judged since",
  }),
  force: field(z.boolean().default(false), {
    group: "Main",
    help: "begin afresh: forget the watermark, and write --output anew",
  }),
  ...sourceFields,
  ...minimumFields,
});

export const selectSettings = z.strictObject({
  files: field(z.array(path()).default([]), {
    group: "Main",
    value: "FILES",
    positional: 0,
    help: "exported spans, or rows that are made already: JSON, JSONL, CSV or Parquet",
    otherwise: "the Phoenix server is asked",
  }),
  model_type: field(z.enum(["llm", "embedding"]).default("llm"), {
    group: "Main",
    help: "what is to be trained",
  }),
  ...minimumFields,
  ...sourceFields,
});

export type SourceSettings = z.output<z.ZodObject<typeof sourceFields>>;
export type MinimumSettings = z.output<z.ZodObject<typeof minimumFields>>;
export type FromPhoenixSettings = z.output<typeof fromPhoenixSettings>;
