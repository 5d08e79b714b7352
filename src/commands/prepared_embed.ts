import { createHash } from "node:crypto";
import type { Model } from "../architectures/model.ts";
import type { TokenRow } from "../architectures/packed.ts";
import { Exit, Fail } from "../base/fail.ts";
import { plural, thousands } from "../base/text.ts";
import type { PreparedRow } from "../data/prepare.ts";
import { automaticSplit, splitRows } from "../data/split.ts";
import { readTriplet, type Text, type Triplet, TRIPLET_EXAMPLE } from "../data/triplets.ts";
import { Embedder } from "../evaluate/embed.ts";
import { found } from "../evaluate/retrieval.ts";
import { type SentenceConfig, writeSentenceConfig } from "../formats/sentence.ts";
import type { TrainEmbedSettings } from "../settings/embed.ts";
import { quantOf } from "../settings/model.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Measures } from "../trainer/loop.ts";
import { embed } from "../trainer/objectives/embed.ts";
import { prepare, type Prepared } from "../trainer/prepare.ts";
import type { Trainer } from "../trainer/trainer.ts";
import { openBase } from "./base_model.ts";
import type { Io } from "./io.ts";
import type { PreparedRun, TokenRows } from "./prepared.ts";
import { roomOf } from "./room.ts";
import { badRows, type Complaint, type Numbered, readRows } from "./rows.ts";
import { encode, limitOf, sentenceConfig } from "./sentences.ts";
import { instructionOf, merged } from "./tasks.ts";
import { fallback, targetsOf, tellFallback } from "./targets.ts";
import { textsOf } from "./texts.ts";

/** Those of a training, or of a plan for one, which needs no rows. */
type Settings = Omit<TrainEmbedSettings, "data" | "output" | "min_triplets"> & {
  readonly data?: string;
  readonly min_triplets?: number;
  readonly device?: string;
};

/** Rows whose parts are several texts in one. */
type Row = PreparedRow & Required<Pick<TokenRow, "texts">>;

/**
 * Opens the model, reads and tokenises triplets, lays the run out and fits it to memory: what `prepareRun`
 * does for supervised fine-tuning.
 * @throws Fail (usage) (data)
 */
export async function prepareEmbedRun(asked: Settings, io: Io): Promise<PreparedRun> {
  const opened = await openBase(asked.model, merged(asked.task));
  const instruction = instructionOf(opened, asked.task);
  const instead = fallback(asked, opened);
  const settings = {
    ...asked,
    ...instead,
    anchor_prompt: asked.anchor_prompt || instruction,
    text_prompt: asked.text_prompt || instruction,
  };
  requireAdapter(settings, opened);
  const model = { ...opened, quant: quantOf(settings), compute: settings.compute };
  const config = sentenceConfig(settings, model);
  const { tokenizer } = await textsOf(settings.model);
  const known = { model, tokenizer, config };
  const all = settings.data === undefined
    ? undefined
    : await read(settings.data, settings, known, io);
  const given = settings.val === undefined
    ? undefined
    : await read(settings.val, settings, known, io);
  const { data, validation } = all && !given
    ? split(all, settings, io)
    : { data: all, validation: given };
  if (data && validation) warnOfLeaks(data, validation, io);
  if (data) requireRows(data, validation, settings);
  const rows = data?.rows ?? imagined(settings, model, limitOf(config, model, settings.max_seq));
  const targets = targetsOf(settings, model), room = roomOf(settings);
  const pooling = config.pooling;
  const objective = embed({ ...settings, pooling });
  const checks = validation?.rows ?? [];
  const prepared = prepare(model, rows, checks, targets, settings, room.bytes, objective);
  if (instead) tellFallback(asked, prepared, io);
  const { stepsPerEpoch } = prepared.batches, least = Math.ceil(rows.length / settings.batch);
  if (settings.loss === "mnr" && stepsPerEpoch > least) {
    io.note(
      `Rows with the same text are kept apart: ${plural(stepsPerEpoch, "batch", "batches")} ` +
        `an epoch instead of ${least}`,
    );
  }
  const saved: SentenceConfig = {
    ...config,
    normalise: config.normalise || settings.distance === "cosine",
    maxSeq: limitOf(config, model, settings.max_seq),
    prompts: {
      ...config.prompts,
      ...(settings.anchor_prompt ? { query: settings.anchor_prompt } : {}),
      ...(settings.text_prompt ? { document: settings.text_prompt } : {}),
    },
  };
  return {
    prepared,
    targets,
    tokenizer,
    template: undefined,
    date: undefined,
    data,
    validation,
    room,
    instead,
    measure: (trainer) => measure(trainer, prepared, checks as readonly Row[], settings, pooling),
    beside: (folder) =>
      writeSentenceConfig(folder, saved, model.sizes.width, tokenizer.tokenText(endOf(tokenizer))),
  };
}

/** @throws Fail (usage) for all weights of a model with adapters for tasks */
function requireAdapter({ full, task }: Settings, { architecture, folder }: Model): void {
  if (!full || !architecture.tasks?.(folder.config)) return;
  throw new Fail("--full is not built for a model with adapters for tasks", {
    why: "its checkpoint has no place for weights into which one of them is merged",
    fix: `train an adapter on --task ${task}: leave --full out`,
    exit: Exit.usage,
  });
}

/** A token that ends texts, or any: one for padding. */
const endOf = ({ eosIds }: Tokenizer): number => eosIds[0] ?? 0;

/** Rows for a plan without data: as many as a step takes, three texts each as long as may be, all different. */
function imagined({ batch, accum }: Settings, { sizes }: Model, length: number): Row[] {
  return Array.from({ length: batch * accum }, (_, line) => {
    const ids = Array.from({ length: 3 * length }, (_, i) => {
      const text = 3 * line + Math.floor(i / length);
      return i % length === 0 ? text % sizes.vocab : Math.floor(text / sizes.vocab);
    });
    const texts = [length, length, length].map((length) => ({ length }));
    return { line, ids, labels: [], targets: 0, texts };
  });
}

interface Known {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly config: SentenceConfig;
}

/** Rows of a file as the model sees them. */
interface EmbedRows extends TokenRows {
  readonly rows: readonly Row[];
}

async function read(
  path: string,
  settings: Settings,
  { model, tokenizer, config }: Known,
  io: Io,
): Promise<EmbedRows> {
  const { loss, limit: most, smoke, batch, accum } = settings;
  const every = await readRows<Triplet>(
    io,
    path,
    (value) => readTriplet(value, loss),
    TRIPLET_EXAMPLE,
  );
  const wanted = smoke ? Math.min(most ?? Infinity, 3 * batch * accum) : most;
  const { vocab } = model.sizes, limit = limitOf(config, model, settings.max_seq);
  const complaints: Complaint[] = [], name = path === "-" ? "stdin" : path;
  let cut = 0;
  const sentence = (text: Text | undefined, prompt: string) => {
    if (text === undefined) return { ids: [], skip: 0, cut: false };
    if (typeof text === "string") return encode(text, { tokenizer, config, limit, prompt });
    return { ids: text.slice(0, limit), skip: 0, cut: text.length > limit };
  };
  const rows = every.slice(0, wanted).map(({ line, row }: Numbered<Triplet>): Row => {
    const parts = [
      sentence(row.anchor, settings.anchor_prompt),
      sentence(row.positive, settings.text_prompt),
      sentence(row.negative, settings.text_prompt),
    ];
    if (parts.some((part) => part.cut)) cut++;
    const ids = parts.flatMap((part) => [...part.ids]);
    const outside = ids.find((id) => id >= vocab);
    const same = parts[1]!.ids.length > 0 && String(parts[1]!.ids) === String(parts[2]!.ids);
    const reason = outside !== undefined
      ? `id ${outside} is outside the vocabulary of ${vocab}`
      : same
      ? "the positive and the negative become the same tokens"
      : row.anchor !== undefined && parts[0]!.ids.length === 0
      ? "the anchor has no tokens"
      : undefined;
    if (reason) complaints.push({ line, reason, text: JSON.stringify(row) });
    const texts = parts.map(({ ids, skip }) => ({ length: ids.length, skip }));
    return { line, ids, labels: [], targets: 0, texts };
  });
  if (complaints.length > 0) {
    throw badRows(name, complaints.slice(0, 20), complaints.length, rows.length, TRIPLET_EXAMPLE);
  }
  if (cut > 0) {
    const message = `${name}: ${plural(cut, "row")} with texts longer than ${limit} tokens, cut`;
    io.warn("WH0306", message, "--max-seq takes more where the model does");
  }
  return factsOf(path, rows);
}

function factsOf(path: string, rows: readonly Row[]): EmbedRows {
  const hash = createHash("sha256");
  for (const { ids, texts } of rows) hash.update(JSON.stringify([ids, texts]));
  const sha256 = hash.digest("hex");
  const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0);
  const facts = { path, rows: rows.length, tokens, sha256, tokens_sha256: sha256, chat: false };
  return { examples: [], rows, facts };
}

function split(all: EmbedRows, { val_split, tail, seed }: Settings, io: Io) {
  const { rows, facts: { path } } = all, options = { seed, tail };
  const { train, val } = val_split === undefined
    ? automaticSplit(rows.length, options)
    : splitRows(rows.length, val_split, options);
  if (val.length === 0 || train.length === 0) return { data: all, validation: undefined };
  const part = (places: readonly number[]) => factsOf(path, places.map((i) => rows[i]!));
  io.note(`Split: ${thousands(train.length)} train, ${thousands(val.length)} val`);
  return { data: part(train), validation: part(val) };
}

function warnOfLeaks(data: EmbedRows, validation: EmbedRows, io: Io) {
  const trained = new Map(data.rows.map(({ ids, line }) => [String(ids), line]));
  const both = validation.rows.filter(({ ids }) => trained.has(String(ids)));
  if (both.length === 0) return;
  const { line, ids } = both[0]!;
  io.warn(
    "WH0307",
    `${plural(both.length, "validation row")} also in the training rows, the first: line ${
      trained.get(String(ids))
    } and line ${line}`,
    "take them out of one file: what was trained says nothing about what was learnt",
  );
}

function requireRows(
  { rows, facts: { path } }: EmbedRows,
  validation: EmbedRows | undefined,
  { min_triplets = 1, patience, best }: Settings,
) {
  if (rows.length < min_triplets) {
    throw new Fail(`${plural(rows.length, "row")} to train, expected ${min_triplets} or more`, {
      why: "--min-triplets says so",
      fix: "more rows, or a smaller --min-triplets",
      exit: Exit.data,
    });
  }
  const needs = patience !== undefined ? "--patience" : best === "val_loss" ? "" : `--best ${best}`;
  if (!validation && needs) {
    throw new Fail(`${needs} needs rows to measure on`, {
      why: `${path} has ${plural(rows.length, "row")}, and no --val was given`,
      fix: "--val FILE, or --val-split 0.1",
      exit: Exit.usage,
    });
  }
}

/** Most tokens of one run of validation texts. */
const RUN = 1024;

/**
 * Finds each anchor's positive among all texts of the validation rows; of rows with a negative, how many
 * positives are nearer.
 */
async function measure(
  trainer: Trainer,
  { model, lora, settings: { full } }: Prepared,
  rows: readonly Row[],
  { distance }: Settings,
  pooling: SentenceConfig["pooling"],
): Promise<Measures> {
  const places = new Map<string, number>();
  const sentences: { ids: readonly number[]; skip?: number }[] = [];
  const parts = rows.map(({ ids, texts }) => {
    let from = 0;
    return texts.map(({ length, skip }) => {
      const own = ids.slice(from, from += length);
      if (length === 0) return undefined;
      const key = `${skip ?? 0} ${own}`, place = places.get(key) ?? sentences.length;
      if (place === sentences.length) sentences.push({ ids: own, skip });
      places.set(key, place);
      return place;
    });
  });
  const longest = sentences.reduce((most, { ids }) => Math.max(most, ids.length), RUN);
  const how = { pooling, normalise: false }, size = { tokens: longest, sentences: 64 };
  const embedder = await Embedder.create(model, trainer.memory, size, how, { lora, full });
  const made = await Array.fromAsync(embedder.embeddings(sentences));
  embedder.free();

  return found(parts, made, distance);
}
