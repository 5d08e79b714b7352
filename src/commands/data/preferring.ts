import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { type Journal, openJournal } from "../../base/journal.ts";
import { permutation } from "../../base/random.ts";
import { sha256, sha256File } from "../../base/sha256.ts";
import { columns, plural, thousands } from "../../base/text.ts";
import { rejectedOf } from "../../evaluate/agreement.ts";
import type { AnswerSchema } from "../../settings/answer_schema.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { PreferencesSettings } from "../../settings/data_preferences.ts";
import { type AnswerLine, Answers, isAnswerLine } from "../../teachers/asking.ts";
import { encodePrompt } from "../../text/prompt.ts";
import { baseAndAdapter } from "../use/adapted.ts";
import { Answerer } from "../use/answering.ts";
import {
  answeredByHand,
  emitPrompts,
  estimateIdeals,
  isAsked,
  nameOf,
  openIdeals,
  sourceOf,
  taskFor,
} from "./ideals.ts";
import type { Io } from "../io.ts";
import { load, openBoth } from "../use/loaded.ts";
import { lockOutput } from "./outputs.ts";
import { checkPrompt, lockedSystem } from "../use/prompt_check.ts";
import { flawOf, questionsFor, withSystem } from "./preference_prompts.ts";
import type { Asked } from "../use/questions.ts";
import { findSchema } from "./schemas.ts";
import { textsOf } from "../use/texts.ts";

type Settings = PreferencesSettings & CommonSettings;

/** What became of one prompt. */
type Outcome =
  | { readonly line: number; readonly pair: PairRow }
  | { readonly line: number; readonly identical: true; readonly span?: string }
  | { readonly line: number; readonly invalid: string }
  | { readonly line: number; readonly empty: true };

/** A row of the file: what whet train dpo reads, and where it is from. */
export interface PairRow {
  readonly prompt: string | readonly unknown[];
  readonly chosen: string | readonly unknown[];
  readonly rejected: string | readonly unknown[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** What whet data preferences did. */
export interface PreferenceReport {
  readonly output: string;
  /** False where it was stopped; the same settings go on. */
  readonly complete: boolean;
  /** The file was there already and is as it was; the counts below are then 0. */
  readonly skipped: boolean;
  readonly prompts: number;
  readonly asked: number;
  readonly pairs: number;
  readonly identical: number;
  readonly invalid_ideals: number;
  readonly empty_answers: number;
  /** Rejected answers that were cut off at --max-tokens. */
  readonly cut: number;
  readonly too_long: number;
  readonly repeated: number;
  /** Mean agreement of the rejected answers with the ideal ones. */
  readonly agreement: number;
}

/** Prompts after which all that was done is on the disk, times the answers to each. */
const BATCH = 32;
const WARNED = 20;

/**
 * Answers of a model against ideal ones, as pairs for `whet train dpo`. Every batch is on the disk before
 * the next, in FILE_progress.jsonl; the result depends on the settings alone, whatever interrupted it.
 * @returns what was made; a file is written only where there is a pair
 * @throws Fail (usage) (data) (gpu)
 */
export async function runPreferences(settings: Settings, io: Io): Promise<PreferenceReport> {
  const { output } = settings;
  const path = `${output.replace(/\.jsonl?$/, "")}_progress.jsonl`;
  using _lock = await lockOutput(output);
  const begun = existsSync(path) && !settings.force;
  const none = { prompts: 0, too_long: 0, repeated: 0 };
  if (existsSync(output) && !begun && !settings.force) {
    io.note(`${output} is there already; --force begins afresh`);
    return { ...reportOf(output, [], none), complete: true, skipped: true };
  }
  using prepared = await prepare(settings, io);
  const { model, opened, schema, source, task, texts, ready, known, drawing, made } = prepared;
  if (settings.force) rmSync(path, { force: true });
  const journal = await openJournal(path);
  const answers = new Answers(journal);
  const outcomes = await beginning(journal, made, path, answers);
  const batch = Math.max(1, Math.ceil(BATCH / settings.best_of));
  const pairs = () => outcomes.filter((one) => "pair" in one).length;
  const finished = () => outcomes.length >= ready.length || pairs() >= settings.num;
  try {
    if (begun) io.note(`going on with ${plural(pairs(), "pair")} of ${path}`);
    if (!finished()) {
      using teacher = isAsked(source)
        ? await openIdeals(source, task, ready.length, answers, settings, io)
        : undefined;
      using loaded = await load(opened, model, io);
      const longest = Math.max(...ready.map(({ ids }) => ids.length));
      const answerer = await Answerer.create(loaded, texts, longest, drawing);
      const provenance = {
        ...(settings.prompts === undefined
          ? { schema: settings.schema }
          : { from: settings.prompts }),
        model: model.model,
        ...(model.adapter === undefined ? {} : { adapter: model.adapter }),
        samples: settings.best_of,
        ideal: nameOf(source),
      };
      while (!finished() && io.stop.requested === undefined) {
        const turn = ready.slice(outcomes.length, outcomes.length + batch);
        const ideals = teacher
          ? await teacher.of(turn.map(({ question }) => question))
          : turn.map(({ question }) => question.expected);
        if (!ideals) break;
        const said = await judged(
          turn,
          ideals,
          outcomes.length / batch,
          answerer,
          settings,
          schema,
        );
        const done = said.map((one) =>
          "pair" in one
            ? { ...one, pair: { ...one.pair, metadata: { ...provenance, ...one.pair.metadata } } }
            : one
        );
        await journal.append(JSON.stringify({ batch: done }));
        outcomes.push(...done);
        io.event("batch", { asked: outcomes.length, of: ready.length, pairs: pairs() });
        io.progress(
          `${thousands(pairs())} of ${thousands(settings.num)} pairs, ${
            thousands(outcomes.length)
          } of ${plural(ready.length, "prompt")} asked`,
        );
      }
      answerer.free();
      io.progress();
    }
  } finally {
    await journal.close();
    if (outcomes.length + answers.ledger.calls === 0) rmSync(path, { force: true });
  }
  const used = upTo(outcomes, settings.num);
  const report = { ...reportOf(output, used, known), complete: finished() };
  if (!report.complete) return report;
  warnIdentical(used, io);
  const rows = used.flatMap((one) => "pair" in one ? [one.pair] : []);
  if (rows.length === 0) return report;
  await writeFile(output, rows.map((row) => JSON.stringify(row) + "\n"));
  rmSync(path, { force: true });
  return report;
}

/**
 * Opens the model, reads or makes the prompts, and puts them in the order in which they are asked. No
 * device yet, and nothing is written.
 * @throws Fail (usage) (data)
 */
async function prepare(settings: Settings, io: Io) {
  const schema = settings.schema === undefined ? undefined : findSchema(settings.schema).schema;
  const model = { ...settings, ...await baseAndAdapter(settings) };
  const source = sourceOf(settings);
  const { asked, ...counts } = await questionsFor(settings, schema, source.kind === "rows", io);
  const texts = await textsOf(model.model, settings.template);
  const opened = await openBoth(model);
  const { context } = opened.model.sizes;
  const system = lockedSystem(model, asked.map(({ prompt }) => prompt), io);
  const bare = asked.map((one) => system === undefined ? one : withSystem(one, system));
  const task = taskFor(bare, schema, settings);
  const questions = settings.import.length > 0
    ? answeredByHand(bare, task, settings.import, io)
    : bare;
  checkPrompt(
    model,
    questions.map(({ prompt }) => prompt),
    texts,
    settings.strict_prompt,
    io,
  );
  const encoded = questions.map((question) => ({
    question,
    ids: encodePrompt(texts.tokenizer, question.prompt, { template: texts.template }),
  }));
  // A prompt needs room for an answer.
  const fitting = encoded.filter(({ ids }) => ids.length + 8 <= context);
  const known = {
    ...counts,
    prompts: questions.length,
    too_long: encoded.length - fitting.length,
  };
  if (fitting.length === 0) {
    throw new Fail(`no prompt leaves room for an answer in ${context} tokens`, {
      fix: "shorter prompts, or a model that reads more",
      exit: Exit.data,
    });
  }
  const order = permutation(settings.seed, 0, fitting.length);
  const ready = Array.from(order, (i) => fitting[i]!);
  const drawing = {
    each: settings.best_of,
    temp: settings.temp ?? (settings.best_of > 1 ? 0.8 : 0),
    top_p: settings.top_p,
    max_tokens: settings.max_tokens,
    seed: settings.seed,
  };
  const adapter = model.adapter === undefined
    ? null
    : (await sha256File(join(model.adapter, "adapter_model.safetensors"))).sha256;
  const made = {
    model: opened.model.folder.hash(),
    adapter,
    quant: [settings.quant, settings.double_quant, settings.compute],
    prompts: sha256(JSON.stringify(questions)),
    ideals: nameOf(source),
    schema: schema ? sha256(schema.text) : null,
    template: texts.template ? sha256(texts.template.source) : null,
    text: settings.text,
    reject: settings.reject,
    drawing,
  };
  return {
    ...{ model, opened, schema, source, task, texts, ready, known, drawing, made },
    [Symbol.dispose]: () => opened[Symbol.dispose](),
  };
}

/** --estimate and --emit-prompts: what a teacher would be asked. */
export async function tellIdeals(settings: Settings, io: Io): Promise<void> {
  using prepared = await prepare(settings, io);
  const { task, source } = prepared;
  const questions = prepared.ready.map(({ question }) => question);
  if (settings.emit_prompts === undefined) {
    return estimateIdeals(questions, task, source, settings, io);
  }
  await emitPrompts(questions, task, settings.emit_prompts, settings, io);
}

/** As many as it takes for so many pairs: the last batch may bring more. */
function upTo(outcomes: readonly Outcome[], pairs: number): readonly Outcome[] {
  let n = 0;
  const last = outcomes.findIndex((one) => "pair" in one && ++n === pairs);
  return last < 0 ? outcomes : outcomes.slice(0, last + 1);
}

interface Ready {
  readonly question: Asked;
  readonly ids: readonly number[];
}

/** Asks the model the questions of one batch, and compares. Invalid ideals cost no computing. */
async function judged(
  turn: readonly Ready[],
  ideals: readonly (string | undefined)[],
  number: number,
  answerer: Answerer,
  settings: Settings,
  schema: AnswerSchema | undefined,
): Promise<Outcome[]> {
  const flaws = ideals.map((ideal) => flawOf(ideal, schema, settings.text));
  const sound = turn.filter((_, i) => flaws[i] === undefined);
  const given = await answerer.answers(sound.map(({ ids }) => ids), number);
  return turn.map(({ question }, i): Outcome => {
    const { line, span } = question;
    if (flaws[i] !== undefined) return { line, invalid: flaws[i] };
    const ideal = ideals[i]!, answers = given[sound.indexOf(turn[i]!)]!;
    const rejected = rejectedOf(ideal, answers, settings.reject);
    if (!rejected) {
      return answers.every(({ text }) => text.trim() === "")
        ? { line, empty: true }
        : { line, identical: true, ...(span === undefined ? {} : { span }) };
    }
    return {
      line,
      pair: pairRow(question, ideal, rejected.text, {
        line,
        ...(span === undefined ? {} : { span_id: span }),
        agreement: Number(rejected.score.toFixed(4)),
        ...(rejected.cut ? { cut: true } : {}),
      }),
    };
  });
}

/** Conversations stay conversations, so that both trainings see one prompt. */
function pairRow(
  { prompt }: Asked,
  chosen: string,
  rejected: string,
  metadata: Readonly<Record<string, unknown>>,
): PairRow {
  if ("prompt" in prompt) return { prompt: prompt.prompt, chosen, rejected, metadata };
  const turn = (content: string) => [{ role: "assistant", content }];
  return { prompt: prompt.messages, chosen: turn(chosen), rejected: turn(rejected), metadata };
}

/** A line of the journal. */
type Entry =
  | {
    readonly begin: {
      readonly v: 1;
      readonly hash: string;
      readonly made: Record<string, unknown>;
    };
  }
  | { readonly batch: Outcome[] }
  | AnswerLine;

/** What a journal holds, or its first line written. @throws Fail (data) where it is of other settings */
async function beginning(
  journal: Journal,
  made: object,
  path: string,
  answers: Answers,
): Promise<Outcome[]> {
  const hash = sha256(JSON.stringify(made));
  if (journal.before.length === 0) {
    await journal.append(JSON.stringify({ begin: { v: 1, hash, made } }));
    return [];
  }
  const refuse = (what: string, why: string) =>
    new Fail(what, {
      why,
      fix: "the settings it was begun with go on; --force begins afresh",
      exit: Exit.data,
    });
  const outcomes: Outcome[] = [];
  for (const [i, line] of journal.before.entries()) {
    let entry: Entry;
    try {
      entry = JSON.parse(line);
      const known = "batch" in entry ? Array.isArray(entry.batch) : isAnswerLine(entry);
      if (i === 0 ? !("begin" in entry) || entry.begin.v !== 1 : !known) {
        throw new Error("not its form");
      }
    } catch (error) {
      throw refuse(`${path} is damaged in line ${i + 1}`, (error as Error).message);
    }
    if ("batch" in entry) outcomes.push(...entry.batch);
    else if (isAnswerLine(entry)) answers.take(entry);
    else if (entry.begin.hash !== hash) {
      const before = entry.begin.made;
      const changed = Object.entries(made).filter(([key, value]) =>
        JSON.stringify(before[key]) !== JSON.stringify(value)
      ).map(([key]) => key);
      throw refuse(
        `what was begun in ${path} was made with other settings`,
        `other now: ${changed.join(", ")}`,
      );
    }
  }
  return outcomes;
}

function warnIdentical(outcomes: readonly Outcome[], io: Io) {
  const same = outcomes.filter((one) => "identical" in one);
  for (const { span, line } of same.slice(0, WARNED)) {
    io.warn(
      "WH0311",
      span === undefined
        ? `Skipping identical pair at line ${line}`
        : `Skipping identical pair for span ${span}`,
    );
  }
  if (same.length > WARNED) io.warn("WH0311", `and ${same.length - WARNED} more identical pairs`);
}

function reportOf(
  output: string,
  outcomes: readonly Outcome[],
  counts: Pick<PreferenceReport, "prompts" | "too_long" | "repeated">,
): PreferenceReport {
  const of = (key: string) => outcomes.filter((one) => key in one).length;
  const metadata = outcomes.flatMap((one) => "pair" in one ? [one.pair.metadata] : []);
  const sum = metadata.reduce((total, { agreement }) => total + Number(agreement), 0);
  return {
    output,
    complete: false,
    skipped: false,
    ...counts,
    asked: outcomes.length,
    pairs: metadata.length,
    identical: of("identical"),
    invalid_ideals: of("invalid"),
    empty_answers: of("empty"),
    cut: metadata.filter(({ cut }) => cut === true).length,
    agreement: metadata.length === 0 ? 0 : Number((sum / metadata.length).toFixed(4)),
  };
}

/** The report for people. */
export function told(report: PreferenceReport, reject: string): string {
  const rows: [string, number, string][] = [
    ["pairs", report.pairs, report.output],
    ["prompts asked", report.asked, `of ${thousands(report.prompts)}`],
    ["identical", report.identical, "answered as well as the ideal answer, skipped"],
    ["invalid ideals", report.invalid_ideals, "dropped"],
    ["empty answers", report.empty_answers, "left out"],
    ["prompts too long", report.too_long, "left out"],
    ["prompts repeated", report.repeated, "left out"],
    ["answers cut off", report.cut, "at --max-tokens, taken where no other differed"],
  ];
  const shown = rows.filter(([name, n]) => n > 0 || name === "pairs");
  const lines = shown.map(([name, n, about]) => [name, thousands(n), about]);
  const measured = [
    "agreement",
    report.agreement.toFixed(3),
    `of the rejected answers (${reject})`,
  ];
  return columns(report.pairs > 0 ? [...lines, measured] : lines, [1]);
}
