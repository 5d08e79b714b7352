import { Exit, Fail } from "../../base/fail.ts";
import { columns, plural, thousands } from "../../base/text.ts";
import { anyRow, kindOf } from "../../data/kinds.ts";
import { connect } from "../../data/phoenix/client.ts";
import { extract, type Extracted, otherSpan } from "../../data/phoenix/extract.ts";
import { attach, readTelemetry } from "../../data/phoenix/files.ts";
import { pull } from "../../data/phoenix/pull.ts";
import type { Row } from "../../data/phoenix/row.ts";
import { Skips } from "../../data/phoenix/skips.ts";
import type { Span } from "../../data/phoenix/span.ts";
import { learntLabels } from "../../data/phoenix/verdict.ts";
import { type BadRow, badRows } from "../../data/rows.ts";
import type { Value } from "../../data/json_values.ts";
import type { Available } from "../../data/select.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { defaultMapping, type Mapping, parseMapping } from "../../settings/mapping.ts";
import { momentOf, type SourceSettings } from "../../settings/telemetry.ts";
import { type Io, readText } from "../io.ts";

type Settings = SourceSettings & Pick<CommonSettings, "offline">;

/** All that a project or files give to train from. */
export interface Gathered {
  /** In words: the files, or the project and its server. */
  readonly source: string;
  readonly server?: string;
  readonly project?: string;
  /** When the newest span began. */
  readonly newest?: string;
  readonly sft: readonly unknown[];
  readonly dpo: readonly unknown[];
  readonly triplets: readonly unknown[];
  /** Of spans; absent where there were none. */
  readonly counts: Extracted["counts"];
  readonly skips: Skips;
}

/** What a mapping file and flags say about annotations. @throws Fail (usage) */
function mappingOf({ mapping: path, annotation }: Settings): Mapping {
  const mapping = path === undefined
    ? defaultMapping
    : parseMapping(readText(path, "the mapping"), path);
  return annotation ? { ...mapping, annotation } : mapping;
}

/**
 * Reads the files, or asks the server where there are none, and makes rows of all kinds.
 * @param since instead of --since
 * @throws Fail (usage) (data) (network) (authorisation)
 */
export async function gather(
  files: readonly string[],
  settings: Settings,
  io: Io,
  since = settings.since,
): Promise<Gathered> {
  const mapping = mappingOf(settings), skips = new Skips();
  const { agent, modality, max_spans: limit } = settings;
  const project = settings.project ??
    (settings.tenant_id === undefined ? undefined : `cogniverse-${settings.tenant_id}`);
  const wanted = (span: Span) =>
    !otherSpan(span, mapping, agent) || span.kind === "RETRIEVER" || span.kind === "RERANKER";
  const read = files.length > 0
    ? { ...await readTelemetry(files, limit), project, configs: [], server: undefined }
    : await ask({ ...settings, project, since }, wanted, skips, io);
  if (read.more) {
    io.warn(
      "WH0312",
      `there are more than ${thousands(limit)} spans; the rest was not read`,
      `--max-spans ${10 * limit}, or --since with a later time`,
    );
  }
  const spans = attach(read.spans, read.notes, wanted, skips);
  const made = extract(spans, {
    mapping,
    agent,
    modality,
    project: read.project,
    learnt: learntLabels(read.configs),
    strategy: settings.hard_negatives,
    topK: settings.top_k,
    negatives: settings.negatives,
    seed: settings.seed,
  }, skips);
  warnIdentical(made.identical, io);
  const twice = skips.count("annotation", "approves and rejects under one id");
  if (twice > 0) {
    io.warn(
      "WH0313",
      `${plural(twice, "annotation")} approve and reject at once and were left out`,
    );
  }
  const own = readRows(read.rows, io);
  return {
    source: read.server ? `${read.project} at ${read.server}` : files.join(", "),
    server: read.server,
    project: read.project,
    newest: spans.flatMap(({ start }) => start ?? []).sort().at(-1),
    sft: [...made.sft, ...own.sft],
    dpo: [...made.dpo, ...own.dpo],
    triplets: [...made.triplets, ...own.triplets],
    counts: made.counts,
    skips,
  };
}

async function ask(
  settings: Settings,
  wanted: (span: Span) => boolean,
  skips: Skips,
  io: Io,
) {
  if (settings.offline) {
    throw new Fail("a Phoenix server and --offline exclude each other", {
      why: "no files were named, so the server would be asked",
      fix: "name exported files, or leave --offline out",
      exit: Exit.usage,
    });
  }
  const { env } = process;
  const client = connect(env, {
    retries: settings.retries,
    timeout: 1000 * settings.request_timeout,
    wait: 500,
    onRetry: (why, wait) => io.note(`${why}; asking again in ${(wait / 1000).toFixed(1)} s`),
  }, settings.endpoint);
  try {
    const pulled = await pull(client, {
      project: settings.project ?? (env.PHOENIX_PROJECT || env.PHOENIX_PROJECT_NAME || undefined),
      since: settings.since && momentOf(settings.since),
      until: settings.until && momentOf(settings.until),
      limit: settings.max_spans,
      wanted,
      stopped: () => io.stop.requested !== undefined,
      onPage: (what, n) => io.progress(`${thousands(n)} ${what}`),
    }, skips);
    return { ...pulled, server: client.address, rows: [] as Value[] };
  } finally {
    io.progress();
  }
}

/** The documented warning, for the first of them. */
function warnIdentical(messages: readonly string[], io: Io) {
  for (const message of messages.slice(0, 20)) io.warn("WH0311", message);
  if (messages.length > 20) {
    io.warn("WH0311", `and ${messages.length - 20} more identical pairs`);
  }
}

/** Rows that are there already, by kind. @throws Fail (data) naming each that cannot be used */
function readRows(values: readonly Value[], io: Io) {
  const sft: unknown[] = [], dpo: unknown[] = [], triplets: unknown[] = [];
  const bad: BadRow[] = [], identical: string[] = [];
  for (const [index, value] of values.entries()) {
    const kind = kindOf(value.value);
    const row = anyRow(value, index, kind);
    if (!("problem" in row)) {
      (kind === "sft" ? sft : kind === "preference" ? dpo : triplets).push(value.value);
    } else if (kind === "preference" && row.problem.endsWith(" are the same")) {
      const { metadata, span_id } = value.value as Record<string, Record<string, unknown>>;
      const span = metadata?.span_id ?? span_id;
      identical.push(
        typeof span === "string"
          ? `Skipping identical pair for span ${span}`
          : `Skipping identical pair at line ${value.line}`,
      );
    } else bad.push({ line: value.line, reason: row.problem, text: value.text });
  }
  warnIdentical(identical, io);
  if (bad.length === 0) return { sft, dpo, triplets };
  throw badRows("the files", bad, values.length, "correct the rows named above");
}

/** How much there is of each kind. */
export const available = ({ sft, dpo, triplets }: Gathered): Available => ({
  approved: sft.length,
  pairs: dpo.length,
  triplets: triplets.length,
});

/** What was read, for people. */
export function sourceTable({ source, counts }: Gathered): string {
  const { spans, annotations, approved, rejected } = counts;
  return columns([
    ["source", source],
    ["spans", thousands(spans)],
    ["annotations", thousands(annotations)],
    ["approved", `${thousands(approved)} of the spans`],
    ["rejected", thousands(rejected)],
  ]);
}

/** What was left out and why, for people; empty where nothing was. */
export function skipTable({ skips }: Gathered, kinds: readonly string[]): string {
  const shown = skips.list().filter(({ what }) => kinds.includes(what));
  return columns(shown.map(({ count, what, reason }) => [thousands(count), what, reason]), [0]);
}

/** A row as a line. */
export const lineOf = (row: unknown): string => JSON.stringify(row) + "\n";

export type { Row };
