import type { Sampling } from "../../generate/generator.ts";
import { readText, type TextAnswer } from "../../generate/text.ts";
import { lockDifferences, promptLock, systemOf } from "../../data/prompt_lock.ts";
import type { Message } from "../../text/chat_template.ts";
import { encodePrompt } from "../../text/prompt.ts";
import { CAREFUL } from "../local.ts";
import type { AskedAnswers, AskedEmbeddings } from "./asked.ts";
import { ApiError, apiError, errorBody, invalid } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Metrics } from "./metrics.ts";
import type { Answering, Served } from "./served.ts";

/** What a request may ask for at most. */
export interface Limits {
  /** Tokens of an answer, and what it gets where the request does not say. */
  readonly maxTokens: number;
  /** Answers of one model that wait for a slot. */
  readonly queue: number;
  /** Seconds that a request may take. */
  readonly seconds: number;
  /** Bytes of a body. */
  readonly body: number;
}

/** What is served, and how. */
export interface House {
  /** By name, the one that is meant where a request names none first. */
  readonly models: ReadonlyMap<string, Served>;
  readonly answering: Answering;
  /** How answers are drawn where a request does not say; without a seed each request has another. */
  readonly sampling: Omit<Sampling, "seed"> & { readonly seed?: number };
  readonly limits: Limits;
  /** What happens under another prompt than that of the training. */
  readonly promptLock: "complete" | "warn" | "strict";
  readonly metrics: Metrics;
}

/** @throws ApiError (404) naming those there are */
export function modelNamed({ models }: House, name: string | undefined): Served {
  const found = name === undefined ? models.values().next().value : models.get(name);
  if (found) return found;
  throw new ApiError(
    404,
    `there is no model "${name}"; there are: ${[...models.keys()].join(", ")}`,
    "model_not_found",
    "model",
  );
}

/** How the prompt of a conversation stands to that of the training, as the header whet-prompt says it. */
type Standing = "trained" | "completed" | "differs" | undefined;

interface Prompts {
  readonly ids: readonly (readonly number[])[];
  readonly standing: Standing;
}

function promptsOf(house: House, model: Served, { prompts }: AskedAnswers): Prompts {
  const { tokenizer, template, trained } = model;
  if (!("messages" in prompts)) {
    const ids = prompts.map((given) =>
      typeof given === "string" ? encodePrompt(tokenizer, { prompt: given }) : given
    );
    return { ids, standing: undefined };
  }
  if (!template) {
    throw invalid(
      `${model.name} has no chat template: ask /v1/completions`,
      "model",
      "no_template",
    );
  }
  let messages: readonly Message[] = prompts.messages, completed = false;
  if (
    house.promptLock === "complete" && trained?.system !== undefined &&
    systemOf(messages) === undefined
  ) {
    messages = [{ role: "system", content: trained.system }, ...messages];
    completed = true;
  }
  const differ = trained
    ? lockDifferences(trained, promptLock([{ messages }], template.source, tokenizer))
    : [];
  if (differ.length > 0 && house.promptLock === "strict") {
    throw invalid(
      `${model.name} was trained under another prompt: ${differ.join("; ")}`,
      "messages",
      "prompt_differs",
    );
  }
  if (differ.length > 0) house.metrics.differs.add(1, { model: model.name });
  const render = { variables: prompts.variables } as object;
  return {
    ids: [encodePrompt(tokenizer, { messages }, { template, render })],
    standing: !trained
      ? undefined
      : differ.length > 0
      ? "differs"
      : completed
      ? "completed"
      : "trained",
  };
}

/** What was submitted for one request. */
interface Begun extends Prompts {
  readonly model: Served;
  readonly read: (told: (choice: number, piece: string) => void) => Promise<TextAnswer>[];
}

/**
 * Submits all answers of a request, or none.
 * @throws ApiError (400) for what cannot be answered, (429) where too many wait
 */
function begin(house: House, asked: AskedAnswers, exchange: Exchange): Begun {
  const model = modelNamed(house, asked.model), { generator, tokenizer, context, vocab } = model;
  exchange.model = model.name;
  if (!generator) throw invalid(`${model.name} makes embeddings only`, "model", "no_answers");
  const prompts = promptsOf(house, model, asked);
  for (const ids of prompts.ids) {
    const outside = ids.find((id) => id >= vocab);
    if (outside !== undefined) {
      throw invalid(`id ${outside} is outside the vocabulary of ${vocab}`, "prompt");
    }
    if (ids.length === 0) throw invalid("a prompt has no tokens", "prompt");
    if (ids.length < context) continue;
    throw invalid(
      `a prompt has ${ids.length} tokens; prompt and answer together may have ${context}`,
      "messages" in asked.prompts ? "messages" : "prompt",
      "context_length_exceeded",
    );
  }
  const { limits, sampling: usual } = house, count = prompts.ids.length * asked.n;
  const { waiting, running, size: { slots } } = generator;
  if (count > limits.queue + slots) {
    throw invalid(`${count} answers in one request; ${limits.queue + slots} are the most`, "n");
  }
  if (waiting + running + count > limits.queue + slots) throw tooMany(house, waiting, slots);
  const grammar = grammarOf(house, asked);
  const seed = usual.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!;
  const sampling = { ...usual, seed, ...asked.sampling };
  const maxTokens = Math.min(asked.maxTokens ?? limits.maxTokens, limits.maxTokens);
  const stop = new Set(tokenizer.eosIds);
  try {
    const generations = prompts.ids.flatMap((ids) =>
      Array.from({ length: asked.n }, (_, stream) => {
        const made = generator.submit({ ids, maxTokens, stop, sampling, stream, grammar });
        exchange.add(made);
        return made;
      })
    );
    exchange.promptTokens = prompts.ids.reduce((sum, ids) => sum + ids.length, 0);
    house.metrics.promptTokens.add(exchange.promptTokens, { model: model.name });
    const read: Begun["read"] = (told) =>
      generations.map(async (generation, i) => {
        const answer = await readText(
          generation,
          tokenizer,
          asked.stops,
          (piece) => told(i, piece),
        );
        exchange.answerTokens += answer.ids.length;
        house.metrics.answerTokens.add(answer.ids.length, { model: model.name });
        return answer;
      });
    return { ...prompts, model, read };
  } catch (error) {
    exchange.cancel();
    throw error;
  }
}

/** @throws ApiError (400) where a request's own form cannot be kept */
function grammarOf({ answering }: House, asked: AskedAnswers) {
  try {
    return answering.grammar(asked);
  } catch (error) {
    const { status, message, code } = apiError(error);
    throw new ApiError(status, message, code, asked.form ? "response_format" : undefined);
  }
}

function tooMany({ metrics }: House, waiting: number, slots: number): ApiError {
  const seconds = Math.min(60, Math.max(1, Math.ceil((metrics.whole.mean * waiting) / slots)));
  return new ApiError(429, `${waiting} requests wait already`, "queue_full", undefined, {
    "retry-after": String(seconds),
  });
}

const finishOf = ({ finish }: TextAnswer) => finish === "length" ? "length" : "stop";

const usageOf = ({ promptTokens, answerTokens }: Exchange) => ({
  prompt_tokens: promptTokens,
  completion_tokens: answerTokens,
  total_tokens: promptTokens + answerTokens,
});

/** The objects that one kind of request is answered with. */
interface Shape {
  readonly id: string;
  readonly whole: string;
  readonly piece: string;
  choice(text: string): object;
  /** @param text undefined: only that the choice ends */
  delta(text: string | undefined, first: boolean): object;
}

const CHAT: Shape = {
  id: "chatcmpl-",
  whole: "chat.completion",
  piece: "chat.completion.chunk",
  choice: (content) => ({ message: { role: "assistant", content, refusal: null } }),
  delta: (content, first) => ({
    delta: content === undefined ? {} : { ...(first ? { role: "assistant" } : {}), content },
  }),
};
const COMPLETION: Shape = {
  id: "cmpl-",
  whole: "text_completion",
  piece: "text_completion",
  choice: (text) => ({ text }),
  delta: (text = "") => ({ text }),
};

const standingHeader = (standing: Standing): Record<string, string> =>
  standing === undefined ? {} : { "whet-prompt": standing };

/**
 * Answers a request for text, at once or in pieces as they come.
 * @throws ApiError for what is refused or was ended before it was whole
 */
export async function answer(
  house: House,
  asked: AskedAnswers,
  exchange: Exchange,
): Promise<Response> {
  const begun = begin(house, asked, exchange);
  const shape = "messages" in asked.prompts ? CHAT : COMPLETION;
  const common = {
    id: shape.id + exchange.id,
    created: Math.floor(Date.now() / 1000),
    model: begun.model.name,
  };
  let heard = false;
  const first = () => {
    if (!heard) house.metrics.first.observe(exchange.seconds);
    heard = true;
  };
  const extra = (text: string) => {
    const told = house.answering.told(text, asked);
    return told === undefined ? {} : { whet: told };
  };
  const headers = { ...CAREFUL, ...standingHeader(begun.standing) };
  if (asked.stream) {
    const stream = pieces(asked, exchange, begun, { shape, common, first, extra });
    const type = { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" };
    return new Response(stream, { headers: { ...headers, ...type } });
  }
  const answers = await Promise.all(begun.read(first));
  exchange.check();
  const choices = answers.map((answer, index) => ({
    index,
    ...shape.choice(answer.text),
    logprobs: null,
    finish_reason: finishOf(answer),
    ...extra(answer.text),
  }));
  return Response.json({ ...common, object: shape.whole, choices, usage: usageOf(exchange) }, {
    headers,
  });
}

/** A line that says nothing, so that a quiet connection is not thought dead; milliseconds between two. */
const PING = 10_000;

interface Telling {
  readonly shape: Shape;
  readonly common: object;
  readonly first: () => void;
  readonly extra: (text: string) => object;
}

/** Server-sent events: pieces of choices, the end of each, usage where asked for, [DONE]. */
function pieces(
  asked: AskedAnswers,
  exchange: Exchange,
  begun: Begun,
  { shape, common, first, extra }: Telling,
): ReadableStream<Uint8Array> {
  const utf8 = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async start(controller) {
      const line = (text: string) => {
        if (exchange.ended !== "left") controller.enqueue(utf8.encode(text));
      };
      const send = (value: object) => line(`data: ${JSON.stringify(value)}\n\n`);
      const chunk = (choices: readonly object[], usage: object | null = null) =>
        send({ ...common, object: shape.piece, choices, ...(asked.usage ? { usage } : {}) });
      const ping = setInterval(() => line(": waiting\n\n"), PING);
      const begunChoices = new Set<number>();
      const piece = (index: number, text: string) => {
        first();
        const opens = !begunChoices.has(index);
        begunChoices.add(index);
        chunk([{ index, ...shape.delta(text, opens), logprobs: null, finish_reason: null }]);
      };
      try {
        await Promise.all(
          begun.read(piece).map(async (whole, index) => {
            const answer = await whole;
            if (exchange.ended) return;
            if (!begunChoices.has(index)) piece(index, "");
            const end = { logprobs: null, finish_reason: finishOf(answer), ...extra(answer.text) };
            chunk([{ index, ...shape.delta(undefined, false), ...end }]);
          }),
        );
        exchange.check();
        if (asked.usage) chunk([], usageOf(exchange));
        line("data: [DONE]\n\n");
      } catch (error) {
        const refused = apiError(error);
        exchange.failed = refused.status;
        send(errorBody(refused));
      } finally {
        clearInterval(ping);
        exchange.finish();
        if (exchange.ended !== "left") controller.close();
      }
    },
    cancel: () => exchange.end("left"),
  });
}

/** Answers a request for embeddings. */
export async function embeddings(
  house: House,
  asked: AskedEmbeddings,
  exchange: Exchange,
): Promise<Response> {
  const model = modelNamed(house, asked.model);
  exchange.model = model.name;
  if (!model.embed) {
    const message = `${model.name} makes no embeddings here: whet serve --embeddings`;
    throw invalid(message, "model", "no_embeddings");
  }
  const { vectors, tokens } = await model.embed(asked.inputs);
  exchange.check();
  exchange.promptTokens = tokens;
  house.metrics.promptTokens.add(tokens, { model: model.name });
  const data = vectors.map((vector, index) => ({
    object: "embedding",
    index,
    embedding: asked.base64
      ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64")
      : [...vector],
  }));
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  return Response.json({ object: "list", data, model: model.name, usage }, { headers: CAREFUL });
}
