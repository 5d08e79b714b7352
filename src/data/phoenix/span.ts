import { at, listOf, nameAt, numberAt, textOf, treeOf } from "./tree.ts";

/** What somebody, or something, noted on a span, a trace, or a document that a span found. */
export interface Note {
  readonly id?: string;
  readonly name: string;
  /** HUMAN, LLM or CODE; undefined where an export does not say. */
  readonly kind?: string;
  readonly label?: string;
  readonly score?: number;
  /** Of a document of the span, from 0. */
  readonly position?: number;
  /** Who noted it. */
  readonly by?: string;
  /** ISO 8601. */
  readonly time?: string;
  /** All of it, for paths such as "metadata.output". */
  readonly tree: unknown;
}

/** A note that came apart from its span. */
export interface LooseNote extends Note {
  readonly spanId?: string;
  readonly traceId?: string;
}

export interface Span {
  readonly id: string;
  /** The server's own name for it. */
  readonly node?: string;
  readonly traceId: string;
  /** Undefined for the root of a trace. */
  readonly parentId?: string;
  readonly name: string;
  /** OpenInference's: LLM, AGENT, CHAIN, RETRIEVER …; undefined where it is not known. */
  readonly kind?: string;
  readonly status?: string;
  /** ISO 8601. */
  readonly start?: string;
  readonly attributes: unknown;
  readonly notes: readonly Note[];
}

const first = (tree: unknown, paths: readonly string[]): string | undefined => {
  for (const path of paths) {
    const found = nameAt(tree, path);
    if (found !== undefined) return found;
  }
};

const SPAN_ID = ["context.span_id", "span_id", "spanId"];
const TRACE_ID = ["context.trace_id", "trace_id", "traceId"];

/**
 * A span in any of its forms: as the REST API gives it, as a row of Phoenix's dataframes, or as the px
 * command line exports it. A text says what is wrong with it; undefined is no span at all.
 */
export function spanOf(value: unknown): Span | string | undefined {
  const tree = treeOf(value);
  if (typeof tree !== "object" || tree === null || Array.isArray(tree)) return "not an object";
  const attributes = at(tree, "attributes");
  const id = first(tree, SPAN_ID) ?? pandasIndex(tree);
  if (attributes === undefined) return undefined;
  const inside = typeof attributes === "string" ? treeOf(parsed(attributes)) : attributes;
  if (typeof inside !== "object" || inside === null) return "attributes are not an object";
  if (id === undefined) return "there is no span_id";
  const kind = first(tree, ["span_kind"]) ?? nameAt(inside, "openinference.span.kind");
  const notes = [
    ...notesAt(tree, "annotations"),
    ...notesAt(tree, "span_annotations"),
    ...notesAt(tree, "document_annotations"),
    ...notesAt(tree, "document_evaluations"),
    ...notesAt(inside, "annotations"),
  ];
  return {
    id,
    node: first(tree, ["id"]),
    traceId: first(tree, TRACE_ID) ?? id,
    parentId: first(tree, ["parent_id", "parentId"]),
    name: first(tree, ["name"]) ?? "",
    kind: kind === undefined || kind === "UNKNOWN" ? undefined : kind.toUpperCase(),
    status: first(tree, ["status_code", "status"])?.toUpperCase(),
    start: first(tree, ["start_time", "startTime"]),
    attributes: inside,
    notes,
  };
}

function notesAt(tree: unknown, path: string): Note[] {
  const value = at(tree, path);
  const list = listOf(typeof value === "string" ? treeOf(parsed(value)) : value) ?? [];
  return list.flatMap((one) => {
    // OpenInference writes annotations.0.annotation.name
    const note = noteOf(at(one, "annotation") ?? one);
    return note ? [note] : [];
  });
}

/**
 * An annotation in any of its forms: of the REST API, with label and score below "result"; or a row of a
 * table. Undefined where it is none.
 */
export function noteOf(value: unknown): LooseNote | undefined {
  const tree = treeOf(value);
  const name = first(tree, ["name", "annotation_name"]);
  const label = first(tree, ["result.label", "label"]);
  const score = numberAt(tree, "result.score") ?? numberAt(tree, "score");
  if (name === undefined && label === undefined && score === undefined) return undefined;
  return {
    id: first(tree, ["id", "annotation_id"]),
    name: name ?? "annotation",
    kind: first(tree, ["annotator_kind", "annotatorKind"])?.toUpperCase(),
    label,
    score,
    position: numberAt(tree, "document_position") ?? numberAt(tree, "documentPosition"),
    by: first(tree, ["user_id", "user.username", "user", "annotator"]),
    time: first(tree, ["updated_at", "updatedAt", "created_at", "createdAt"]),
    tree,
    spanId: first(tree, SPAN_ID) ?? pandasIndex(tree),
    traceId: first(tree, TRACE_ID),
  };
}

/** Where pandas keeps an index that has no name. */
const pandasIndex = (tree: unknown): string | undefined => nameAt(tree, "__index_level_0__");

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A document that a span found. */
export interface Document {
  readonly id?: string;
  /** What it says; undefined where only its name is known. */
  readonly text?: string;
  readonly score?: number;
}

/** A document of a span's list, with or without "document." around it. */
export function documentOf(value: unknown): Document {
  const tree = at(value, "document") ?? value;
  if (typeof tree === "string") return { text: textOf(tree) };
  const text = ["content", "text", "description", "caption", "transcript", "title", "page_content"]
    .flatMap((name) => [name, `metadata.${name}`]).map((path) => at(tree, path))
    .find((found) => typeof found === "string" && found.trim() !== "");
  return {
    id: first(tree, ["id", "document_id", "doc_id", "video_id", "image_id", "metadata.id"]),
    text: text as string | undefined,
    score: numberAt(tree, "score") ?? numberAt(tree, "relevance_score"),
  };
}
