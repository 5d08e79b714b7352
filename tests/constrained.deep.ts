// 1,000 answers of a model of random weights under every shipped schema: each is whole and fits.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { openModel } from "../src/architectures/model.ts";
import { findSchema } from "../src/commands/data/schemas.ts";
import { Generator } from "../src/generate/generator.ts";
import { Memory } from "../src/graph/memory.ts";
import { normalFill } from "../src/base/random.ts";
import { Grammar } from "../src/text/grammar/constraint.ts";
import { jsonSchema } from "../src/text/grammar/json_schema.ts";
import { Vocabulary } from "../src/text/grammar/vocabulary.ts";
import { loadTokenizer } from "../src/text/tokenizer.ts";
import { count } from "../src/graph/tensor.ts";

const device = await testDevice();
test.skipIf(!device)("1,000 answers of random weights fit the schema", async () => {
  const dir = join(import.meta.dir, "../models/micro");
  const model = await openModel(dir), tokenizer = await loadTokenizer(dir);
  const memory = new Memory(device!), { frozen } = Generator.tensors(model);
  memory.layOut(frozen);
  for (const [i, t] of frozen.entries()) {
    const data = normalFill(9, i, count(t.shape), 0.5);
    memory.write(t, t.dtype === "f32" ? data : new Uint16Array(Float16Array.from(data).buffer));
  }
  const generator = await Generator.create(model, memory, { slots: 16, context: 256, prefill: 64 });
  const vocabulary = new Vocabulary(tokenizer, model.sizes.vocab);
  let n = 0;
  for (const name of ["garden", "git", "gh"]) {
    const { schema } = findSchema(name);
    const grammar = new Grammar(jsonSchema(schema.json, name), tokenizer, vocabulary);
    const asked = Array.from({ length: 334 }, (_, i) => ({
      ids: tokenizer.encode(`${name} ${i}`),
      maxTokens: 60 + i % 140,
    }));
    const stop = new Set(tokenizer.eosIds), sampling = { temperature: 1, topP: 1, seed: n };
    for await (const { ids, finish } of generator.answers(asked, stop, sampling, grammar)) {
      expect(finish).toBe("stop");
      expect(schema.problems(JSON.parse(tokenizer.decode(ids)))).toEqual([]);
      n++;
    }
  }
  expect(n).toBe(1002);
  generator.free();
  memory.free();
  model.folder.close();
}, 600_000);
