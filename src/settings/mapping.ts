import { LineCounter, parseDocument, type YAMLMap } from "yaml";
import { z } from "zod";
import { Exit, Fail } from "../base/fail.ts";
import { suggest } from "../base/text.ts";

/**
 * How spans and annotations of Arize Phoenix become rows: which annotations count and how, and where a
 * span keeps what was asked and answered. Every key has a default; a YAML file changes some of them.
 */

export const AGENTS = ["routing", "profile_selection", "entity_extraction"] as const;
export type AgentType = (typeof AGENTS)[number];
export const MODALITIES = ["video", "image", "text"] as const;
export type Modality = (typeof MODALITIES)[number];

const word = z.union([z.string().min(1), z.number().transform(String)]);
const words = () => z.union([word.transform((one) => [one]), z.array(word)]);
const paths = (...usual: string[]) => words().default(usual);
const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).prefault({} as never);

/** Names of annotations that people give, for those whose kind is not known. */
export const USUAL_NAMES = ["human_approval", "user_feedback", "user-feedback", "correctness"];

const agent = (keywords: string[], instruction: string) =>
  section({
    name_contains: words().default(keywords),
    instruction: z.string().min(1).default(instruction),
  });

const schema = z.strictObject({
  /** Names considered; by default any of the kinds below. */
  annotation: words().optional(),
  annotator_kind: words().default(["HUMAN"]),
  approved: section({
    labels: words().default([
      "approved",
      "positive",
      "thumbs-up",
      "good",
      "correct",
      "accept",
      "accepted",
      "pass",
    ]),
    min_score: z.number().default(0.5),
  }),
  rejected: section({
    labels: words().default([
      "rejected",
      "negative",
      "thumbs-down",
      "bad",
      "incorrect",
      "reject",
      "fail",
    ]),
    below_score: z.number().default(0.5),
  }),
  /** Which counts where an annotation's label and score disagree. */
  conflict: z.enum(["label_wins", "score_wins", "skip"]).default("label_wins"),
  /** Attributes that may hold what was asked, the first that is there. */
  prompt: paths(
    "llm.input_messages",
    "input.value",
    "llm.prompts",
    "llm.prompt_template",
    "input.query",
    "input.text",
    "input.request",
    "query",
    "text",
  ),
  /** Attributes that may hold what was answered. */
  answer: paths(
    "llm.output_messages",
    "output.value",
    "output.response",
    "output.result",
    "output.decision",
    "response",
    "result",
  ),
  /** Parts of an annotation that hold the answer it judges, instead of the span's own. */
  edited_output: words().optional(),
  /** Parts of an annotation, also of a rejecting one, that hold a better answer. */
  correction: paths("metadata.corrected_output", "metadata.correction"),
  /** span: both verdicts on one span; input: on two spans with the same prompt. */
  pair_by: z.union([
    z.enum(["span", "input"]).transform((one) => [one]),
    z.array(z.enum(["span", "input"])),
  ])
    .default(["span", "input"]),
  /** auto: alpaca, and messages where the span holds messages. */
  form: z.enum(["auto", "alpaca", "messages"]).default("auto"),
  span: section({
    kinds: words().default(["LLM", "AGENT", "CHAIN"]),
    /** By default those of the agent that is asked for. */
    name_contains: words().optional(),
  }),
  agents: section({
    routing: agent(["routing", "route"], "Route the following query to the appropriate agent"),
    profile_selection: agent(
      ["profile"],
      "Select the appropriate profile for the following query",
    ),
    entity_extraction: agent(
      ["entity", "entities", "extraction"],
      "Extract the entities from the following text",
    ),
  }),
  retrieval: section({
    query: paths("reranker.query", "input.value", "input.query", "query", "text"),
    documents: paths(
      "retrieval.documents",
      "reranker.output_documents",
      "output.results",
      "output.value",
    ),
    /** Annotations that name a document of the span, in their metadata or label. */
    annotation: words().default(["result_click", "result_relevance"]),
    min_relevance: z.number().default(0.7),
  }),
});

export type Mapping = z.output<typeof schema>;

export const defaultMapping: Mapping = schema.parse({});

/**
 * Reads a mapping from YAML, at the top or below the key "phoenix".
 * @throws Fail (usage) with file:line:column for bad syntax, an unknown key or a value that does not fit
 */
export function parseMapping(text: string, path: string): Mapping {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const refuse = (offset: number, what: string, why?: string) => {
    const { line, col } = lines.linePos(offset);
    return new Fail(`${path}:${line}:${col}: ${what}`, {
      why,
      fix: "correct that line; whet data from-phoenix --help shows a mapping",
      code: "WH0202",
      exit: Exit.usage,
    });
  };
  const broken = document.errors[0];
  if (broken) throw refuse(broken.pos[0], "not valid YAML", broken.message.replace(/\s+/g, " "));
  const whole: unknown = document.toJS() ?? {};
  const below = typeof whole === "object" && whole !== null && "phoenix" in whole;
  const parsed = schema.safeParse(below ? whole.phoenix ?? {} : whole);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const unknown = issue.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const at = [...(below ? ["phoenix"] : []), ...issue.path, ...(unknown ? [unknown] : [])];
  const offset = offsetOf(document.contents as YAMLMap | null, at);
  if (unknown === undefined) throw refuse(offset, `${issue.path.join(".")}: ${issue.message}`);
  const inside = issue.path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
    defaultMapping,
  );
  const near = suggest(unknown, Object.keys(inside ?? {}).concat("annotation", "name_contains"));
  throw refuse(offset, `unknown key "${unknown}"`, near && `did you mean "${near}"?`);
}

/** Where the innermost of these keys stands. */
function offsetOf(map: YAMLMap | null, keys: readonly PropertyKey[]): number {
  let node: unknown = map, offset = map?.range?.[0] ?? 0;
  for (const key of keys) {
    const items = (node as Partial<YAMLMap> | null)?.items;
    if (!Array.isArray(items)) break;
    const pair = typeof key === "number"
      ? { key: items[key], value: items[key] }
      : items.find((item) => String((item as { key?: unknown }).key) === key);
    if (!pair) break;
    offset = (pair.key as { range?: readonly number[] } | undefined)?.range?.[0] ?? offset;
    node = pair.value;
  }
  return offset;
}
