import { Exit, Fail } from "../base/fail.ts";
import type { Generation, Generator } from "../generate/generator.ts";
import { chatSettings } from "../settings/use.ts";
import type { Message } from "../text/chat_template.ts";
import { encodePrompt } from "../text/prompt.ts";
import { command } from "./command.ts";
import { noTemplate, samplingOf } from "./infer.ts";
import { systemText, textsOf } from "./texts.ts";

/** Tokens of a conversation at most, where the model could hold more: the cache has room for all of them. */
const CONTEXT = 4096;
const PREFILL = 256;

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
  ],
  details:
    "Each line you type is a turn; /reset begins the conversation anew, /exit or Ctrl-D ends it. Where " +
    "stdin is not a terminal every line of it is a turn. With --compare base each line is also put to " +
    "the model without its adapter, which has a conversation of its own.",
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
    const system = systemText(settings.system);
    const [{ load, openBoth }, { Generator }, { readText }] = await Promise.all([
      import("./loaded.ts"),
      import("../generate/generator.ts"),
      import("../generate/text.ts"),
    ]);
    using opened = await openBoth(settings);
    using loaded = await load(opened, settings, io);
    const { model, memory, adapted } = loaded;
    const context = Math.min(model.sizes.context, CONTEXT);
    const size = { slots: 1, context, prefill: Math.min(PREFILL, context) };
    const begin = () => system === undefined ? [] : [{ role: "system", content: system }];
    const speakers: Speaker[] = [];
    for (const name of [...(settings.compare ? ["base"] : []), "model"]) {
      const generator = await Generator.create(model, memory, size, name === "base" ? {} : adapted);
      speakers.push({ name, generator, messages: begin() });
    }

    const sampling = samplingOf(settings), stop = new Set(tokenizer.eosIds);
    const ask = (messages: Message[], generator: Generator): Generation => {
      const ids = encodePrompt(tokenizer, { messages }, { template });
      return generator.submit({ ids, maxTokens: settings.max_tokens, stop, sampling });
    };
    const typed = process.stdin.isTTY === true && !io.json;
    const ready = () => typed && io.piece("> ");
    const lines = io.lines("-", "type a line; /reset begins anew");
    ready();
    for await (const { text } of lines) {
      const said = text.trim();
      if (said === "/exit") break;
      if (said === "/reset") {
        for (const { messages } of speakers) messages.splice(0, messages.length, ...begin());
        io.note("a new conversation");
      } else if (said !== "") {
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
        io.result({ prompt: said, answer: answers.model, base: answers.base });
      }
      if (io.closed || io.stop.requested) break;
      ready();
    }
    for (const { generator } of speakers) generator.free();
  },
});
