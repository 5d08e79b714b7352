import type { AgentType, Mapping, Modality } from "../../settings/mapping.ts";
import type { Message } from "../../text/chat_template.ts";
import { exampleOf } from "../rows.ts";
import { answeredAt, type Asked, askedAt } from "./asked.ts";
import { plainName, provenance, type Row } from "./row.ts";
import { Skips } from "./skips.ts";
import type { Span } from "./span.ts";
import { nameAt } from "./tree.ts";
import { type TripletOptions, tripletsOf } from "./triplets.ts";
import { type LabelScores, scoreOf, type Verdict, verdictOf } from "./verdict.ts";

export interface Extracted {
  /** One for every approved answer: instruction, input and output, or messages. */
  readonly sft: readonly Row[];
  /** prompt, chosen, rejected. */
  readonly dpo: readonly Row[];
  /** anchor, positive, negative. */
  readonly triplets: readonly Row[];
  readonly counts: {
    readonly spans: number;
    readonly annotations: number;
    readonly approved: number;
    readonly rejected: number;
  };
  readonly skips: Skips;
  /** Spans whose two answers are the same, one documented message each. */
  readonly identical: readonly string[];
}

export interface ExtractOptions extends TripletOptions {
  readonly mapping: Mapping;
  readonly agent?: AgentType;
  readonly modality?: Modality;
  /** Named in every row. */
  readonly project?: string;
  readonly learnt?: LabelScores;
}

/** An answer to a prompt, and what somebody said of it. */
interface Judged {
  readonly text: string;
  readonly calls?: readonly unknown[];
  readonly approved: boolean;
  readonly verdict: Verdict;
  readonly span: Span;
  readonly asked: Asked;
}

/**
 * Makes training rows of annotated spans: approved answers are examples; an approved and a rejected answer
 * to the same prompt, on one span or on two, are a pair; documents that were found and judged are triplets.
 * Rows are in the order of the spans; the same spans give the same rows.
 */
export function extract(
  spans: readonly Span[],
  options: ExtractOptions,
  skips = new Skips(),
): Extracted {
  const { mapping, agent } = options, identical: string[] = [];
  const counts = { spans: spans.length, annotations: 0, approved: 0, rejected: 0 };
  for (const { notes } of spans) counts.annotations += notes.length;
  const judged: Judged[] = [];
  for (const span of spans) {
    const reason = otherSpan(span, mapping, agent);
    if (reason) {
      skips.add("span", reason, span.id);
      continue;
    }
    judged.push(...judgedIn(span, options, skips));
  }
  const spansOf = (approved: boolean) =>
    new Set(judged.filter((one) => one.approved === approved).map(({ span }) => span.id)).size;
  counts.approved = spansOf(true);
  counts.rejected = spansOf(false);
  const sft = examplesOf(judged, options, skips);
  const dpo = pairsOf(judged, options, skips, identical);
  const triplets = tripletsOf(spans, options, skips);
  return { sft, dpo, triplets, counts, skips, identical };
}

/** Why a span is none of those that are asked for. */
export function otherSpan(span: Span, mapping: Mapping, agent?: AgentType): string | undefined {
  const keywords = mapping.span.name_contains ??
    (agent === undefined ? [] : mapping.agents[agent].name_contains);
  const name = plainName(span.name);
  if (keywords.length > 0 && !keywords.some((word) => name.includes(plainName(word)))) {
    return agent === undefined ? "its name is another" : `not of the agent ${agent}`;
  }
  const { kinds } = mapping.span;
  return span.kind === undefined || kinds.some((kind) => kind.toUpperCase() === span.kind)
    ? undefined
    : `of the kind ${span.kind}`;
}

function judgedIn(span: Span, { mapping, learnt }: ExtractOptions, skips: Skips): Judged[] {
  const verdicts = verdictsOn(span, mapping, learnt, skips);
  if (verdicts.length === 0) {
    skips.add("span", span.notes.length > 0 ? "no annotation decides" : "not annotated", span.id);
    return [];
  }
  const refuse = (reason: string) => {
    skips.add("span", reason, span.id);
    return [];
  };
  const corrected = verdicts.some(({ text, correction }) => text ?? correction);
  if (span.status === "ERROR" && !corrected) return refuse("it ended with an error");
  if (cutShort(span) && !corrected) return refuse("the answer was cut at its longest length");
  const asked = askedAt(span.attributes, mapping.prompt);
  if (!asked) return refuse("no prompt was found");
  const own = answeredAt(span.attributes, mapping.answer);
  const judged = verdicts.flatMap((verdict): Judged[] => {
    const { approved, text, correction } = verdict, found: Judged[] = [];
    const better = correction === undefined
      ? []
      : [{ text: correction, approved: true, verdict, span, asked }];
    if (approved && better.length > 0) return better;
    if (text !== undefined) found.push({ text, approved, verdict, span, asked });
    else if (own?.text !== undefined || own?.calls) {
      const { calls } = own, text = own.text ?? "";
      found.push({ text, calls, approved, verdict, span, asked });
    }
    return [...better, ...found];
  });
  return judged.length > 0 ? judged : refuse("no answer was found");
}

const cutShort = ({ attributes }: Span) =>
  [
    nameAt(attributes, "llm.finish_reason"),
    nameAt(attributes, "llm.output_messages.0.message.finish_reason"),
  ]
    .some((reason) => /^(length|max_tokens)$/i.test(reason ?? ""));

/** The verdicts of a span's annotations; one that is there twice with two meanings has none. */
function verdictsOn(
  { id, notes }: Span,
  mapping: Mapping,
  learnt: LabelScores | undefined,
  skips: Skips,
): Verdict[] {
  const byId = new Map<string, Verdict | "both">();
  const loose: Verdict[] = [];
  for (const note of notes) {
    const verdict = verdictOf(note, mapping, learnt);
    if (typeof verdict === "string") skips.add("annotation", verdict, id);
    else if (note.id === undefined) loose.push(verdict);
    else {
      const before = byId.get(note.id);
      if (before === undefined) byId.set(note.id, verdict);
      else if (before !== "both" && before.approved !== verdict.approved) {
        byId.set(note.id, "both");
        skips.add("annotation", "approves and rejects under one id", id);
      }
    }
  }
  return [...byId.values(), ...loose].filter((verdict) => verdict !== "both");
}

const best = (a: Judged, b: Judged) =>
  scoreOf(b.verdict) - scoreOf(a.verdict) ||
  (b.verdict.note.time ?? "").localeCompare(a.verdict.note.time ?? "");

function examplesOf(
  judged: readonly Judged[],
  options: ExtractOptions,
  skips: Skips,
): Row[] {
  const rows: Row[] = [], seen = new Set<string>();
  const approved = Map.groupBy(judged.filter((one) => one.approved), ({ span }) => span.id);
  for (const [id, candidates] of approved) {
    const one = candidates.toSorted(best)[0]!;
    const row = exampleRow(one, options);
    const read = exampleOf({ line: 1, text: "", value: row }, 0);
    if ("problem" in read) {
      skips.add("sft", read.problem, id);
      continue;
    }
    const key = JSON.stringify([promptKey(one.asked), one.text, one.calls]);
    if (seen.has(key)) skips.add("sft", "the same prompt and answer again", id);
    else rows.push(row);
    seen.add(key);
  }
  return rows;
}

/** What is asked, so that equal prompts are equal texts. */
const promptKey = ({ messages, text }: Asked) => messages ? JSON.stringify(messages) : text.trim();

function asMessages({ asked, calls }: Judged, { mapping, agent }: ExtractOptions): boolean {
  if (calls) return true;
  return mapping.form === "messages" ||
    (mapping.form === "auto" && agent === undefined && asked.messages !== undefined);
}

const conversation = ({ messages, text }: Asked): readonly Message[] =>
  messages ?? [{ role: "user", content: text }];

function exampleRow(one: Judged, options: ExtractOptions): Row {
  const { asked, text, calls, verdict, span } = one, { agent, mapping, project } = options;
  const metadata = {
    ...provenance(span, verdict.note, project),
    confidence: Math.min(1, Math.max(0, scoreOf({ ...verdict, approved: true }))),
  };
  if (asMessages(one, options)) {
    const answer = { role: "assistant", content: text, ...(calls ? { tool_calls: calls } : {}) };
    return { messages: [...conversation(asked), answer], metadata };
  }
  return agent === undefined
    ? { instruction: asked.text, input: "", output: text, metadata }
    : { instruction: mapping.agents[agent].instruction, input: asked.text, output: text, metadata };
}

function pairsOf(
  judged: readonly Judged[],
  options: ExtractOptions,
  skips: Skips,
  identical: string[],
): Row[] {
  const { mapping: { pair_by }, project } = options;
  const rows: Row[] = [], seen = new Set<string>();
  const answers = judged.filter(({ calls }) => !calls);
  const write = (chosen: Judged, rejected: Judged) => {
    const { asked, span } = chosen;
    const prompt = asMessages(chosen, options) ? conversation(asked) : asked.text;
    const key = JSON.stringify([promptKey(asked), chosen.text, rejected.text]);
    if (seen.has(key)) return skips.add("dpo", "the same pair again", span.id);
    seen.add(key);
    const metadata = {
      ...provenance(span, chosen.verdict.note, project),
      chosen_score: scoreOf({ ...chosen.verdict, approved: true }),
      rejected_score: scoreOf({ ...rejected.verdict, approved: false }),
      ...(rejected.span === span ? {} : { rejected_span_id: rejected.span.id }),
    };
    rows.push({ prompt, chosen: chosen.text, rejected: rejected.text, metadata });
  };
  const paired = new Set<string>();
  if (pair_by.includes("span")) {
    for (const [id, group] of Map.groupBy(answers, ({ span }) => span.id)) {
      const { good, bad } = sides(group);
      if (good.length === 0 || bad.length === 0) continue;
      const pair = firstThatDiffers(good, bad);
      if (pair) {
        write(...pair);
        paired.add(id);
      } else {
        identical.push(`Skipping identical pair for span ${id}`);
        skips.add("dpo", "chosen and rejected are the same", id);
      }
    }
  }
  if (pair_by.includes("input")) {
    for (const group of Map.groupBy(answers, ({ asked }) => promptKey(asked)).values()) {
      const { good, bad } = sides(group);
      const texts = (list: readonly Judged[]) => new Set(list.map(({ text }) => text.trim()));
      const [liked, disliked] = [texts(good), texts(bad)];
      // What one approves and another rejects teaches nothing.
      const chosen = good.find(({ text }) => !disliked.has(text.trim()));
      if (!chosen) continue;
      const left = new Map<string, Judged>();
      for (const one of bad) if (!liked.has(one.text.trim())) left.set(one.text.trim(), one);
      for (const one of left.values()) {
        if (one.span === chosen.span && paired.has(one.span.id)) continue;
        const within = pair_by.includes("span") || one.span !== chosen.span;
        if (within) write(chosen, one);
      }
    }
  }
  return rows;
}

function sides(group: readonly Judged[]) {
  return {
    good: group.filter(({ approved }) => approved).toSorted(best),
    bad: group.filter(({ approved }) => !approved).toSorted((a, b) => best(b, a)),
  };
}

function firstThatDiffers(
  good: readonly Judged[],
  bad: readonly Judged[],
): [Judged, Judged] | undefined {
  for (const chosen of good) {
    const other = bad.find(({ text }) => text.trim() !== chosen.text.trim());
    if (other) return [chosen, other];
  }
}
