import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { type Journal, openJournal } from "../../base/journal.ts";
import { sha256 } from "../../base/sha256.ts";
import { columns, plural, thousands } from "../../base/text.ts";
import { createBatch, reviewCommand } from "../../data/review.ts";
import { splitRows } from "../../data/split.ts";
import type { AnswerSchema } from "../../settings/answer_schema.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { GenerateSettings } from "../../settings/data_generate.ts";
import { generate, missingOf, nextBatch, Progress, type Told } from "../../teachers/generation.ts";
import { type Group, groupOf } from "../../teachers/mix.ts";
import { costOf, type Price, PRICES_OF, tokensOf } from "../../teachers/prices.ts";
import { checkTemplate, defaultTemplate } from "../../teachers/prompt.ts";
import type { Row, Teacher } from "../../teachers/teacher.ts";
import { templateTeacher } from "../../teachers/template_teacher.ts";
import { type Io, readText } from "../io.ts";
import { lockOutput, writePrompts } from "./outputs.ts";
import { findSchema } from "./schemas.ts";
import { byHand, openTeacher, priceFor, teacherOf } from "./teachers.ts";

type Settings = GenerateSettings & CommonSettings;

/** Where everything of a generation lies. */
interface Places {
  readonly train: string;
  readonly val: string;
  readonly journal: string;
}

const TEACHERS = ["template", "anthropic", "openai", "local", "manual"];

/**
 * @param agent what the rows are for; as the schema's files are called unless given
 * @throws Fail: see the command's parts
 */
export async function runGenerate(settings: Settings, io: Io, agent?: string): Promise<void> {
  const { name, schema } = findSchema(settings.schema);
  const places = placesOf(settings.output ?? join("training", "data", name, "train.jsonl"));
  const template = settings.template === undefined
    ? defaultTemplate(schema)
    : readText(settings.template, "the prompt template");
  if (settings.template !== undefined) checkTemplate(template, settings.template);
  const { kind, model } = byHand(settings)
    ? { kind: "manual", model: undefined }
    : teacherOf(settings.teacher, TEACHERS);
  const price = priceFor(settings, model);
  const job = {
    settings,
    agent: agent ?? name,
    awaited: agent !== undefined,
    schema,
    places,
    template,
    kind,
    model,
    price,
  };

  if (settings.estimate) return estimate(job, await looked(job), io);
  if (settings.emit_prompts !== undefined) {
    return await emit(job, await looked(job), settings.emit_prompts, io);
  }
  // Looked at under the lock: another program may be just finishing it.
  using _lock = await lockOutput(places.train);
  const begun = existsSync(places.journal);
  if (existsSync(places.train) && !begun && !settings.force && !settings.review) {
    io.note(`${places.train} is there already; --force begins afresh`);
    io.result({ train: places.train, skipped: true });
    return;
  }
  // Before anything is written, the teacher must be one that can be asked.
  using teacher = settings.import.length > 0 ? undefined : await teacherFor(job, io);
  if (settings.force) rmSync(places.journal, { force: true });
  const journal = await openJournal(places.journal);
  let progress: Progress | undefined;
  try {
    progress = await Progress.open(schema, sha256(schema.text), journal);
    if (begun && !settings.force) {
      io.note(`going on with ${plural(progress.rows.length, "row")} of ${places.journal}`);
    }
    const complete = teacher
      ? await ask(job, progress, teacher.it, io)
      : await take(job, progress, io);
    if (!complete) {
      const left = settings.num - progress.rows.length;
      io.note(
        `${thousands(progress.rows.length)} of ${thousands(settings.num)} rows are there; ` +
          (teacher
            ? "the same command goes on"
            : `${thousands(left)} are missing: --emit-prompts DIR writes prompts for them, --num ${
              Math.max(1, progress.rows.length)
            } finishes with what is there`),
      );
      io.result({ rows: progress.rows.length, of: settings.num, journal: places.journal });
      return;
    }
    await finish(job, progress, io);
  } finally {
    await journal.close();
    // Where nothing was asked yet, there is nothing to go on with.
    if (progress?.empty) rmSync(places.journal, { force: true });
  }
  rmSync(places.journal, { force: true });
}

interface Job {
  readonly settings: Settings;
  /** What the rows are for, as batches of a review are named. */
  readonly agent: string;
  /** Somebody waits for the reviewed rows. */
  readonly awaited: boolean;
  readonly schema: AnswerSchema;
  readonly places: Places;
  readonly template: string;
  readonly kind: string;
  readonly model: string | undefined;
  readonly price: Price | undefined;
}

function placesOf(train: string): Places {
  const stem = train.replace(/\.jsonl?$/, "");
  return { train, val: `${stem}_val.jsonl`, journal: `${stem}_progress.jsonl` };
}

async function teacherFor(job: Job, io: Io): Promise<{ it: Teacher } & Disposable> {
  const { settings, schema, template, kind } = job;
  if (kind === "template") {
    return { it: templateTeacher(schema, settings.seed), [Symbol.dispose]: () => {} };
  }
  return await openTeacher(job, settings, [schema.text, template], io);
}

/** What is there already, without making anything. */
async function looked({ schema, places, settings }: Job): Promise<Progress> {
  const none: Journal = { before: [], append: async () => {}, close: async () => {} };
  const there = existsSync(places.journal) && !settings.force;
  const journal = there ? await openJournal(places.journal) : none;
  const progress = await Progress.open(schema, sha256(schema.text), journal);
  await journal.close();
  return progress;
}

const longest = ({ max_tokens, batch }: Settings) => max_tokens ?? 240 * batch + 1000;
const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((a, b) => a + b, 0);

async function ask(job: Job, progress: Progress, teacher: Teacher, io: Io): Promise<boolean> {
  const { settings, template, price } = job;
  const missing = sum(missingOf(progress, settings.num));
  const told = ({ rows, of, refused, calls, tokens, cost, call }: Told) => {
    io.event("batch", { call, rows, of, refused, calls, tokens, cost });
    const spent = teacher.paid
      ? `, ${thousands(tokens)} tokens${cost === undefined ? "" : `, $${cost.toFixed(2)}`}`
      : "";
    io.progress(`${thousands(rows)} of ${thousands(of)} rows, ${plural(calls, "call")}${spent}`);
  };
  try {
    return await generate(progress, teacher, template, {
      rows: settings.num,
      batch: settings.batch,
      maxTokens: longest(settings),
      parallel: settings.parallel,
      retries: settings.retries,
      timeout: settings.timeout,
      caps: {
        calls: settings.max_calls ??
          progress.calls + 3 * Math.ceil(missing / settings.batch) + 10,
        tokens: settings.max_tokens_total,
        cost: settings.max_cost,
      },
      price,
      stopped: () => io.stop.requested !== undefined,
      onReply: told,
      onRetry: (why, wait) => {
        io.event("retry", { why, milliseconds: Math.round(wait) });
        io.note(`${why}; asking again in ${(wait / 1000).toFixed(1)} s`);
      },
    });
  } finally {
    io.progress();
  }
}

/** Reads the answers that a person brought. Rows count against no mix: there is nobody to ask again. */
async function take(job: Job, progress: Progress, io: Io): Promise<boolean> {
  for (const path of job.settings.import) {
    const text = readText(path, "the answers", 64 * 2 ** 20);
    const imported = sha256(text);
    if (progress.imported.has(imported)) {
      io.note(`${path} was read before`);
      continue;
    }
    const { rows, refused } = progress.sift(text, "manual");
    if (rows.length + refused.length === 0) {
      throw new Fail(`${path} holds no rows`, {
        why: `a JSON array of {"input", "context", "output"} was expected`,
        fix: "save the whole answer of the model into that file",
        exit: Exit.data,
      });
    }
    await progress.record({ imported, rows, refused });
    io.event("import", { path, rows: rows.length, refused: refused.length });
    io.note(`${path}: ${plural(rows.length, "row")}, ${refused.length} refused`);
    for (const { why, text } of refused.slice(0, 5)) io.note(`  ${why}: ${text}`);
  }
  return progress.rows.length >= job.settings.num;
}

/** Writes the files that train, or sends the rows to a person. @returns what is told of it */
async function deliver(
  { settings, agent, awaited, schema, places }: Job,
  rows: readonly Row[],
  io: Io,
) {
  const text = (i: number) => JSON.stringify(rows[i]);
  if (settings.review) {
    const { queue, teacher } = settings;
    const batch = await createBatch(queue, {
      agent,
      source: `${teacher} for ${schema.name}`,
      rows: rows.map((_, i) => text(i)),
      schema: { kind: schema.cli ? "yaml" : "json", text: schema.text },
    });
    const command = reviewCommand(queue, batch);
    // Who asked for an agent's rows takes them from the queue.
    io.note(`a person decides: ${command}${awaited ? "" : ` --export ${places.train}`}`);
    return { told: [["to review", thousands(rows.length), batch]], result: { queue, batch } };
  }
  const { train, val } = splitRows(rows.length, settings.val_split, { seed: settings.seed });
  const lines = (part: readonly number[]) => part.map((i) => text(i) + "\n");
  // The rows that train come last: where they are, everything is.
  if (val.length > 0) await writeFile(places.val, lines(val));
  else rmSync(places.val, { force: true });
  await writeFile(places.train, lines(train));
  return {
    told: [
      ["train", thousands(train.length), places.train],
      ...(val.length > 0 ? [["validation", thousands(val.length), places.val]] : []),
    ],
    result: {
      train: places.train,
      val: val.length > 0 ? places.val : null,
      train_rows: train.length,
      val_rows: val.length,
    },
  };
}

async function finish(job: Job, progress: Progress, io: Io): Promise<void> {
  const { rows, refused } = progress, { price } = job;
  const { told, result } = await deliver(job, rows, io);
  const counts = progress.counts(), { input, output } = progress.used;
  const cost = price && input + output > 0 ? costOf({ input, output }, price) : undefined;
  const diversity = distinct(rows);
  const all = (group: Group) => counts[group];
  const share = (n: number) => `${((100 * n) / rows.length).toFixed(1)} %`;
  const groups = (Object.keys(counts) as Group[]).filter((group) => all(group) > 0);
  io.out(
    columns([
      ...told,
      ...groups.map((g) => [g.replaceAll("_", " "), thousands(all(g)), share(all(g))]),
      ["refused", thousands(refused.length), reasons(refused)],
      ["diversity", diversity.toFixed(3), "different pairs of words among all"],
      ...(input + output > 0
        ? [["tokens", thousands(input + output), cost === undefined ? "" : `$${cost.toFixed(2)}`]]
        : []),
    ]),
  );
  io.result({
    ...result,
    rows: rows.length,
    mix: counts,
    cases: countBy(rows.map(({ metadata }) => metadata.case)),
    refused: refused.length,
    diversity,
    calls: progress.calls,
    tokens: input + output,
    cost,
  });
}

function countBy(list: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const one of list) counts[one] = (counts[one] ?? 0) + 1;
  return counts;
}

function reasons(refused: readonly { readonly why: string }[]): string {
  const counts = Object.entries(countBy(refused.map(({ why }) => why)));
  const [first] = counts.sort((a, b) => b[1] - a[1]);
  return first ? `mostly: ${first[0].slice(0, 70)}` : "";
}

/** Distinct-2 (Li et al. 2016, https://arxiv.org/abs/1510.03055) of the requests. */
function distinct(rows: readonly Row[]): number {
  const pairs = new Set<string>();
  let all = 0;
  for (const { instruction } of rows) {
    const words = instruction.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    for (let i = 1; i < words.length; i++, all++) pairs.add(`${words[i - 1]} ${words[i]}`);
  }
  return all === 0 ? 1 : pairs.size / all;
}

/** Tokens of one row of an answer: of rows like those the template teacher writes. */
async function rowTokens(schema: AnswerSchema, seed: number): Promise<number> {
  if (!schema.cli) return 150;
  const wanted = [{ case: "full_context", count: 12 }, { case: "no_context", count: 4 }, {
    case: "missing_argument",
    count: 4,
  }] as const;
  const batch = { call: 1, rows: 20, wanted, prompt: "", has: () => false };
  const ask = templateTeacher(schema, seed).ask(batch, 0, AbortSignal.timeout(1e6));
  const { text } = await ask;
  return tokensOf(text) / Math.max(1, (JSON.parse(text) as unknown[]).length);
}

async function estimate(job: Job, progress: Progress, io: Io): Promise<void> {
  const { settings, schema, template, kind, model, price } = job;
  const left = missingOf(progress, settings.num), rows = sum(left);
  const calls = Math.ceil(rows / settings.batch);
  const { prompt } = nextBatch(progress, template, left, settings.batch, progress.calls + 1);
  const input = calls * tokensOf(prompt);
  const output = Math.round(rows * await rowTokens(schema, settings.seed));
  // One row in ten is asked for again.
  const again = 1.1;
  const tokens = { input: Math.round(input * again), output: Math.round(output * again) };
  const paid = kind === "anthropic" || kind === "openai";
  const cost = !paid ? 0 : price && costOf(tokens, price);
  const money = cost === undefined
    ? "unknown: give --price-in and --price-out, dollars for a million tokens"
    : paid
    ? `about $${cost.toFixed(2)}, at $${price!.input} and $${price!.output} for a million tokens` +
      (settings.price_in === undefined ? ` (${PRICES_OF})` : "")
    : "nothing";
  io.out(
    columns([
      ["teacher", model === undefined ? kind : `${kind}:${model}`],
      [
        "rows",
        thousands(rows) + (progress.rows.length > 0 ? ` of ${thousands(settings.num)}` : ""),
      ],
      ["calls", `about ${thousands(Math.ceil(calls * again))}, ${settings.batch} rows each`],
      ["prompt tokens", `about ${thousands(tokens.input)}`],
      ["answer tokens", `about ${thousands(tokens.output)}`],
      ["cost", money],
    ]),
  );
  io.note("nothing was sent");
  io.result({
    rows,
    calls: Math.ceil(calls * again),
    prompt_tokens: tokens.input,
    answer_tokens: tokens.output,
    cost: cost ?? null,
    prices_of: paid && settings.price_in === undefined && price ? PRICES_OF : undefined,
  });
}

async function emit(job: Job, progress: Progress, folder: string, io: Io): Promise<void> {
  const { settings, template } = job;
  const left = missingOf(progress, settings.num);
  const prompts = function* () {
    for (let call = progress.calls + 1; sum(left) > 0; call++) {
      const batch = nextBatch(progress, template, left, settings.batch, call);
      for (const { case: one, count } of batch.wanted) left[groupOf(one)] -= count;
      yield batch.prompt;
    }
  };
  const files = await writePrompts(folder, prompts());
  io.out(`${plural(files.length, "prompt")} in ${folder}`);
  io.note(
    `put each to a model, save its answers as files, then: whet data generate ${settings.schema} ` +
      `--num ${settings.num} --import FILE,FILE…`,
  );
  io.result({ prompts: files });
}
