import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCliSchema } from "../../src/settings/cli_schema.ts";
import { createChatTemplate } from "../../src/text/chat_template.ts";
import { encodeExample } from "../../src/text/prompt.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { corpus, type Example, repeats } from "./corpus.ts";

const root = join(import.meta.dir, "../..");
const take = (all: Iterable<Example>, count: number): Example[] => {
  const out: Example[] = [];
  for (const one of all) if (out.push(one) === count) break;
  return out;
};
const examples = take(corpus(1), 6000);

describe("corpus", () => {
  test("is the same for the same seed and endless in variety", () => {
    expect(take(corpus(1), 200)).toEqual(examples.slice(0, 200));
    expect(take(corpus(2), 200)).not.toEqual(examples.slice(0, 200));
    expect(new Set(examples.map((e) => e.prompt)).size).toBeGreaterThan(5900);
  });

  test("answers are JSON, mostly of the two kinds that a command line answers with", () => {
    const types = examples.map((e) => JSON.parse(e.answer)?.type);
    expect(types.filter((type) => type === "command").length).toBeGreaterThan(3000);
    expect(types.filter((type) => type === "clarification").length).toBeGreaterThan(300);
  });

  test("all that must be copied stands in the prompt", () => {
    for (const { prompt, answer } of [...examples, ...take(repeats(1), 500)]) {
      const value = JSON.parse(answer);
      const copied = typeof value === "string"
        ? [value]
        : value.type === "command"
        ? Object.values(value.args)
        : [];
      for (const text of copied) expect(prompt).toContain(String(text));
    }
  });

  test("knows nothing of the shipped schemas: none of their names occurs", () => {
    const source = readFileSync(join(root, "schemas/garden.yaml"), "utf8");
    const garden = parseCliSchema(source, "garden.yaml");
    const names = new Set([garden.name]);
    for (const command of garden.commands) {
      names.add(command.name);
      for (const { name, args, flags } of command.subcommands) {
        for (const one of [name, ...args.map((a) => a.name), ...flags.map((f) => f.name)]) {
          names.add(one);
        }
      }
    }
    names.delete("text"); // what free text is called everywhere
    const used = new Set(examples.flatMap((e) => `${e.prompt} ${e.answer}`.match(/[a-z]+/g) ?? []));
    expect([...names].filter((name) => used.has(name))).toEqual([]);
  });
});

describe("the tokenizer of the micro model", () => {
  const folder = join(root, "models/micro");

  test("gives a word the same tokens in a request and in the answer", async () => {
    const tokenizer = await loadTokenizer(folder);
    const ids = (text: string) => tokenizer.encode(text, { special: false });
    for (const word of ["kale", "orchid", "zwirble", "tomatoes", "42"]) {
      expect(ids(` ${word}`).slice(1)).toEqual(ids(word));
      expect(ids(`"${word}"`).slice(1, -1)).toEqual(ids(word));
    }
  });

  test("renders and masks a row: the answer and the end are trained", async () => {
    const tokenizer = await loadTokenizer(folder);
    const template = createChatTemplate(String(tokenizer.config.chat_template), tokenizer);
    const messages = [{ role: "user", content: "sow kale" }, { role: "assistant", content: "{}" }];
    const { ids, labels } = encodeExample(tokenizer, { messages }, { template });
    expect(tokenizer.decode(ids)).toBe("<|user|>sow kale<|assistant|>{}<|endoftext|>");
    const from = ids.indexOf(tokenizer.idOf("<|assistant|>")!) + 1;
    expect(labels).toEqual(ids.map((id, i) => i < from ? -100 : id));
  });

  test("fits the model's settings", async () => {
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.vocabSize).toBe(config.vocab_size);
    expect(tokenizer.eosIds).toEqual([config.eos_token_id]);
    const template = createChatTemplate(String(tokenizer.config.chat_template), tokenizer);
    const lengths = examples.slice(0, 1000).map(({ prompt, answer }) => {
      const messages = [{ role: "user", content: prompt }, { role: "assistant", content: answer }];
      return encodeExample(tokenizer, { messages }, { template }).ids.length;
    });
    expect(Math.max(...lengths)).toBeLessThanOrEqual(config.max_position_embeddings);
  });
});
