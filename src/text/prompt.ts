import { Exit, Fail } from "../base/fail.ts";
import type { ChatTemplate, Message, RenderOptions } from "./chat_template.ts";
import { sectionWeights } from "./sections.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { quoteSpecials, unquote } from "./quoted.ts";
import { prependsSpace } from "./tokenizer_json.ts";

/** A label that takes no part in the loss. */
export const ignoredLabel = -100;

/** What a model is asked: a text as it is, or a conversation for the chat template. */
export type Prompt = { readonly prompt: string } | { readonly messages: readonly Message[] };

/** What a model learns: an answer to a prompt, the assistant's turns, or a whole text. */
export type Example =
  | { readonly prompt: string; readonly answer: string }
  | { readonly messages: readonly Message[] }
  | { readonly text: string };

export interface EncodedExample {
  readonly ids: number[];
  /** As long as ids, not shifted: ids[i] where position i is trained, -100 elsewhere. */
  readonly labels: number[];
  /** What each label counts, where not all count the same; 0 where none is trained. */
  readonly weights?: number[];
  /** How many labels are trained. */
  readonly supervised: number;
}

export interface ExampleOptions {
  /** Needed for messages. */
  readonly template?: ChatTemplate;
  /** Which assistant turns are trained; all by default. Turns with weight 0 never are. */
  readonly turns?: "all" | "last";
  /**
   * What is trained: answers (default), every token of the row whatever its turns say, or answers in which
   * sections of these names have a weight of their own; see `sectionWeights`.
   */
  readonly lossOn?: "response" | "all" | ReadonlyMap<string, number>;
  /** Passed on to the template. */
  readonly render?: Omit<RenderOptions, "addGenerationPrompt">;
}

/** Ids of a text with nothing put before or after it; quoted special tokens stay text. */
function encodeQuoted(tokenizer: Tokenizer, quoted: string): number[] {
  const { text, plain } = unquote(quoted);
  return tokenizer.encode(text, { special: false, plain });
}

/** The same for a text that follows other text. */
function continuation(tokenizer: Tokenizer, text: string): number[] {
  if (text === "" || !prependsSpace(tokenizer)) return encodeQuoted(tokenizer, text);
  const anchor = tokenizer.encode("\n", { special: false });
  return encodeQuoted(tokenizer, `\n${text}`).slice(anchor.length);
}

function opening(tokenizer: Tokenizer, prompt: string): number[] {
  const ids = tokenizer.encode(prompt);
  return tokenizer.suffix.length === 0 ? ids : ids.slice(0, -tokenizer.suffix.length);
}

function needTemplate(template: ChatTemplate | undefined): ChatTemplate {
  if (template !== undefined) return template;
  throw new Fail("the rows are conversations, but the model has no chat template", {
    fix: "give one, or choose the plain default template",
    exit: Exit.data,
  });
}

/**
 * Ids of what the model is asked. A prompt gets the tokenizer's special tokens (BOS, once); a
 * conversation is rendered with the generation prompt, and the template's own BOS is the only one.
 * Special tokens come from the template: what a message that is not the assistant's spells out like
 * one stays text, so that it cannot end its own turn.
 */
export function encodePrompt(
  tokenizer: Tokenizer,
  prompt: Prompt,
  { template, render }: ExampleOptions = {},
): number[] {
  if ("prompt" in prompt) return opening(tokenizer, prompt.prompt);
  const text = needTemplate(template).render(quoteSpecials(tokenizer, prompt.messages), {
    ...render,
    addGenerationPrompt: true,
  });
  return encodeQuoted(tokenizer, text);
}

function endToken({ eos }: Tokenizer): number {
  if (eos !== undefined) return eos;
  throw new Fail("the tokenizer has no end-of-sequence token", {
    why: "without it the model cannot learn where an answer ends",
    fix: "set eos_token in tokenizer_config.json",
    exit: Exit.data,
  });
}

/** The ids with exactly one end token at the end: kept where it is there, added where it is not. */
function endedOnce(tokenizer: Tokenizer, ids: readonly number[]): number[] {
  const isEnd = (id: number | undefined) => id !== undefined && tokenizer.eosIds.includes(id);
  let length = ids.length;
  while (isEnd(ids[length - 1]) && isEnd(ids[length - 2])) length--;
  const kept = ids.slice(0, length);
  return isEnd(kept.at(-1)) ? kept : [...kept, endToken(tokenizer)];
}

/** Collects trained and untrained runs of ids. */
class Row {
  readonly ids: number[] = [];
  readonly labels: number[] = [];
  readonly #weights: number[] = [];
  #weighted = false;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly lossOn: NonNullable<ExampleOptions["lossOn"]> = "response",
  ) {}

  add(ids: readonly number[], answer: boolean): void {
    const { lossOn } = this, trained = answer || lossOn === "all";
    const weights = trained && typeof lossOn !== "string"
      ? sectionWeights(this.tokenizer, ids, lossOn)
      : undefined;
    this.#weighted ||= weights !== undefined;
    ids.forEach((id, i) => {
      const weight = trained ? weights?.[i] ?? 1 : 0;
      this.ids.push(id);
      this.labels.push(weight > 0 ? id : ignoredLabel);
      this.#weights.push(weight);
    });
  }

  done(): EncodedExample {
    const supervised = this.labels.filter((label) => label !== ignoredLabel).length;
    if (supervised === 0) {
      throw new Fail("the row has nothing to train on", {
        why: "there is no answer and no assistant turn with a weight",
        fix: "add an answer, or remove the row",
        exit: Exit.data,
      });
    }
    const { ids, labels } = this;
    return { ids, labels, supervised, ...(this.#weighted ? { weights: this.#weights } : {}) };
  }
}

function encodeConversation(
  tokenizer: Tokenizer,
  given: readonly Message[],
  { template, turns = "all", render, lossOn }: ExampleOptions,
): EncodedExample {
  const { render: draw } = needTemplate(template);
  const messages = quoteSpecials(tokenizer, given);
  const answers = [...messages.keys()].filter((i) => messages[i]!.role === "assistant");
  const chosen = (turns === "all" ? answers : answers.slice(-1))
    .filter((i) => messages[i]!.weight !== 0);

  const row = new Row(tokenizer, lossOn);
  let done = "";
  const extend = (text: string): string => {
    if (!text.startsWith(done)) {
      throw new Fail("the chat template changes earlier turns when later ones follow", {
        why: "then it cannot be known which tokens of an earlier answer are trained",
        fix: "train on the last turn only, or give another template",
        exit: Exit.data,
      });
    }
    const added = text.slice(done.length);
    done = text;
    return added;
  };
  for (const index of chosen) {
    const before = draw(messages.slice(0, index), { ...render, addGenerationPrompt: true });
    const through = draw(messages.slice(0, index + 1), render);
    if (!through.startsWith(before)) {
      throw new Fail("the chat template writes an answer differently than it asks for one", {
        why: `the prompt ends in ${JSON.stringify(before.slice(-40))}, the turn does not begin so`,
        fix: "give a template whose assistant turn begins with its generation prompt",
        exit: Exit.data,
      });
    }
    row.add(continuationOrStart(tokenizer, extend(before), row), false);
    const answer = continuation(tokenizer, extend(through));
    const end = answer.findIndex((id) => tokenizer.eosIds.includes(id));
    if (end >= 0) {
      row.add(answer.slice(0, end + 1), true);
      row.add(answer.slice(end + 1), false);
    } else if (index === messages.length - 1) row.add([...answer, endToken(tokenizer)], true);
    else row.add(answer, true);
  }
  if (chosen.at(-1) !== messages.length - 1) {
    row.add(continuationOrStart(tokenizer, extend(draw(messages, render)), row), false);
  }
  return row.done();
}

/** The first text of a rendered conversation may begin with a space of the tokenizer's own. */
const continuationOrStart = (tokenizer: Tokenizer, text: string, row: Row): number[] =>
  row.ids.length === 0 ? encodeQuoted(tokenizer, text) : continuation(tokenizer, text);

/**
 * Ids and labels of one training row. Which positions are trained is known by construction: prompt
 * and answer are tokenised apart, so no token straddles them and the prompt has the very ids that it
 * has when the model is asked (encodePrompt).
 *
 * - prompt and answer: the answer is trained and ends with exactly one end token
 * - messages: each assistant turn from the generation prompt to its end token is trained; where the
 *   template ends the last turn without one, it is added
 * - text: everything is trained, with an end token
 * - `lossOn` trains more, or weighs it; the ids are the same
 *
 * Nothing is cut, however long the row.
 * @throws Fail when nothing is trained, or the template does not let the turns be told apart
 */
export function encodeExample(
  tokenizer: Tokenizer,
  example: Example,
  options: ExampleOptions = {},
): EncodedExample {
  if ("messages" in example) return encodeConversation(tokenizer, example.messages, options);
  const row = new Row(tokenizer, options.lossOn);
  if ("text" in example) row.add(endedOnce(tokenizer, opening(tokenizer, example.text)), true);
  else {
    row.add(opening(tokenizer, example.prompt), false);
    row.add(endedOnce(tokenizer, continuation(tokenizer, example.answer)), true);
  }
  return row.done();
}
