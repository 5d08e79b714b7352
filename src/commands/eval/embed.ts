import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { isObject } from "../../base/strict_json.ts";
import { columns, plural } from "../../base/text.ts";
import { jsonValues } from "../../data/json_values.ts";
import { byteStream } from "../../data/rows.ts";
import { readTriplet, type Text, TRIPLET_EXAMPLE } from "../../data/triplets.ts";
import { Embedder } from "../../evaluate/embed.ts";
import { type Found, found, type Nearness } from "../../evaluate/retrieval.ts";
import { readRun } from "../../report/folder.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { EvalSettings } from "../../settings/eval.ts";
import { gate, type Limit } from "./gate.ts";
import { percent } from "./table.ts";
import type { Io } from "../io.ts";
import { load, openBoth } from "../use/loaded.ts";
import { badRows, type Complaint, readRows } from "../use/rows.ts";
import { encode, limitOf, sentenceConfig } from "../use/sentences.ts";
import { textsOf } from "../use/texts.ts";

/** Most tokens and sentences of one run. */
const TOKENS = 1024, SENTENCES = 64;

/** Whether the first row of a file is of contrastive training. */
export async function isTriplets(path: string): Promise<boolean> {
  if (path === "-") return false;
  for await (const { value } of jsonValues(byteStream(path))) {
    return isObject(value) && ["anchor", "anchor_ids", "sentence1"].some((key) => key in value);
  }
  return false;
}

/** What `whet eval` measures of answers and not of embeddings. */
const ANSWERS = [
  "schema",
  "sections",
  "thresholds",
  "metrics",
  "adversarial",
  "html",
  "predictions",
  "failures",
] as const;

/**
 * Measures how well a model's embeddings find texts: of triplets or pairs, each anchor's positive among
 * all texts of the rows.
 * @throws Fail (usage) (data) (gate)
 */
export async function evalEmbedding(
  settings: EvalSettings & CommonSettings,
  limits: readonly Limit[],
  io: Io,
): Promise<void> {
  const { data, adapter, limit: most } = settings;
  const odd = ANSWERS.find((key) => settings[key] !== undefined);
  if (odd) {
    throw new Fail(`--${odd} is of answers, and ${data} holds rows for embeddings`, {
      fix: `leave --${odd} out`,
      exit: Exit.usage,
    });
  }
  const read = (value: unknown) => readTriplet(value, "contrastive");
  const rows = (await readRows(io, data, read, TRIPLET_EXAMPLE)).slice(0, most);
  const { tokenizer } = await textsOf(settings.model);
  using opened = await openBoth(settings);
  const { model } = opened, config = sentenceConfig(settings, model);
  const limit = limitOf(config, model, settings.max_seq);
  const places = new Map<string, number>();
  const sentences: { ids: readonly number[]; skip?: number }[] = [];
  const complaints: Complaint[] = [];
  const { query = "", document = "" } = config.prompts;
  const place = (text: Text | undefined, prompt: string, line: number) => {
    if (text === undefined) return undefined;
    const sentence = typeof text === "string"
      ? encode(text, { tokenizer, config, limit, prompt })
      : { ids: text.slice(0, limit), skip: 0 };
    const { ids, skip } = sentence, key = `${skip} ${ids}`;
    const outside = ids.find((id) => id >= model.sizes.vocab);
    const reason = outside !== undefined
      ? `id ${outside} is outside the vocabulary of ${model.sizes.vocab}`
      : "a text has no tokens";
    if (outside !== undefined || ids.length === 0) {
      complaints.push({ line, reason, text: JSON.stringify(text) });
    }
    const at = places.get(key) ?? sentences.push({ ids, skip }) - 1;
    places.set(key, at);
    return at;
  };
  const parts = rows.map(({ line, row: { anchor, positive, negative } }) => [
    place(anchor, query, line),
    place(positive, document, line),
    place(negative, document, line),
  ]);
  if (complaints.length > 0) {
    throw badRows(data, complaints.slice(0, 20), complaints.length, rows.length, TRIPLET_EXAMPLE);
  }
  using loaded = await load(opened, settings, io, undefined, Embedder.tensors);
  const longest = sentences.reduce((n, { ids }) => Math.max(n, ids.length), TOKENS);
  const by = nearnessOf(adapter);
  const run = async (adapted: typeof loaded.adapted): Promise<Found> => {
    const size = { tokens: longest, sentences: SENTENCES };
    const embedder = await Embedder.create(loaded.model, loaded.memory, size, config, adapted);
    const made: Float32Array[] = [];
    for await (const one of embedder.embeddings(sentences)) {
      io.progress(`${made.push(one)} of ${plural(sentences.length, "text")}`);
    }
    io.progress();
    embedder.free();
    return found(parts, made, by);
  };
  const before = settings.baseline ? await run({}) : undefined;
  const after = await run(loaded.adapted);
  const texts = sentences.length, n = rows.length;
  const answer = { n, texts, nearness: by, ...after, ...(before ? { baseline: before } : {}) };
  if (settings.output !== undefined) {
    await writeFile(settings.output, JSON.stringify(answer, null, 2) + "\n");
  }
  io.result(answer);
  const shares = Object.entries(after).map(([name, value]) => [
    name === "accuracy" ? "positive nearer" : name,
    ...(before ? [percent(before[name as keyof Found] ?? 0)] : []),
    percent(value),
  ]);
  io.out(columns([
    ...(before ? [["", "base", "tuned"]] : []),
    ["rows", ...(before ? [String(n)] : []), String(n)],
    ["texts searched", ...(before ? [String(texts)] : []), String(texts)],
    ...shares,
  ], [1, 2]));
  gate({ n, retrieval: after }, limits);
}

/** By what the adapter's run measured nearness; by cosine where nobody says. */
function nearnessOf(adapter: string | undefined): Nearness {
  if (adapter === undefined || !existsSync(join(adapter, "run.json"))) return "cosine";
  const { distance } = readRun(adapter).manifest.settings;
  return distance === "l2" || distance === "dot" ? distance : "cosine";
}
