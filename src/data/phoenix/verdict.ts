import { type Mapping, USUAL_NAMES } from "../../settings/mapping.ts";
import type { Note } from "./span.ts";
import { at, nameAt, textOf } from "./tree.ts";

/** What one annotation says of an answer. */
export interface Verdict {
  readonly approved: boolean;
  readonly note: Note;
  /** The answer it is about, where that is not the span's own. */
  readonly text?: string;
  /** A better answer, which a rejecting annotation may bring. */
  readonly correction?: string;
}

/** Why an annotation has no say. */
export type Silent =
  | "free note"
  | "other name"
  | "other kind of annotator"
  | "of a document"
  | "neither label nor score decides"
  | "label and score disagree";

/** Labels and the scores they stand for, by annotation name: what a project's own configuration says. */
export type LabelScores = ReadonlyMap<string, ReadonlyMap<string, boolean | undefined>>;

/** Labels are compared without case, and with any of space, _ and - between their words. */
export const plainLabel = (label: string) => label.trim().toLowerCase().replace(/[\s_]+/g, "-");

/** Whether an annotation has a say at all. */
export function considered(note: Note, mapping: Mapping): Silent | undefined {
  const { annotation, annotator_kind, retrieval } = mapping;
  if (note.name === "note") return "free note";
  if (!annotation && retrieval.annotation.includes(note.name)) return "of a document";
  if (annotation && !annotation.includes(note.name)) return "other name";
  if (note.kind === undefined) {
    return (annotation ?? USUAL_NAMES).includes(note.name) ? undefined : "other name";
  }
  const kinds = annotator_kind.map((kind) => kind.toUpperCase());
  return kinds.includes(note.kind) ? undefined : "other kind of annotator";
}

/**
 * What an annotation says: by its label where that is a known one, else by its score. Where the two
 * disagree, `mapping.conflict` decides.
 */
export function verdictOf(
  note: Note,
  mapping: Mapping,
  learnt: LabelScores = new Map(),
): Verdict | Silent {
  if (note.position !== undefined) return "of a document";
  const silent = considered(note, mapping);
  if (silent) return silent;
  const { approved, rejected, conflict } = mapping;
  const label = note.label === undefined ? undefined : plainLabel(note.label);
  const among = (labels: readonly string[]) =>
    label !== undefined && labels.some((one) => plainLabel(one) === label);
  const both = among(approved.labels) && among(rejected.labels);
  if (both) return "label and score disagree";
  const byLabel = among(approved.labels)
    ? true
    : among(rejected.labels)
    ? false
    : label === undefined
    ? undefined
    : learnt.get(note.name)?.get(label);
  const { score } = note;
  const byScore = score === undefined
    ? undefined
    : score >= approved.min_score
    ? true
    : score < rejected.below_score
    ? false
    : undefined;
  const differ = byLabel !== undefined && byScore !== undefined && byLabel !== byScore;
  if (differ && conflict === "skip") return "label and score disagree";
  const said = conflict === "score_wins" ? byScore ?? byLabel : byLabel ?? byScore;
  if (said === undefined) return "neither label nor score decides";
  return {
    approved: said,
    note,
    text: editedIn(note, mapping),
    correction: firstText(note, mapping.correction),
  };
}

/** The answer that an annotation brings: at a path that is named, else under a key that says so. */
function editedIn(note: Note, { edited_output, correction }: Mapping): string | undefined {
  if (edited_output) return firstText(note, edited_output);
  const metadata = at(note.tree, "metadata");
  const inside = typeof metadata === "string" ? at({ metadata }, "metadata") : metadata;
  const keys = typeof inside === "object" && inside !== null ? Object.keys(inside) : [];
  const named = keys.filter((key) =>
    /response|output/i.test(key) && !correction.includes(`metadata.${key}`)
  );
  return firstText(note, named.map((key) => `metadata.${key}`));
}

function firstText(note: Note, paths: readonly string[]): string | undefined {
  for (const path of paths) {
    const text = textOf(at(note.tree, path));
    if (text !== undefined) return text;
  }
}

/** What a verdict is worth where there are several: its score, else 1 or 0. */
export const scoreOf = ({ note, approved }: Verdict): number => note.score ?? Number(approved);

/**
 * Which labels a project's annotation configurations call good: those with the best score of a
 * categorical one, where it says in which direction it is optimised; those with the worst are bad.
 */
export function learntLabels(configs: readonly unknown[]): LabelScores {
  const learnt = new Map<string, Map<string, boolean | undefined>>();
  for (const config of configs) {
    const name = nameAt(config, "name"), values = at(config, "values");
    const direction = nameAt(config, "optimization_direction")?.toUpperCase();
    if (name === undefined || !Array.isArray(values)) continue;
    if (direction !== "MAXIMIZE" && direction !== "MINIMIZE") continue;
    const scored = values.flatMap((value) => {
      const label = nameAt(value, "label"), score = at(value, "score");
      return label === undefined || typeof score !== "number" ? [] : [{ label, score }];
    });
    const scores = scored.map(({ score }) => score);
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    if (!(low < high)) continue;
    const [good, bad] = direction === "MAXIMIZE" ? [high, low] : [low, high];
    learnt.set(
      name,
      new Map(scored.map(({ label, score }) => [
        plainLabel(label),
        score === good ? true : score === bad ? false : undefined,
      ])),
    );
  }
  return learnt;
}
