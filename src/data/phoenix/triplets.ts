import { streamOf, uniform } from "../../base/random.ts";
import type { Mapping, Modality } from "../../settings/mapping.ts";
import { askedAt } from "./asked.ts";
import { isAbout, provenance, type Row } from "./row.ts";
import type { Skips } from "./skips.ts";
import { type Document, documentOf, type Note, type Span } from "./span.ts";
import { listAt, nameAt, numberAt } from "./tree.ts";
import { considered, plainLabel } from "./verdict.ts";

/** How documents that nobody found relevant become negatives. */
export const STRATEGIES = ["top_k", "above_threshold", "random_sampling"] as const;
export type Strategy = (typeof STRATEGIES)[number];

export interface TripletOptions {
  readonly strategy?: Strategy;
  /** Documents considered by top_k. */
  readonly topK?: number;
  /** Negatives for every positive. */
  readonly negatives?: number;
  readonly seed?: number;
}

interface Options extends TripletOptions {
  readonly mapping: Mapping;
  readonly modality?: Modality;
  readonly project?: string;
}

interface Candidate extends Document {
  readonly place: number;
  readonly text: string;
}

/**
 * Triplets of searches: the query, a document that was clicked or found relevant, and one of the same
 * results that was not. Negatives are hard ones: the best ranked (top_k), those scored at or above the
 * median of all results (above_threshold), or any (random_sampling).
 */
export function tripletsOf(
  spans: readonly Span[],
  options: Options,
  skips: Skips,
): Row[] {
  const { mapping, modality, negatives = 1, project } = options;
  const rows: Row[] = [], seen = new Set<string>();
  for (const span of spans) {
    const found = documentsOf(span, mapping);
    if (!found) continue;
    const skip = (reason: string) => skips.add("triplet", reason, span.id);
    if (modality !== undefined && !isAbout(span, modality)) {
      skip(`the search is not about ${modality}`);
      continue;
    }
    const anchor = askedAt(span.attributes, mapping.retrieval.query)?.text;
    if (anchor === undefined) {
      skip("no query was found");
      continue;
    }
    const judged = relevanceOf(span, found, mapping);
    const liked = [...judged].filter(([, { relevant }]) => relevant);
    if (liked.length === 0) {
      skip(judged.size > 0 ? "no document was found relevant" : "no document was judged");
      continue;
    }
    const documents = found.flatMap((one, place): Candidate[] =>
      one.text === undefined ? [] : [{ ...one, text: one.text, place }]
    );
    const texts = new Set(liked.map(([place]) => found[place]?.text?.trim()));
    const others = documents.filter(({ place, text }) =>
      !judged.get(place)?.relevant && !texts.has(text.trim()) && text.trim() !== anchor.trim()
    );
    const hard = hardest(span, others, documents, options);
    if (hard.length === 0) {
      skip(others.length > 0 ? "no negative is hard enough" : "nothing was found beside it");
      continue;
    }
    for (const [i, [place, { note }]] of liked.entries()) {
      const positive = found[place]?.text;
      if (positive === undefined) {
        skip("the relevant document has no text");
        continue;
      }
      for (let n = 0; n < Math.min(negatives, hard.length); n++) {
        const negative = hard[(i * negatives + n) % hard.length]!;
        const key = JSON.stringify([anchor, positive, negative.text]);
        if (seen.has(key)) {
          skip("the same triplet again");
          continue;
        }
        seen.add(key);
        const metadata = { ...provenance(span, note, project), search_id: span.id };
        rows.push({ anchor, positive, negative: negative.text, metadata });
      }
    }
  }
  return rows;
}

/** The documents of a search, in its order; undefined where a span is no search. */
function documentsOf({ kind, attributes }: Span, { retrieval }: Mapping): Document[] | undefined {
  for (const path of retrieval.documents) {
    if (path === "output.value" && kind !== "RETRIEVER" && kind !== "RERANKER") continue;
    const list = listAt(attributes, path);
    if (list && list.length > 0) return list.map(documentOf);
  }
}

interface Relevance {
  readonly relevant: boolean;
  readonly note: Note;
}

/** By the document's place: whether people found it relevant. One who did counts more than one who did not. */
function relevanceOf(
  span: Span,
  documents: readonly Document[],
  mapping: Mapping,
): Map<number, Relevance> {
  const { annotation, min_relevance } = mapping.retrieval;
  const judged = new Map<number, Relevance>();
  for (const note of span.notes) {
    const named = annotation.includes(note.name);
    const place = note.position ?? placeOf(note, documents);
    const counts = named || (note.position !== undefined && !considered(note, mapping));
    if (!counts || place === undefined || !documents[place]) continue;
    const relevant = isRelevant(note, mapping, min_relevance);
    if (relevant === undefined || judged.get(place)?.relevant) continue;
    judged.set(place, { relevant, note });
  }
  return judged;
}

function isRelevant(note: Note, mapping: Mapping, least: number): boolean | undefined {
  if (note.score !== undefined) return note.score >= least;
  const label = note.label === undefined ? undefined : plainLabel(note.label);
  if (label === undefined) return note.name.includes("click") ? true : undefined;
  if (["relevant", "clicked", "click", "true", ...mapping.approved.labels].includes(label)) {
    return true;
  }
  const no = ["irrelevant", "not-relevant", "unrelated", "false", ...mapping.rejected.labels];
  return no.includes(label) ? false : note.name.includes("click") ? true : undefined;
}

const DOCUMENT_ID = ["document_id", "doc_id", "result_id", "video_id", "image_id", "id"];
const DOCUMENT_PLACE = ["document_position", "position", "index", "rank"];

/** The place of the document that an annotation is about. */
function placeOf(note: Note, documents: readonly Document[]): number | undefined {
  for (const key of DOCUMENT_ID) {
    const id = nameAt(note.tree, `metadata.${key}`);
    const place = id === undefined ? -1 : documents.findIndex((one) => one.id === id);
    if (place >= 0) return place;
  }
  for (const key of DOCUMENT_PLACE) {
    const place = numberAt(note.tree, `metadata.${key}`);
    // A rank counts from 1.
    if (place !== undefined) return key === "rank" ? place - 1 : place;
  }
  const named = documents.findIndex(({ id }) => id !== undefined && id === note.label);
  return named < 0 ? undefined : named;
}

function hardest(
  span: Span,
  others: readonly Candidate[],
  all: readonly Candidate[],
  { strategy = "top_k", topK = 5, seed = 42 }: TripletOptions,
): readonly Candidate[] {
  switch (strategy) {
    case "top_k":
      return others.slice(0, topK);
    case "above_threshold": {
      const scores = all.flatMap(({ score }) => score ?? []).sort((a, b) => a - b);
      const middle = scores.length >> 1;
      const median = scores.length % 2 === 1
        ? scores[middle]!
        : (scores[middle - 1]! + scores[middle]!) / 2;
      return others.filter(({ score }) => score !== undefined && score >= median)
        .toSorted((a, b) => b.score! - a.score!);
    }
    case "random_sampling": {
      const stream = streamOf(span.id);
      return others.map((one, i) => ({ one, draw: uniform(seed, stream, i) }))
        .sort((a, b) => a.draw - b.draw).map(({ one }) => one);
    }
  }
}
