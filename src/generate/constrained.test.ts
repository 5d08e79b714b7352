import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../../kernels/check.ts";
import { loadWeights, type Model, openModel } from "../architectures/model.ts";
import { Memory } from "../graph/memory.ts";
import { parseAnswerSchema } from "../settings/answer_schema.ts";
import { Grammar } from "../text/grammar/constraint.ts";
import { jsonSchema } from "../text/grammar/json_schema.ts";
import { Vocabulary } from "../text/grammar/vocabulary.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { Generator, type Sampling } from "./generator.ts";

const root = join(import.meta.dir, "../..");
const device = await testDevice();
const wild: Sampling = { temperature: 2, topP: 1, seed: 5 };
const person = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 20 },
    age: { type: "integer", minimum: 0, maximum: 150 },
    kind: { enum: ["a", "b"] },
  },
  required: ["name", "age", "kind"],
  additionalProperties: false,
};

describe.skipIf(!device)("constrained answers", () => {
  let model: Model, tokenizer: Tokenizer, memory: Memory, generator: Generator;
  beforeAll(async () => {
    model = await openModel(join(root, "models/micro"));
    tokenizer = await loadTokenizer(join(root, "models/micro"));
    memory = new Memory(device!);
    await loadWeights(model, memory, Generator.tensors(model).frozen);
    const size = { slots: 4, context: 192, prefill: 32, ahead: 3 };
    generator = await Generator.create(model, memory, size);
  });
  afterAll(() => {
    generator.free();
    memory.free();
    model.folder.close();
  });

  const stop = () => new Set(tokenizer.eosIds);
  const ids = (text: string) => tokenizer.encode(text);

  test("are whole and fit, sharing steps with free ones that stay as they are", async () => {
    const vocabulary = new Vocabulary(tokenizer, model.sizes.vocab);
    const schema = parseAnswerSchema(JSON.stringify(person), "person.json");
    const file = join(root, "schemas/garden.yaml");
    const garden = parseAnswerSchema(readFileSync(file, "utf8"), file);
    const grammars = [schema, garden].map((it) =>
      new Grammar(jsonSchema(it.json, it.name), tokenizer, vocabulary)
    );
    const free = { ids: ids("water the"), maxTokens: 30, stop: stop(), sampling: wild, stream: 99 };
    const alone = (await generator.submit(free).answer).ids;
    const asked = Array.from({ length: 24 }, (_, stream) => ({
      ids: ids(`request ${stream}`),
      maxTokens: stream % 3 === 0 ? 40 : 90,
      stop: stop(),
      sampling: { ...wild, temperature: stream % 4 },
      stream,
      grammar: grammars[stream % 2]!,
    }));
    const jobs = asked.map((one) => generator.submit(one));
    const beside = generator.submit(free);
    for (const [i, { answer }] of jobs.entries()) {
      const { ids, finish } = await answer;
      expect([finish, ids.length < asked[i]!.maxTokens]).toEqual(["stop", true]);
      const value = JSON.parse(tokenizer.decode(ids));
      expect((i % 2 ? garden : schema).problems(value)).toEqual([]);
    }
    expect((await beside.answer).ids).toEqual(alone);
  });

  test("a limit that is too short is refused before anything runs", () => {
    const grammar = new Grammar(jsonSchema(person, "p"), tokenizer);
    const asked = { ids: ids("x"), maxTokens: 4, stop: stop(), sampling: wild, grammar };
    expect(() => generator.submit(asked)).toThrow("--max-tokens allows 4");
    expect([generator.running, generator.waiting]).toEqual([0, 0]);
  });
});
