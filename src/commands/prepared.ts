import { type Model, openModel } from "../architectures/model.ts";
import { plural, short, thousands } from "../base/text.ts";
import { datasetHash, leaks, tokensHash } from "../data/hash.ts";
import { type LengthReport, type PreparedRow, prepareSft } from "../data/prepare.ts";
import { readDataset, type SftExample } from "../data/rows.ts";
import type { Rows } from "../report/record.ts";
import { mapOf, quantOf } from "../settings/model.ts";
import type { PlanSettings, TrainSettings } from "../settings/train.ts";
import type { ChatTemplate } from "../text/chat_template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { prepare, type Prepared } from "../trainer/prepare.ts";
import type { Io } from "./io.ts";
import { type Room, roomOf } from "./room.ts";
import { type Texts, textsOf } from "./texts.ts";

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
  readonly data: TokenRows | undefined;
  readonly validation: TokenRows | undefined;
  /** The memory that it was fitted to. */
  readonly room: Room;
}

/** Settings of a training run on one model. */
export type RunSettings = (TrainSettings | Omit<PlanSettings, "model">) & {
  readonly model: string;
  readonly device?: string;
};

/**
 * Opens the model, reads and tokenises the rows, lays the run out and fits it to memory. No device yet,
 * and whether it fits is left to the caller: `prepared.fits`.
 * @throws Fail (usage) (data)
 */
export async function prepareRun(settings: RunSettings, io: Io): Promise<PreparedRun> {
  const model = {
    ...await openModel(settings.model),
    quant: quantOf(settings),
    compute: settings.compute,
  };
  const texts = await textsOf(settings.model, settings.template);
  const { vocab, context } = model.sizes;
  const read = (path: string) => readRows(path, settings, { vocab, context, ...texts }, io);
  const data = settings.data === undefined ? undefined : await read(settings.data);
  const validation = settings.val === undefined ? undefined : await read(settings.val);
  if (data && validation) warnOfLeaks(data, validation, io);
  const targets = targetsOf(settings, model);
  const rows = data?.rows ?? imagined(settings, model);
  const room = roomOf(settings);
  const prepared = prepare(model, rows, validation?.rows ?? [], targets, settings, room.bytes);
  return { prepared, targets, ...texts, data, validation, room };
}

function targetsOf(settings: RunSettings, model: Model): readonly string[] {
  const { full, target } = settings;
  if (full) return [];
  const { linears, defaultTargets } = model.architecture;
  return target === undefined ? defaultTargets : target === "all-linear" ? linears : target;
}

/** How rows are read: what training, planning and evaluating have in common. */
export interface Reading {
  readonly max_seq: number;
  readonly overlong: "drop" | "error" | "truncate";
  readonly map?: string;
  readonly json_indent: number;
  readonly skip_bad: boolean;
  readonly limit?: number;
  readonly smoke?: boolean;
  readonly batch: number;
  readonly accum: number;
}

/** Reads and tokenises the rows of a file or of stdin. @throws Fail (data) */
export async function readRows(
  path: string,
  settings: Reading,
  model: Texts & { readonly vocab: number; readonly context: number },
  io: Io,
): Promise<TokenRows> {
  const { max_seq, overlong, limit, smoke } = settings;
  const { tokenizer, template } = model;
  const { examples: all, rejected } = await readDataset(path, {
    map: mapOf(settings.map),
    jsonIndent: settings.json_indent,
    vocabulary: model.vocab,
    skipBad: settings.skip_bad,
  });
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
  const { rows, report } = prepareSft(examples, tokenizer, {
    name,
    vocabulary: model.vocab,
    maxSeq: Math.min(max_seq, model.context),
    overlong,
    template,
  });
  warnOfLength(name, report, Math.min(max_seq, model.context), model.context, overlong, io);
  const supervised = rows.reduce((sum, row) => sum + row.targets, 0);
  const tokens = rows.reduce((sum, row) => sum + row.ids.length, 0);
  const facts = {
    path,
    rows: rows.length,
    tokens,
    supervised_tokens: supervised,
    sha256: datasetHash(examples),
    tokens_sha256: tokensHash(rows),
    chat: examples.some((example) => "messages" in example),
  };
  io.detail(
    `${name}: ${plural(rows.length, "row")}, ${thousands(tokens)} tokens, ${
      thousands(supervised)
    } trained`,
  );
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

/** Rows for a plan without data: as many as one step takes, as long as they may be, half of it answer. */
function imagined(settings: RunSettings, model: Model) {
  const length = Math.min(settings.max_seq, model.sizes.context);
  const ids = new Uint32Array(length);
  const labels = Int32Array.from(ids, (_, i) => i < length / 2 ? -100 : 0);
  return Array.from({ length: settings.batch * settings.accum }, () => ({ ids, labels }));
}
