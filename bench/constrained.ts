/**
 * What holding answers to a schema costs: the same requests to a model of SmolLM-135M's shape, in Q4_K_M,
 * with a grammar and without, taking turns, so that whatever else the machine does disturbs both alike.
 *
 *   bun bench/constrained.ts [--schema gh] [--answer 48] [--slots 1] [--rounds 4] [--json] [--save DIR]
 *
 * The weights are random, and the 49,152 tokens are made up: the bytes, the tokens of the built-in model,
 * and pieces of up to 16 letters, digits, blanks or signs, as long as those of real vocabularies are. So the
 * grammar meets as many tokens as it would, and the model says nothing sensible under it.
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadWeights, modelOf } from "../src/architectures/model.ts";
import { writeFile } from "../src/base/durable.ts";
import { uniform } from "../src/base/random.ts";
import { deviceSlug } from "../src/commands/bench/results.ts";
import { quantile } from "../src/commands/bench/statistics.ts";
import { schemaOf } from "../src/commands/constrained.ts";
import { openGgufModel } from "../src/export/gguf_folder.ts";
import { exportGguf } from "../src/export/gguf_model.ts";
import { openModel } from "../src/formats/model_folder.ts";
import { Generator } from "../src/generate/generator.ts";
import { Device } from "../src/gpu/device.ts";
import { Memory } from "../src/graph/memory.ts";
import { Grammar } from "../src/text/grammar/constraint.ts";
import { jsonSchema } from "../src/text/grammar/json_schema.ts";
import { type Tokens, Vocabulary } from "../src/text/grammar/vocabulary.ts";
import { loadTokenizer } from "../src/text/tokenizer.ts";

const { values: flags } = parseArgs({
  options: {
    schema: { type: "string", default: "gh" },
    answer: { type: "string", default: "48" },
    slots: { type: "string", default: "1" },
    rounds: { type: "string", default: "4" },
    json: { type: "boolean", default: false },
    save: { type: "string" },
  },
});
const [answer, slots, rounds] = [flags.answer, flags.slots, flags.rounds].map(Number) as [
  number,
  number,
  number,
];
const PROMPT = 32;

/** A vocabulary of so many tokens, the last of which ends an answer. */
async function tokensOf(vocabSize: number): Promise<Tokens> {
  const micro = await loadTokenizer(join(import.meta.dir, "../models/micro"));
  const all: Uint8Array[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  for (let id = 0; id < micro.vocabSize; id++) {
    const bytes = micro.eosIds.includes(id) ? undefined : micro.bytesOf(id);
    if (bytes && bytes.length > 1) all.push(bytes);
  }
  const kinds = ["eeeaaooiuutnsrhldcmfpgwybvk", "0123456789", " \n", ".,:;\"'{}[]()<>/\\-_=+*#"];
  const utf8 = new TextEncoder();
  const seen = new Set(all.map((bytes) => String(bytes)));
  for (let n = 0; all.length < vocabSize - 1; n++) {
    const draw = (i: number) => uniform(11, i, n), kind = kinds[draw(0) < 0.9 ? 0 : 1 + n % 3]!;
    // Two draws make lengths near 6, few of them long.
    const length = 2 + Math.floor(7 * (draw(1) + draw(2) * draw(3)));
    const blank = kind === kinds[0] && draw(4) < 0.5 ? " " : "";
    const letters = Array.from({ length }, (_, i) => kind[Math.floor(draw(5 + i) * kind.length)]!);
    const bytes = utf8.encode(blank + letters.join("")), key = String(bytes);
    if (!seen.has(key)) all.push(bytes);
    seen.add(key);
  }
  return { vocabSize, eosIds: [vocabSize - 1], bytesOf: (id) => all[id] };
}

const dir = await mkdtemp(join(tmpdir(), "whet-constrained-"));
try {
  const folder = join(dir, "model"), path = join(dir, "model.gguf");
  const script = join(import.meta.dir, "../scripts/random_model.ts");
  const made = Bun.spawnSync([process.execPath, script, "smollm-135m", folder]);
  if (!existsSync(join(folder, "config.json"))) throw new Error(made.stderr.toString());
  using source = await openModel(folder);
  await exportGguf({ model: source, quant: "q4_k_m", out: path, pretokenizer: "gpt-2" });

  const device = await Device.open({ device: process.env.WHET_DEVICE ?? "software" });
  const model = modelOf(openGgufModel(path)), memory = new Memory(device);
  await loadWeights(model, memory, Generator.tensors(model).frozen);
  const context = Math.ceil((PROMPT + answer + 1) / 64) * 64;
  const generator = await Generator.create(model, memory, { slots, context, prefill: 64 });

  const tokens = await tokensOf(model.sizes.vocab), { json, name } = schemaOf(flags.schema);
  const timed = <T>(what: () => T): [T, number] => {
    const began = performance.now(), value = what();
    return [value, performance.now() - began];
  };
  const [vocabulary, vocabulary_ms] = timed(() => new Vocabulary(tokens, model.sizes.vocab));
  const [grammar, grammar_ms] = timed(() => {
    const made = new Grammar(jsonSchema(json, name), tokens, vocabulary);
    made.begin(answer).mask();
    return made;
  });

  /** Milliseconds of each token after the first, of all answers of a round. */
  const ask = async (seed: number, held: Grammar | undefined): Promise<number[]> => {
    const sampling = { temperature: 1, topP: 1, seed };
    const asked = Array.from({ length: slots }, (_, stream) => {
      const ids = Array.from({ length: PROMPT }, (_, i) => (i * 7919 + seed * 104_729) % 49_000);
      const stop = new Set<number>();
      return { ids, maxTokens: answer, stop, sampling, grammar: held, stream };
    });
    const answers = asked.map((request) => generator.submit(request).answer);
    return (await Promise.all(answers)).flatMap(({ at }) =>
      at.slice(1).map((ms, i) => ms - at[i]!)
    );
  };
  await ask(0, undefined); // compiles
  const mean = (times: number[]) => times.reduce((sum, ms) => sum + ms, 0) / times.length;
  const found: { free: number[]; held: number[] }[] = [];
  for (let round = 1; round <= rounds; round++) {
    const turns = [false, true];
    const times = { free: [] as number[], held: [] as number[] };
    for (const constrained of round % 2 === 0 ? turns : turns.toReversed()) {
      times[constrained ? "held" : "free"] = await ask(round, constrained ? grammar : undefined);
    }
    found.push(times);
  }

  const { adapter, driver } = device.capabilities;
  const ratios = found.map(({ free, held }) => mean(held) / mean(free));
  const result = {
    format: 1,
    kind: "constrained",
    date: new Date().toISOString(),
    adapter,
    driver,
    cpus: cpus().length,
    load: loadavg()[0]!,
    schema: flags.schema,
    vocabulary: vocabulary.size,
    answer,
    slots,
    rounds,
    /** Once a tokenizer; then once a schema, the first mask included. */
    vocabulary_ms,
    grammar_ms,
    free_ms: Math.min(...found.map(({ free }) => mean(free))),
    held_ms: Math.min(...found.map(({ held }) => mean(held))),
    median_free_ms: quantile(found.flatMap(({ free }) => free), 0.5),
    median_held_ms: quantile(found.flatMap(({ held }) => held), 0.5),
    /** Time of a token, its mean over a round: with the schema over without, at the median round. */
    ratio: quantile(ratios, 0.5),
    ratios,
  };
  const ms = (n: number) => `${n.toFixed(1)} ms`;
  console.log(
    flags.json ? JSON.stringify(result) : [
      `${adapter}, ${driver}; load ${result.load.toFixed(1)} on ${result.cpus} processors`,
      `${vocabulary.size} tokens are put in order in ${ms(vocabulary_ms)}, once a tokenizer`,
      `${flags.schema}: ready with the first mask in ${ms(grammar_ms)}, once a schema`,
      `a token: ${ms(result.free_ms)} free, ${
        ms(result.held_ms)
      } held to the schema (best of ${rounds} rounds)`,
      `ratio at the median round ${result.ratio.toFixed(3)}, by round ${
        ratios.map((r) => r.toFixed(3)).join(" ")
      }`,
    ].join("\n"),
  );
  if (flags.save) {
    const at = `${deviceSlug({ adapter, driver })}-${result.date.slice(0, 10)}-constrained`;
    await writeFile(join(flags.save, `${at}.json`), JSON.stringify(result, null, 2) + "\n");
  }
} finally {
  await rm(dir, { recursive: true });
}
process.exit(0);
