import { requireHead } from "../architectures/architecture.ts";
import type { Model } from "../architectures/model.ts";
import type { DecoderConfig } from "../architectures/decoder.ts";
import type { TokenRow } from "../architectures/packed.ts";
import { Exit, Fail } from "../base/fail.ts";
import { plural, short, thousands } from "../base/text.ts";
import { datasetHash, leaks, tokensHash } from "../data/hash.ts";
import { type PairExample, preparePairs, readPairs } from "../data/pairs.ts";
import { type LengthReport, type PreparedRow, prepareSft } from "../data/prepare.ts";
import { automaticSplit, splitRows } from "../data/split.ts";
import { readDataset, type SftExample } from "../data/rows.ts";
import { prepareUnpaired, readUnpaired, type UnpairedExample } from "../data/unpaired.ts";
import type { Rows } from "../report/record.ts";
import { lossOnOf } from "../settings/loss_on.ts";
import { mapOf, quantOf } from "../settings/model.ts";
import type { PlanSettings } from "../settings/plan.ts";
import type { TrainSettings } from "../settings/train.ts";
import type { ChatTemplate } from "../text/chat_template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Measures } from "../trainer/loop.ts";
import { prepare, type Prepared } from "../trainer/prepare.ts";
import type { Trainer } from "../trainer/trainer.ts";
import { openBase } from "./base_model.ts";
import type { Io } from "./io.ts";
import { objectiveFor, pairsOf, type PreferenceSettings, unpaired } from "./objectives.ts";
import { dateOf } from "./resuming.ts";
import { type Room, roomOf } from "./room.ts";
import { fallback, targetsOf, tellFallback } from "./targets.ts";
import { spelledMarks } from "../text/spelled.ts";
import { systemText, type Texts, textsOf } from "./texts.ts";

/** Rows of a file, tokenised, and what is to be recorded of them. */
export interface TokenRows {
  readonly examples: readonly SftExample[];
  readonly rows: readonly PreparedRow[];
  readonly facts: Rows;
}

/** A run of which all is known but the device. */
export interface PreparedRun {
  readonly prepared: Prepared;
  /** Last names of the modules that get an adapter; none with --full. */
  readonly targets: readonly string[];
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | undefined;
  /** The day that the template shows, "2026-11-22"; undefined where it shows none. */
  readonly date: string | undefined;
  readonly data: TokenRows | undefined;
  readonly validation: TokenRows | undefined;
  /** The memory that it was fitted to. */
  readonly room: Room;
  /** Settings in the place of those asked for, where no adapter could be made. */
  readonly instead?: Partial<TrainSettings>;
  /** Measures validation rows in another way than by the loss. */
  readonly measure?: (trainer: Trainer) => Promise<Measures>;
  /** Writes what else belongs beside the trained weights. */
  readonly beside?: (folder: string) => Promise<void>;
}

/** Settings of a training run on one model. */
export type RunSettings = (TrainSettings | PreferenceSettings | Omit<PlanSettings, "model">) & {
  readonly model: string;
  readonly device?: string;
};

/**
 * Opens the model, reads and tokenises the rows, lays the run out and fits it to memory. No device yet,
 * and whether it fits is left to the caller: `prepared.fits`.
 * @throws Fail (usage) (data)
 */
export async function prepareRun(asked: RunSettings, io: Io): Promise<PreparedRun> {
  const opened = await openBase(asked.model);
  requireHead(opened);
  const instead = fallback(asked, opened), settings = { ...asked, ...instead };
  const model = { ...opened, quant: quantOf(settings), compute: settings.compute };
  const { tokenizer, template: asItIs } = await textsOf(settings.model, settings.template);
  const date = asItIs?.source.includes("strftime_now")
    ? settings.date ?? dateOf(settings) ?? today()
    : undefined;
  const texts = { tokenizer, template: date && asItIs ? dated(asItIs, date) : asItIs };
  const { vocab, context } = model.sizes;
  const known = { vocab, context, slides: slides(model), ...texts };
  const read = (path: string, how: Reading) => readRows(path, how, known, io);
  const plain = { ...settings, loss_on: "response", min_pairs: 1 };
  const all = settings.data === undefined ? undefined : await read(settings.data, settings);
  const given = settings.val === undefined ? undefined : await read(settings.val, plain);
  const { data, validation } = all && !given
    ? split(all, settings, io, (part) => tokenised(part.facts.path, part.examples, plain, known))
    : { data: all, validation: given };
  if (data && validation) warnOfLeaks(data, validation, io);
  requireValidation(settings, data, validation);
  const targets = targetsOf(settings, model);
  const rows = data?.rows ?? imagined(settings, model);
  const room = roomOf(settings);
  const objective = objectiveFor(settings), checks = validation?.rows ?? [];
  const prepared = prepare(model, rows, checks, targets, settings, room.bytes, objective);
  if (instead) tellFallback(asked, prepared, io);
  return { prepared, targets, ...texts, date, data, validation, room, instead };
}

/** The template as it reads on one day: rows must become the same tokens whenever a run is resumed. */
function dated(template: ChatTemplate, day: string): ChatTemplate {
  const date = new Date(`${day}T12:00:00`);
  return {
    ...template,
    render: (messages, options) => template.render(messages, { date, ...options }),
  };
}

/** As the people here count days. */
function today(): string {
  const now = new Date(), two = (n: number) => String(n).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

/**
 * Takes rows to measure on away from those to train: a tenth where there are more than 100, chosen by the
 * seed, so that it is the same tenth in every run; with --tail the last ones.
 * @param measured makes rows to measure on of those that were read to be trained: plain responses, so that
 *   the validation loss says the same whatever the training loss is
 */
function split(
  all: TokenRows,
  { val_split, tail, seed, loss_on }: RunSettings,
  io: Io,
  measured: (part: TokenRows) => TokenRows,
): { data: TokenRows; validation?: TokenRows } {
  const n = all.rows.length, key = (row: number) => all.rows[row]!.ids.join();
  const options = { seed, tail, key };
  const { train, val } = val_split === undefined
    ? automaticSplit(n, options)
    : splitRows(n, val_split, options);
  if (val.length === 0 || train.length === 0) return { data: all };
  io.note(`Split: ${thousands(train.length)} train, ${thousands(val.length)} val`);
  const validation = part(all, val);
  return {
    data: part(all, train),
    validation: loss_on === "response" ? validation : measured(validation),
  };
}

function part({ examples, rows, facts }: TokenRows, indices: readonly number[]): TokenRows {
  const chosen = indices.map((i) => rows[i]!);
  // A row that was left out as too long has no place among the rows: lines say which example is which.
  const byLine = Map.groupBy(examples, ({ line }) => line);
  // One line may hold two.
  const example = ({ line }: PreparedRow) => byLine.get(line)!.shift()!;
  return factsOf(facts.path, chosen.map(example), chosen);
}

function requireValidation(
  { patience, best, data: path }: RunSettings,
  data: TokenRows | undefined,
  validation: TokenRows | undefined,
) {
  if (!data) return;
  const needs = patience !== undefined
    ? "--patience"
    : best.startsWith("val_")
    ? ""
    : `--best ${best}`;
  if (!validation && needs) {
    throw new Fail(`${needs} needs rows to measure on`, {
      why: `${path} has ${plural(data.rows.length, "row")}, and no --val was given`,
      fix: "--val FILE, or --val-split 0.1",
      exit: Exit.usage,
    });
  }
}

/** How rows are read: what training, planning and evaluating have in common. */
export interface Reading {
  readonly max_seq: number;
  readonly overlong: "drop" | "error" | "truncate";
  /** As --loss-on has it; plain responses where absent. */
  readonly loss_on?: string;
  readonly compute?: "f32" | "f16";
  readonly map?: string;
  readonly system?: string;
  readonly json_indent: number;
  readonly skip_bad: boolean;
  readonly limit?: number;
  readonly smoke?: boolean;
  readonly batch: number;
  readonly accum: number;
}

/** What rows are read for. */
interface Reader extends Texts {
  readonly vocab: number;
  readonly context: number;
  /** Some layers see a sliding window: the rows that see a second key are not its first neighbours. */
  readonly slides?: boolean;
}

const slides = ({ config }: Model) =>
  (config as Partial<DecoderConfig>).windows?.some((window) => window !== undefined) ?? false;

/** Reads and tokenises the rows of a file or of stdin. @throws Fail (data) */
export async function readRows(
  path: string,
  settings: Reading,
  model: Texts & Pick<Reader, "vocab" | "context" | "slides">,
  io: Io,
): Promise<TokenRows> {
  const { max_seq, overlong, limit, smoke } = settings;
  const options = {
    map: mapOf(settings.map),
    system: systemText(settings.system),
    jsonIndent: settings.json_indent,
    vocabulary: model.vocab,
    skipBad: settings.skip_bad,
  };
  const pairs = pairsOf(settings);
  const { examples: all, rejected, identical = [] } = pairs
    ? unpaired(pairs)
      ? await readUnpaired(path, options)
      : await readPairs(path, options, pairs.min_pairs)
    : { ...await readDataset(path, options), identical: undefined };
  for (const message of identical.slice(0, 20)) io.warn("WH0311", message);
  if (identical.length > 20) io.warn("WH0311", `and ${identical.length - 20} more identical pairs`);
  if (rejected.length > 0) {
    const first = rejected[0]!;
    io.warn(
      "WH0305",
      `${
        plural(rejected.length, "row")
      } of ${path} passed over, the first at line ${first.line}: ` +
        first.reason,
    );
  }
  const most = smoke ? Math.min(limit ?? Infinity, 3 * settings.batch * settings.accum) : limit;
  const examples = most === undefined ? all : all.slice(0, most);
  const name = path === "-" ? "stdin" : path;
  warnOfMarks(name, examples, model, io);
  const { report, ...read } = tokenised(path, examples, settings, model);
  const { rows } = read;
  warnOfLength(name, report, Math.min(max_seq, model.context), model.context, overlong, io);
  const { tokens, supervised_tokens } = read.facts;
  io.detail(
    `${name}: ${plural(rows.length, "row")}, ${thousands(tokens!)} tokens, ${
      thousands(supervised_tokens!)
    } trained`,
  );
  return read;
}

/** Rows in which marks are looked for. */
const LOOKED_AT = 100;

/** Warns of begin and end marks that were written for another model. */
function warnOfMarks(
  name: string,
  examples: readonly object[],
  { tokenizer, template }: Texts,
  io: Io,
) {
  const chat = examples.some((example) => "messages" in example);
  const written = examples.slice(0, LOOKED_AT).flatMap((example) =>
    "messages" in example ? [] : Object.values(example).filter((part) => typeof part === "string")
  );
  const { eos } = tokenizer;
  for (
    const [where, text] of [
      [name, written.join("\n")],
      ["the chat template", chat ? template?.source.replace(/\{#[\s\S]*?#\}/g, "") ?? "" : ""],
    ] as const
  ) {
    const marks = spelledMarks(text, tokenizer);
    if (marks.length === 0) continue;
    io.warn(
      "WH0324",
      `${where} writes ${marks.join(" and ")}, which this model has no token for: plain text to it`,
      "leave such marks out" +
        (eos === undefined
          ? ""
          : `: ${tokenizer.tokenText(eos)}, which ends its answers, is added`),
    );
  }
}

export function tokenised(
  path: string,
  examples: readonly SftExample[],
  settings: Reading,
  { tokenizer, template, vocab, context, slides }: Reader,
): TokenRows & { readonly report: LengthReport } {
  const { max_seq, overlong, loss_on = "response" } = settings;
  const options = {
    name: path === "-" ? "stdin" : path,
    vocabulary: vocab,
    maxSeq: Math.min(max_seq, context),
    overlong,
    template,
    lossOn: lossOnOf(loss_on),
  };
  const pairs = pairsOf(settings);
  const share = pairs !== undefined && pairs.share_prompt && settings.compute !== "f16" && !slides;
  const { rows, report } = !pairs
    ? prepareSft(examples, tokenizer, options)
    : unpaired(pairs)
    ? prepareUnpaired(examples as readonly UnpairedExample[], tokenizer, {
      ...options,
      share,
      batch: pairs.loss_type === "kto" ? settings.batch : undefined,
    })
    : preparePairs(examples as readonly PairExample[], tokenizer, {
      ...options,
      share,
      prompt: pairs.loss_type === "orpo",
    });
  return { ...factsOf(path, examples, rows), report };
}

function factsOf(
  path: string,
  examples: readonly SftExample[],
  rows: readonly PreparedRow[],
): TokenRows {
  const facts = {
    path,
    rows: rows.length,
    tokens: rows.reduce((sum, row) => sum + row.ids.length, 0),
    supervised_tokens: rows.reduce((sum, row) => sum + row.targets, 0),
    sha256: datasetHash(examples),
    tokens_sha256: tokensHash(rows),
    chat: examples.some((example) => "messages" in example),
  };
  return { examples, rows, facts };
}

function warnOfLength(
  name: string,
  { rows, tokens, longest, overlong, tokensLost, endsLost }: LengthReport,
  limit: number,
  context: number,
  choice: Reading["overlong"],
  io: Io,
) {
  if (overlong === 0) return;
  const did = choice === "drop" ? "left out" : "cut";
  io.warn(
    "WH0306",
    `${name}: ${thousands(overlong)} of ${plural(rows, "row")} ${
      overlong === 1 ? "is" : "are"
    } longer than ${limit} tokens and ${did}: ` +
      `${short((100 * tokensLost) / tokens)} % of all tokens lost` +
      (endsLost > 0 ? `; ${thousands(endsLost)} lost the end of their answer` : ""),
    longest <= context
      ? `the longest has ${longest} tokens: --max-seq ${longest}`
      : `the longest has ${longest} tokens, this model takes ${context}: shorten the rows`,
  );
}

function warnOfLeaks(data: TokenRows, validation: TokenRows, io: Io) {
  const { exact, near } = leaks(data.examples, validation.examples);
  const found = exact.length + near.length;
  if (found === 0) return;
  const [at, other] = (exact[0] ?? near[0])!;
  io.warn(
    "WH0307",
    `${
      plural(found, "validation row")
    } also in the training rows, the first: line ${at} and line ` +
      `${other}`,
    "take them out of one file: what was trained says nothing about what was learnt",
  );
}

/** Rows for a plan without data: as many as a step takes, each as long as may be, half of it trained. */
function imagined(settings: RunSettings, model: Model): TokenRow[] {
  const length = Math.min(settings.max_seq, model.sizes.context), pairs = pairsOf(settings);
  const ids = new Uint32Array(pairs ? 2 * length : length);
  const labels = Int32Array.from(ids, (_, i) => i % length === 0 || i % 2 === 0 ? -100 : 0);
  const pair = pairs && { shared: 0, rejected: length };
  return Array.from({ length: settings.batch * settings.accum }, () => ({ ids, labels, pair }));
}
