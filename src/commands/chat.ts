import { existsSync } from "node:fs";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { beside } from "../base/text.ts";
import type { Generation, Generator } from "../generate/generator.ts";
import { chatSettings } from "../settings/use.ts";
import type { Message } from "../text/chat_template.ts";
import { encodePrompt } from "../text/prompt.ts";
import { command } from "./command.ts";
import type { Io } from "./io.ts";
import { checked, grammarOf, schemaOf } from "./constrained.ts";
import { noTemplate, samplingOf } from "./infer.ts";
import { systemText, textsOf } from "./texts.ts";
import { turnsOf } from "./turns.ts";

/** Tokens of a conversation at most, where the model could hold more: the cache has room for all of them. */
const CONTEXT = 4096;
const PREFILL = 256;
/** Columns of a terminal in which two answers have room beside each other. */
const WIDE = 100;

const COMMANDS = `/reset         begin the conversation anew
/system TEXT   the same with this system message, @FILE from a file; without TEXT: show it
/save FILE     write the conversation as a row that whet train sft reads
/quit          end, as Ctrl-D does
A line that ends in \\ goes on with the next; """ begins and ends a text of several lines.`;

/** One side of the conversation: a model, and what it and the user said. */
interface Speaker {
  readonly name: string;
  readonly generator: Generator;
  readonly messages: Message[];
}

export const chat = command({
  section: "chat",
  examples: [
    "whet chat -m ./model -a ./run",
    "whet chat -m ./model -a ./run --compare base",
    "whet chat -m model.gguf --temp 0.7 --top-p 0.95",
    "whet chat -m ./model -a ./run --schema schemas/garden.yaml",
  ],
  details:
    "Each line you type is a turn; a line that ends in a backslash goes on with the next, and a text of " +
    'several lines stands between """ and """. /reset begins the conversation anew, /system TEXT with ' +
    "another system message, /save FILE writes it as a row to train on, /quit or Ctrl-D ends it. Where " +
    "stdin is not a terminal its lines are read in the same way. With --compare base each line is also " +
    "put to the model without its adapter, which has a conversation of its own; in a terminal of 100 " +
    "columns both answers are shown beside each other in the end.",
  settings: chatSettings,
  async run(settings, io) {
    if (settings.compare && settings.adapter === undefined) {
      throw new Fail("--compare base needs an adapter to compare with", {
        why: "without one both sides are the same",
        fix: "name a run: -a RUN",
        exit: Exit.usage,
      });
    }
    const { tokenizer, template } = await textsOf(settings.model, settings.template);
    if (template === undefined) throw noTemplate("give");
    let system = systemText(settings.system);
    const [{ load, openBoth }, { Generator }, { readText }] = await Promise.all([
      import("./loaded.ts"),
      import("../generate/generator.ts"),
      import("../generate/text.ts"),
    ]);
    using opened = await openBoth(settings);
    const schema = settings.schema === undefined ? undefined : schemaOf(settings.schema);
    const sections = settings.sections ?? [];
    const grammar = schema &&
      grammarOf(schema, sections, tokenizer, opened.model.sizes.vocab);
    using loaded = await load(opened, settings, io);
    const { model, memory, adapted } = loaded;
    const context = Math.min(model.sizes.context, CONTEXT);
    const size = { slots: 1, context, prefill: Math.min(PREFILL, context) };
    const begin = (): Message[] =>
      system === undefined ? [] : [{ role: "system", content: system }];
    const speakers: Speaker[] = [];
    for (const name of [...(settings.compare ? ["base"] : []), "model"]) {
      const generator = await Generator.create(model, memory, size, name === "base" ? {} : adapted);
      speakers.push({ name, generator, messages: begin() });
    }

    const sampling = samplingOf(settings), stop = new Set(tokenizer.eosIds);
    const ask = (messages: Message[], generator: Generator): Generation => {
      const ids = encodePrompt(tokenizer, { messages }, { template });
      return generator.submit({ ids, maxTokens: settings.max_tokens, stop, sampling, grammar });
    };
    const reset = () => {
      for (const { messages } of speakers) messages.splice(0, messages.length, ...begin());
      io.note("a new conversation");
    };
    const answered = async (said: string) => {
      const answers: Record<string, string> = {};
      for (const { name, generator, messages } of speakers) {
        messages.push({ role: "user", content: said });
        try {
          const generation = ask(messages, generator);
          if (speakers.length > 1) io.piece(`${name.padEnd(5)}  `);
          const answer = await readText(generation, tokenizer, [], (piece) => io.piece(piece));
          io.out("");
          messages.push({ role: "assistant", content: answer.text });
          answers[name] = answer.text;
        } catch (error) {
          if (!(error instanceof Fail) || error.exit !== Exit.data) throw error;
          messages.pop();
          io.note(`${error.message}: /reset begins a new conversation`);
        }
      }
      const { model: answer, base } = answers, { width } = io;
      if (typed && width >= WIDE && answer !== undefined && base !== undefined) {
        io.out(`\n${beside(`base\n${base}`, `model\n${answer}`, width)}\n`);
      }
      const fits = schema && answer !== undefined ? checked(answer, schema, sections) : {};
      io.result({ prompt: said, answer, base, ...fits });
    };
    const typed = process.stdin.isTTY === true && !io.json;
    const ready = () => typed && io.piece("> ");
    const lines = io.lines("-", "type a line; /help lists what else can be typed");
    ready();
    for await (const turn of turnsOf(lines, () => typed && io.piece(". "))) {
      if ("say" in turn) {
        if (turn.say !== "") await answered(turn.say);
      } else if ("unknown" in turn) {
        io.note(`there is no ${turn.unknown}; /help lists what there is`);
      } else if (turn.command === "quit") break;
      else if (turn.command === "reset") reset();
      else if (turn.command === "help") io.note(COMMANDS);
      else if (turn.command === "save") await save(turn.text, speakers.at(-1)!.messages, io);
      else if (turn.text === "") io.note(system ?? "there is no system message");
      else {
        try {
          system = systemText(turn.text);
          reset();
        } catch (error) {
          if (!(error instanceof Fail)) throw error;
          io.note(error.message);
        }
      }
      if (io.closed || io.stop.requested) break;
      ready();
    }
    for (const { generator } of speakers) generator.free();
  },
});

/** Writes a conversation as one row; says why where it does not. */
async function save(path: string, messages: readonly Message[], io: Io): Promise<void> {
  if (path === "") return io.note("name a file: /save conversation.jsonl");
  if (existsSync(path)) return io.note(`${path} exists; name a new file`);
  if (!messages.some(({ role }) => role === "assistant")) return io.note("nothing was said yet");
  try {
    await writeFile(path, JSON.stringify({ messages }) + "\n");
    io.note(`${path}: ${messages.length} messages, a row for whet train sft`);
  } catch (error) {
    if (!(error instanceof Fail)) throw error;
    io.note(error.message);
  }
}
