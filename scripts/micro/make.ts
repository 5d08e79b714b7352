/**
 * Makes everything of the micro base model but its weights: the tokenizer and config.json in
 * models/micro/, and the rows it is trained on.
 *
 *   bun scripts/micro/make.ts [--tokens 3000000] [--seed 1] [--rows models/micro-rows/train.jsonl]
 *
 * Same seed, same bytes. The rows are for training in order (--no-shuffle): they are {"input_ids","labels"}, −100 over the prompt.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { requestText } from "../../src/data/rows.ts";
import { parseCliSchema } from "../../src/settings/cli_schema.ts";
import { teach } from "../../src/teachers/template.ts";
import { tokenizerFiles, trainBpe } from "../../src/text/bpe_train.ts";
import { createTokenizer } from "../../src/text/tokenizer.ts";
import { corpus, type Example, repeats } from "./corpus.ts";

const OUT = "models/micro";
const VOCABULARY = 1536;
/** Longest row of the training, tokens. */
const TRAINED = 256;
/** Positions are rotary: an adapter can be trained on rows as long as this. */
const CONTEXT = 2048;
/** Tokens of repeating at the start. */
const WARM_UP = 250_000;
const SPECIAL = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>"];

const CHAT_TEMPLATE = "{% for message in messages %}" +
  "{{ '<|' + message['role'] + '|>' + message['content'] }}" +
  "{% if message['role'] == 'assistant' %}{{ '<|endoftext|>' }}{% endif %}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/** In the form transformers 5 writes. */
const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 0,
  dtype: "float16",
  eos_token_id: 0,
  head_dim: 32,
  hidden_act: "silu",
  hidden_size: 128,
  initializer_range: 0.08,
  intermediate_size: 384,
  max_position_embeddings: CONTEXT,
  mlp_bias: false,
  num_attention_heads: 4,
  num_hidden_layers: 4,
  num_key_value_heads: 2,
  pad_token_id: 0,
  rms_norm_eps: 1e-5,
  rope_parameters: { rope_theta: 10000.0, rope_type: "default" },
  tie_word_embeddings: true,
  use_cache: true,
  vocab_size: VOCABULARY,
};

const { values: flags } = parseArgs({
  options: {
    tokens: { type: "string", default: "3000000" },
    seed: { type: "string", default: "1" },
    rows: { type: "string", default: "models/micro-rows/train.jsonl" },
  },
});
const seed = Number(flags.seed);

const bpe = trainBpe(take(corpus(seed), 30_000).flatMap(({ prompt, answer }) => [prompt, answer]), {
  vocabSize: VOCABULARY,
  special: SPECIAL,
  loneSpace: true,
  loneDigits: true,
});
if (bpe.tokens.length !== VOCABULARY) {
  throw new Error(`only ${bpe.tokens.length} tokens were learnt`);
}
const files = tokenizerFiles(bpe, {
  endOfText: SPECIAL[0]!,
  chatTemplate: CHAT_TEMPLATE,
  maxLength: TRAINED,
});
const tokenizer = createTokenizer({ json: files.tokenizer, config: files.config });
const encode = (text: string) => tokenizer.encode(text, { special: false });

writeJson(`${OUT}/tokenizer.json`, files.tokenizer);
writeJson(`${OUT}/tokenizer_config.json`, files.config);
writeJson(`${OUT}/config.json`, CONFIG);
writeJson(`${OUT}/generation_config.json`, { bos_token_id: 0, eos_token_id: 0, pad_token_id: 0 });

const wanted = Number(flags.tokens);
const lines: string[] = [];
const lengths: number[] = [];
let total = 0;
let supervised = 0;
for (const example of lesson()) {
  const { ids, answerFrom } = encodeExample(example);
  if (ids.length > TRAINED) continue;
  const labels = ids.map((id, i) => i < answerFrom ? -100 : id);
  lines.push(JSON.stringify({ input_ids: ids, labels }));
  lengths.push(ids.length);
  total += ids.length;
  supervised += ids.length - answerFrom;
  if (total >= wanted) break;
}
mkdirSync(dirname(flags.rows), { recursive: true });
writeFileSync(flags.rows, lines.join("\n") + "\n");

const words = bpe.tokens.filter((token) => /^[a-z]{3,}$/.test(token)).length;
console.log(`tokenizer   ${bpe.tokens.length} tokens, ${words} of them of three letters or more`);
console.log(`parameters  ${parameters().toLocaleString("en")}`);
console.log(
  `rows        ${lines.length} in ${flags.rows}, ${total} tokens, ${supervised} supervised`,
);
console.log(`a row       ${summary(lengths)}`);

const schema = parseCliSchema(await Bun.file("schemas/garden.yaml").text(), "schemas/garden.yaml");
const demo = teach(schema, { rows: 1000, seed, part: "train" }).map((row) =>
  encodeExample({ prompt: requestText(row.instruction, row.context), answer: row.output }).ids
    .length
);
console.log(`garden row  ${summary(demo)}`);

/** First repeating, then everything: the order of the rows is part of the training. */
function* lesson(): Generator<Example> {
  for (const example of repeats(seed)) {
    if (total >= WARM_UP) break;
    yield example;
  }
  yield* corpus(seed);
}

/** Prompt and answer are tokenised apart, as in training, so no token spans both. */
function encodeExample({ prompt, answer }: Example): { ids: number[]; answerFrom: number } {
  const before = encode(`<|user|>${prompt}<|assistant|>`);
  return { ids: [...before, ...encode(answer), 0], answerFrom: before.length };
}

function parameters(): number {
  const { hidden_size: d, intermediate_size: m, head_dim, num_hidden_layers } = CONFIG;
  const q = CONFIG.num_attention_heads * head_dim;
  const kv = CONFIG.num_key_value_heads * head_dim;
  return VOCABULARY * d + d + num_hidden_layers * (d * (2 * q + 2 * kv) + 3 * d * m + 2 * d);
}

function summary(lengths: readonly number[]): string {
  const sorted = lengths.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const mean = lengths.reduce((a, b) => a + b, 0) / lengths.length;
  return `${mean.toFixed(1)} tokens on average, median ${at(0.5)}, 95 % ${at(0.95)}, most ${at(1)}`;
}

function writeJson(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(value, null, 1) + "\n");
}

function take<T>(all: Iterable<T>, count: number): T[] {
  const out: T[] = [];
  for (const one of all) if (out.push(one) >= count) break;
  return out;
}
