import { MODALITIES, type Modality } from "../../settings/mapping.ts";
import type { Note, Span } from "./span.ts";
import { nameAt } from "./tree.ts";

/** A row as it is written, with where it comes from in `metadata`. */
export type Row = Readonly<Record<string, unknown>> & {
  readonly metadata: Readonly<Record<string, unknown>>;
};

/** Where a row comes from. */
export function provenance(span: Span, note: Note | undefined, project: string | undefined) {
  const facts = {
    span_id: span.id,
    trace_id: span.traceId,
    project,
    annotation: note?.name,
    annotation_id: note?.id,
    label: note?.label,
    score: note?.score,
    annotator: note?.by ?? note?.kind,
    time: note?.time ?? span.start,
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/** Names of spans in lower case, with anything but letters and digits as one underscore. */
export const plainName = (name: string) =>
  name.replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "_");

/** Whether a span says that it is about this modality; one that says nothing is about text. */
export function isAbout(span: Span, modality: Modality): boolean {
  const said = ["modality", "input.modality", "metadata.modality", "search.modality"]
    .map((path) => nameAt(span.attributes, path)).find((name) => name !== undefined);
  if (said !== undefined) return said.toLowerCase() === modality;
  const words = plainName(span.name).split("_");
  return (MODALITIES.find((one) => words.includes(one)) ?? "text") === modality;
}
