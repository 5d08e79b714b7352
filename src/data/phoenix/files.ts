import { isObject } from "../../base/strict_json.ts";
import { type Value } from "../json_values.ts";
import { type BadRow, badRows } from "../rows.ts";
import { valuesOf } from "../sources.ts";
import type { Skips } from "./skips.ts";
import { type LooseNote, noteOf, type Span, spanOf } from "./span.ts";

/** What files hold: spans and annotations that were exported, and rows that are there already. */
export interface Telemetry {
  readonly spans: readonly Span[];
  /** Annotations that came apart from their spans. */
  readonly notes: readonly LooseNote[];
  /** All else: rows for training, perhaps. */
  readonly rows: readonly Value[];
  /** Whether there were more spans than were read. */
  readonly more: boolean;
}

/**
 * Reads exported files: JSONL, a JSON array, CSV or Parquet; spans as the REST API, Phoenix's dataframes
 * and the px command line give them, and tables of annotations.
 * @param limit most spans
 * @throws Fail (data) naming every broken row with its line, at most 20 of them
 */
export async function readTelemetry(
  files: readonly string[],
  limit = Infinity,
): Promise<Telemetry> {
  const spans = new Map<string, Span>(), notes: LooseNote[] = [], rows: Value[] = [];
  let more = false;
  for (const path of files) {
    const bad: BadRow[] = [];
    let all = 0;
    const { values } = await valuesOf(path);
    for await (const value of values) {
      for (const one of pages(value)) {
        all++;
        const span = one.problem === undefined ? spanOf(one.value) : one.problem;
        if (typeof span === "string") {
          bad.push({ line: one.line, reason: span, text: one.text });
        } else if (span) {
          const before = spans.get(span.id);
          if (before) spans.set(span.id, { ...before, notes: [...before.notes, ...span.notes] });
          else if (spans.size < limit) spans.set(span.id, span);
          else more = true;
        } else {
          const note = noteOf(one.value);
          if (note?.spanId !== undefined || note?.traceId !== undefined) notes.push(note);
          else rows.push(one);
        }
      }
    }
    if (bad.length > 0) {
      throw badRows(path === "-" ? "stdin" : path, bad, all, "export the spans again");
    }
  }
  return { spans: [...spans.values()], notes, rows, more };
}

/** The elements of a page of the REST API, {"data": [...]}; all else as it is. */
function pages(value: Value): readonly Value[] {
  if (value.problem !== undefined || !isObject(value.value)) return [value];
  const { data } = value.value;
  if (!Array.isArray(data) || "attributes" in value.value) return [value];
  return data.map((one) => ({ line: value.line, text: JSON.stringify(one) ?? "", value: one }));
}

/**
 * Puts annotations to the spans they are about. One of a trace goes to the root of the trace, or to its
 * first span, of those that `wanted` lets pass.
 */
export function attach(
  spans: readonly Span[],
  notes: readonly LooseNote[],
  wanted: (span: Span) => boolean,
  skips: Skips,
): Span[] {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const traces = Map.groupBy(spans.filter(wanted), ({ traceId }) => traceId);
  const added = new Map<string, LooseNote[]>();
  for (const note of notes) {
    const { spanId, traceId } = note;
    const span = spanId !== undefined ? byId.get(spanId) : speaker(traces.get(traceId!) ?? []);
    if (!span) skips.add("annotation", "its span is not there", spanId);
    else added.set(span.id, [...added.get(span.id) ?? [], note]);
  }
  return spans.map((span) => {
    const more = added.get(span.id);
    return more ? { ...span, notes: [...span.notes, ...more] } : span;
  });
}

/** The span of a trace that its annotations are about. */
const speaker = (spans: readonly Span[]): Span | undefined =>
  spans.find(({ parentId }) => parentId === undefined) ??
    spans.toSorted((a, b) => (a.start ?? "").localeCompare(b.start ?? ""))[0];
