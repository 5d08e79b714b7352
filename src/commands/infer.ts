import { Exit, Fail } from "../base/fail.ts";
import { plural } from "../base/text.ts";
import type { Sampling } from "../../kernels/sample/sample.ts";
import type { Generation } from "../generate/generator.ts";
import { inferSettings } from "../settings/use.ts";
import type { ChatTemplate, Message } from "../text/chat_template.ts";
import { encodePrompt } from "../text/prompt.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { command } from "./command.ts";
import { checked, grammarOf, schemaOf } from "./constrained.ts";
import { checkPrompt } from "./prompt_check.ts";
import { routed, routedTold } from "./routed.ts";
import { asIds, asObject, badRows, type Complaint, type Numbered, readRows } from "./rows.ts";
import { systemText, textsOf } from "./texts.ts";

const EXAMPLE =
  '{"prompt":"Hello"} or {"messages":[{"role":"user","content":"Hello"}]} or {"ids":[1,2]}';

/** Requests computed side by side, and prompt tokens computed in one run. */
const SLOTS = 8;
const PREFILL = 128;

/** The generator for requests of which the longest has so many tokens. */
export const generatorSize = (requests: number, longest: number, maxTokens: number) => ({
  slots: Math.min(SLOTS, requests),
  context: Math.ceil((longest + maxTokens + 1) / 64) * 64,
  prefill: Math.min(PREFILL, Math.ceil(longest / 16) * 16),
});

/** What --temp and the like say. */
export const samplingOf = (s: {
  readonly temp: number;
  readonly top_p: number;
  readonly top_k?: number;
  readonly min_p?: number;
  readonly repetition_penalty?: number;
  readonly seed: number;
}): Sampling => ({
  temperature: s.temp,
  topP: s.top_p,
  topK: s.top_k,
  minP: s.min_p,
  repetitionPenalty: s.repetition_penalty,
  seed: s.seed,
});

export const noTemplate = (what: string): Fail =>
  new Fail("this model has no chat template", {
    why: "it says how a conversation is written down",
    fix: `${what} one: --template FILE, --template plain`,
    exit: Exit.data,
  });

/** \n and \t as they are typed in a shell. */
const unescaped = (text: string) =>
  text.replace(/\\([nt\\])/g, (_, c) => c === "n" ? "\n" : c === "t" ? "\t" : "\\");

type Asked = { ids: number[] } | { prompt: string } | { messages: Message[] };
interface Row {
  readonly asked: Asked;
  readonly id?: unknown;
}

export const infer = command({
  section: "infer",
  examples: [
    'whet infer -m ./model -p "Once upon a time"',
    `echo '{"prompt":"Hello"}' | whet infer -m ./model -a ./run --json`,
    "whet infer -m ./model -a ./run --json < prompts.jsonl > answers.jsonl",
    'whet infer -m ./model -a ./run --chat -p "water the beans" --thresholds .9,.7,.5 --json',
    'whet infer -m ./model -a ./run --chat -p "water the beans" --schema schemas/garden.yaml',
  ],
  details:
    'Rows are {"prompt"}, {"messages"} or {"ids"}; answers come in their order, with --json as ' +
    '{"ids","text","finish_reason"}. finish_reason is "stop" where the model ended its answer and ' +
    '"length" where --max-tokens did. Messages go through the chat template of the model. --sections ' +
    "adds each section of an answer and _valid; --thresholds adds the action that its confidence allows: " +
    "execute, confirm, clarify or ask. --schema holds answers to a schema token by token; an answer is " +
    "then always whole within --max-tokens, and checked once more after it is made: _valid.",
  settings: inferSettings,
  async run(settings, io) {
    const { id_field, max_tokens } = settings;
    const system = systemText(settings.system);
    const read = (value: unknown) => rowOf(value, id_field);
    const given: Numbered<Row>[] = settings.prompt === undefined
      ? await readRows<Row>(io, settings.rows, read, EXAMPLE)
      : [{ line: 1, row: { asked: { prompt: settings.prompt } } }];
    const { tokenizer, template } = await textsOf(settings.model, settings.template);
    const chat = settings.chat || system !== undefined;
    if (chat && template === undefined) throw noTemplate("leave --chat and --system out, or give");
    const complaints: Complaint[] = [];
    const rows = given.map(({ line, row }) => ({
      line,
      row: { ...row, asked: inChat(row.asked, chat, system) },
    }));
    const questions = rows.map(({ row }) => row.asked);
    checkPrompt(
      settings,
      questions,
      { tokenizer, template },
      settings.strict_prompt,
      io,
    );
    const encoded = rows.map(({ line, row }) => {
      try {
        return encode(row.asked, tokenizer, template);
      } catch (error) {
        if (!(error instanceof Fail)) throw error;
        complaints.push({
          line,
          reason: error.message,
          text: JSON.stringify(row.asked).slice(0, 60),
        });
        return [];
      }
    });
    // Only now what computes is needed: help and bad rows are answered without it.
    const [{ load, openBoth }, { Generator }, { readText: readAnswer }] = await Promise.all([
      import("./loaded.ts"),
      import("../generate/generator.ts"),
      import("../generate/text.ts"),
    ]);
    using opened = await openBoth(settings);
    const { vocab, context } = opened.model.sizes;
    const schema = settings.schema === undefined ? undefined : schemaOf(settings.schema);
    const sections = settings.sections ?? [];
    const grammar = schema && grammarOf(schema, sections, tokenizer, vocab);
    for (const [i, ids] of encoded.entries()) {
      const outside = ids.find((id) => id >= vocab);
      if (complaints.some((c) => c.line === rows[i]!.line)) continue;
      const reason = outside !== undefined
        ? `id ${outside} is outside the vocabulary of ${vocab}`
        : ids.length === 0
        ? "the prompt has no tokens"
        : ids.length >= context
        ? `the prompt has ${ids.length} tokens, prompt and answer together may have ${context}`
        : undefined;
      if (reason === undefined) continue;
      complaints.push({ line: rows[i]!.line, reason, text: JSON.stringify(ids.slice(0, 12)) });
    }
    if (complaints.length > 0) {
      const { prompt, rows: path } = settings;
      const name = prompt !== undefined ? "--prompt" : path === "-" ? "stdin" : path;
      throw badRows(name, complaints.slice(0, 20), complaints.length, rows.length, EXAMPLE);
    }
    using loaded = await load(opened, settings, io);
    const longest = Math.max(...encoded.map((ids) => ids.length));
    const size = generatorSize(rows.length, longest, max_tokens);
    const { model, memory, adapted } = loaded;
    const generator = await Generator.create(model, memory, size, adapted);
    const requests = encoded.map((ids) => ({
      ids,
      maxTokens: Math.min(max_tokens, context - ids.length),
    }));
    const sampling = samplingOf(settings), stops = settings.stop.map(unescaped);
    const began = performance.now();
    let done = 0;
    let tokens = 0;
    // One answer is shown as it comes; of several each as a line, in order.
    const told = rows.length === 1 ? (piece: string) => io.piece(piece) : undefined;
    const how = { stop: new Set(tokenizer.eosIds), sampling, grammar };
    const heard = (generation: Generation) => readAnswer(generation, tokenizer, stops, told);
    for await (const { ids, text, finish } of generator.inOrder(requests, how, heard)) {
      const { row } = rows[done++]!;
      const id = id_field === undefined ? {} : { [id_field]: row.id };
      const fits = schema ? checked(text, schema, sections) : {};
      const route = { ...routed(text, settings), ...fits };
      io.result({ ...id, ids, text, finish_reason: finish, ...route });
      io.out(told ? "" : text);
      const note = routedTold(route);
      if (note) io.note(note);
      tokens += ids.length;
      io.progress(`${done} of ${rows.length} answers`);
      if (io.closed || io.stop.requested) break;
    }
    generator.free();
    const seconds = (performance.now() - began) / 1000;
    io.detail(
      `${plural(tokens, "token")} in ${seconds.toFixed(1)} s, ${
        (tokens / seconds).toFixed(1)
      } a second`,
    );
  },
});

function rowOf(value: unknown, idField: string | undefined): Row | string {
  const row = asObject(value);
  if (!row) return "not an object";
  const id = idField === undefined ? undefined : row[idField];
  if (idField !== undefined && id === undefined) return `no "${idField}"`;
  if (row.ids !== undefined) {
    const ids = asIds(row.ids);
    return typeof ids === "string" ? ids : { asked: { ids }, id };
  }
  if (typeof row.prompt === "string") return { asked: { prompt: row.prompt }, id };
  if (row.messages === undefined) return `none of "prompt", "messages", "ids"`;
  if (!Array.isArray(row.messages) || row.messages.length === 0) return `"messages" must be a list`;
  const odd = row.messages.findIndex((message) => typeof asObject(message)?.role !== "string");
  if (odd >= 0) return `"messages"[${odd}] has no "role"`;
  return { asked: { messages: row.messages as Message[] }, id };
}

/** What is asked, as it goes to the model: with --chat a prompt is what a user says. */
function inChat(asked: Asked, chat: boolean, system: string | undefined): Asked {
  if ("ids" in asked || !chat) return asked;
  const turns = "messages" in asked ? asked.messages : [{ role: "user", content: asked.prompt }];
  const first = system === undefined || turns[0]?.role === "system"
    ? []
    : [{ role: "system", content: system }];
  return { messages: [...first, ...turns] };
}

function encode(asked: Asked, tokenizer: Tokenizer, template: ChatTemplate | undefined): number[] {
  return "ids" in asked ? asked.ids : encodePrompt(tokenizer, asked, { template });
}
