import { z } from "zod";
import type { Sampling } from "../../generate/generator.ts";
import type { Message } from "../../text/chat_template.ts";
import { ApiError, invalid } from "./errors.ts";

/** What bodies of requests may say. Nothing that would change an answer is passed over in silence. */

/** Clients send null for what they leave out. */
const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((v) => v ?? undefined);

const COUNT = z.int().min(1).max(2 ** 31);
const MOST_CHOICES = 16, MOST_STOPS = 16, MOST_INPUTS = 2048;

const drawing = {
  model: optional(z.string()),
  temperature: optional(z.number().min(0).max(100)),
  top_p: optional(z.number().gt(0).max(1)),
  top_k: optional(z.int().min(0).max(2 ** 24)),
  min_p: optional(z.number().min(0).max(1)),
  repetition_penalty: optional(z.number().gt(0).max(100)),
  seed: optional(z.int()),
  max_tokens: optional(COUNT),
  n: optional(z.int().min(1).max(MOST_CHOICES)),
  stop: optional(z.union([z.string(), z.array(z.string()).max(MOST_STOPS)])),
  stream: optional(z.boolean()),
  stream_options: optional(z.looseObject({ include_usage: optional(z.boolean()) })),
  response_format: optional(z.discriminatedUnion("type", [
    z.looseObject({ type: z.literal("text") }),
    z.looseObject({ type: z.literal("json_object") }),
    z.looseObject({
      type: z.literal("json_schema"),
      json_schema: z.looseObject({
        name: z.string().min(1).max(64),
        schema: z.record(z.string(), z.unknown()).optional(),
      }),
    }),
  ])),
};

const part = z.looseObject({ type: z.literal("text"), text: z.string() });
const content = z.union([z.string(), z.array(part), z.null()]).optional();

const chatBody = z.looseObject({
  ...drawing,
  messages: z.array(z.looseObject({
    role: z.enum(["system", "developer", "user", "assistant"]),
    content,
  })).min(1),
  max_completion_tokens: optional(COUNT),
  chat_template_kwargs: optional(z.record(z.string(), z.unknown())),
});

const ids = z.array(z.int().min(0).max(2 ** 31)).min(1);
const input = z.union([
  z.string(),
  z.array(z.string()).min(1).max(MOST_INPUTS),
  ids,
  z.array(ids).min(1).max(MOST_INPUTS),
]);

const completionBody = z.looseObject({ ...drawing, prompt: input });

const embeddingBody = z.looseObject({
  model: optional(z.string()),
  input,
  encoding_format: optional(z.enum(["float", "base64"])),
});

/** Whatever they say, an answer is the same. */
const IGNORED = new Set([
  ..."user metadata store safety_identifier prompt_cache_key service_tier parallel_tool_calls"
    .split(" "),
]);

/** What is known and not done, with the values that ask for nothing. */
const REFUSED: Readonly<Record<string, (value: unknown) => boolean>> = {
  logprobs: (v) => v === false,
  top_logprobs: (v) => v === 0,
  frequency_penalty: (v) => v === 0,
  presence_penalty: (v) => v === 0,
  logit_bias: (v) => isEmpty(v),
  tools: (v) => isEmpty(v),
  functions: (v) => isEmpty(v),
  tool_choice: (v) => v === "none" || v === "auto",
  function_call: (v) => v === "none" || v === "auto",
  modalities: (v) => JSON.stringify(v) === '["text"]',
  audio: () => false,
  prediction: () => false,
  reasoning_effort: () => false,
  verbosity: () => false,
  web_search_options: () => false,
  echo: (v) => v === false,
  suffix: (v) => v === "",
  best_of: (v) => v === 1,
  dimensions: () => false,
};
const INSTEAD: Readonly<Record<string, string>> = {
  frequency_penalty: "; repetition_penalty is",
  presence_penalty: "; repetition_penalty is",
  tools: "; response_format json_schema holds an answer to any form",
  functions: "; response_format json_schema holds an answer to any form",
  reasoning_effort: "; what the chat template knows goes into chat_template_kwargs",
};

const isEmpty = (value: unknown) =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;

/** What a text must be held to. */
export type Form = { readonly name: string; readonly schema: unknown };

/** A request for answers. */
export interface AskedAnswers {
  readonly model: string | undefined;
  /** A conversation, or texts and ids that are gone on with. */
  readonly prompts:
    | { readonly messages: readonly Message[]; readonly variables: Record<string, unknown> }
    | readonly (string | readonly number[])[];
  /** Undefined where the request does not say. */
  readonly sampling: Partial<Sampling>;
  readonly maxTokens: number | undefined;
  /** Answers to each prompt. */
  readonly n: number;
  readonly stops: readonly string[];
  readonly stream: boolean;
  readonly usage: boolean;
  readonly form: Form | undefined;
  /** The form is said to be free text: what the server would hold answers to does not count. */
  readonly free: boolean;
}

/** A request for embeddings. */
export interface AskedEmbeddings {
  readonly model: string | undefined;
  readonly inputs: readonly (string | readonly number[])[];
  readonly base64: boolean;
}

/** @throws ApiError (400) naming the field */
export function readChat(body: unknown): AskedAnswers {
  const { messages, max_completion_tokens, chat_template_kwargs = {}, ...rest } = read(
    body,
    chatBody,
  );
  const turns = messages.map(({ role, content, ...more }) => ({
    ...more,
    role: role === "developer" ? "system" : role,
    content: Array.isArray(content) ? content.map(({ text }) => text).join("") : content ?? "",
  }));
  const foreign = ["tool_calls", "function_call", "audio"].find((key) =>
    turns.some((turn) => (turn as Record<string, unknown>)[key] != null)
  );
  if (foreign) throw unsupported(foreign, `messages.${foreign}`);
  return asked(rest, { messages: turns, variables: chat_template_kwargs }, max_completion_tokens);
}

/** @throws ApiError (400) naming the field */
export function readCompletion(body: unknown): AskedAnswers {
  const { prompt, ...rest } = read(body, completionBody);
  return asked(rest, listOf(prompt));
}

/** @throws ApiError (400) naming the field */
export function readEmbedding(body: unknown): AskedEmbeddings {
  const { model, input, encoding_format } = read(body, embeddingBody);
  return { model, inputs: listOf(input), base64: encoding_format === "base64" };
}

function listOf(input: z.output<typeof completionBody>["prompt"]) {
  if (typeof input === "string") return [input];
  return typeof input[0] === "number" ? [input as number[]] : input as string[] | number[][];
}

function asked(
  body: z.output<z.ZodObject<typeof drawing>>,
  prompts: AskedAnswers["prompts"],
  maxTokens = body.max_tokens,
): AskedAnswers {
  const { temperature, top_p, top_k, min_p, repetition_penalty, seed, stop = [] } = body;
  const given = {
    temperature,
    topP: top_p,
    topK: top_k,
    minP: min_p,
    repetitionPenalty: repetition_penalty,
    seed: seed === undefined ? undefined : seed >>> 0,
  };
  const form = body.response_format;
  if (form?.type === "json_schema") checkSchema(form.json_schema.schema ?? true);
  return {
    model: body.model,
    prompts,
    sampling: Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined)),
    maxTokens,
    n: body.n ?? 1,
    stops: (typeof stop === "string" ? [stop] : stop).filter((text) => text !== ""),
    stream: body.stream ?? false,
    usage: body.stream_options?.include_usage ?? false,
    form: form?.type === "json_object"
      ? { name: "json_object", schema: { type: "object" } }
      : form?.type === "json_schema"
      ? { name: form.json_schema.name, schema: form.json_schema.schema ?? true }
      : undefined,
    free: form?.type === "text",
  };
}

/** Characters of a schema: more takes longer to read than to answer. */
const LONGEST_SCHEMA = 65_536;

/** @throws ApiError (400) for a schema that would keep the server busy */
function checkSchema(schema: unknown): void {
  if (JSON.stringify(schema).length <= LONGEST_SCHEMA) return;
  const field = "response_format.json_schema.schema";
  throw invalid(`${field} has more than ${LONGEST_SCHEMA} characters`, field);
}

const unsupported = (name: string, param = name) =>
  new ApiError(
    400,
    `${name} is not supported${INSTEAD[name] ?? ""}`,
    "unsupported_parameter",
    param,
  );

function read<T extends z.ZodObject>(body: unknown, schema: T): z.output<T> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw invalid("the body must be a JSON object", undefined, "invalid_json");
  }
  for (const [name, value] of Object.entries(body)) {
    if (name in schema.shape || IGNORED.has(name) || value === null) continue;
    const off = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
    if (!off) throw new ApiError(400, `unknown parameter: ${name}`, "unknown_parameter", name);
    if (!off(value)) throw unsupported(name);
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const { path, message } = deepest(parsed.error.issues[0]!);
  const param = path.map(String).join(".");
  const missing = path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown>)?.[key],
    body,
  );
  throw missing === undefined
    ? invalid(`missing: ${param}`, param, "missing_required_parameter")
    : invalid(`${param}: ${message}`, param);
}

/** Of what could be one of several things, what was wrong with that which came closest. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors.flat().sort((a, b) => b.path.length - a.path.length)[0];
  if (!inner || inner.path.length === 0) return issue;
  const found = deepest(inner);
  return { ...found, path: [...issue.path, ...found.path] };
}
