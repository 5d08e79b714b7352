import { existsSync, rmSync } from "node:fs";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { type Journal, openJournal } from "../../base/journal.ts";
import { sha256 } from "../../base/sha256.ts";
import { columns, plural, thousands } from "../../base/text.ts";
import {
  type Flagged,
  FLAGS,
  judgeChains,
  type ReasonedRow,
  reasonedRow,
  written,
} from "../../data/reasoning.ts";
import { type BadRow, badRows, EMPTY_DATASET } from "../../data/rows.ts";
import { valuesOf } from "../../data/sources.ts";
import type { AnswerSchema } from "../../settings/answer_schema.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { ReasoningSettings } from "../../settings/data_reasoning.ts";
import {
  type AnswerLine,
  Answers,
  askAll,
  isAnswerLine,
  type Task,
} from "../../teachers/asking.ts";
import { costOf, type Price, PRICES_OF, tokensOf } from "../../teachers/prices.ts";
import { reasoningTask, templateChain, type Why } from "../../teachers/reasoning.ts";
import { type Io, readText } from "../io.ts";
import { batches, lockOutput, writePrompts } from "./outputs.ts";
import { findSchema } from "./schemas.ts";
import { byHand, type Choice, openTeacher, priceFor, teacherOf } from "./teachers.ts";

type Settings = ReasoningSettings & CommonSettings;

const TEACHERS = ["template", "anthropic", "openai", "local", "manual"];
/** Tokens of a chain that a teacher writes, for estimates. */
const CHAIN = 110;
/** Rows named for each flag. */
const NAMED = 5;

/** A row, and what a teacher is asked about it. */
interface Job {
  readonly rows: readonly ReasonedRow[];
  /** Of the rows that have no reasoning yet, each once. */
  readonly items: readonly Why[];
  readonly schema: AnswerSchema | undefined;
  readonly task: Task<Why>;
  readonly output: string;
  readonly journal: string;
}

/** @throws Fail (usage) (data) (network) (gate) */
export async function runReasoning(settings: Settings, io: Io): Promise<void> {
  const rows = await read(settings.input);
  if (settings.check) return check(rows, settings.input, io);
  const schema = settings.schema === undefined ? undefined : findSchema(settings.schema).schema;
  const chosen = byHand(settings)
    ? { kind: "manual", model: undefined }
    : teacherOf(settings.teacher, TEACHERS);
  const price = priceFor(settings, chosen.model);
  const wanted = settings.preview === undefined ? rows : rows.slice(0, settings.preview);
  const output = settings.output ?? settings.input.replace(/\.\w+$/, "") + "_with_reasoning.jsonl";
  const job: Job = {
    rows: wanted,
    items: itemsOf(wanted),
    schema,
    task: reasoningTask(schema, flawOf),
    output,
    journal: output.replace(/\.jsonl?$/, "") + "_progress.jsonl",
  };
  if (settings.estimate) return await estimate(job, settings, chosen, price, io);
  if (settings.emit_prompts !== undefined) {
    return await emit(job, settings, settings.emit_prompts, io);
  }
  if (settings.preview !== undefined) {
    const chains = await previewed(job, settings, chosen, price, io);
    return show(job, chains, chosen, io);
  }
  await write(job, settings, chosen, price, io);
}

async function write(
  job: Job,
  settings: Settings,
  chosen: Choice,
  price: Price | undefined,
  io: Io,
): Promise<void> {
  const { output, journal: path, items } = job;
  using _lock = await lockOutput(output);
  const begun = existsSync(path) && !settings.force;
  if (existsSync(output) && !begun && !settings.force) {
    io.note(`${output} is there already; --force begins afresh`);
    io.result({ output, skipped: true });
    return;
  }
  if (chosen.kind === "template") return await finish(job, templateChains(job), chosen, io);
  using teacher = settings.import.length > 0
    ? undefined
    : await openTeacher(chosen, settings, sentOf(job), io);
  if (settings.force) rmSync(path, { force: true });
  const journal = await openJournal(path);
  let answers: Answers;
  let complete: boolean;
  try {
    answers = await begin(journal, path);
    if (begun) io.note(`going on with ${plural(answers.byId.size, "chain")} of ${path}`);
    if (teacher) {
      complete = await askAll(items, job.task, teacher.it, answers, {
        ...callsOf(job, settings, price, answers, io),
        onReply: ({ tokens, cost }) => {
          const done = items.filter(({ id }) => answers.byId.has(id)).length;
          io.event("batch", { chains: done, of: items.length, tokens, cost });
          io.progress(
            `${thousands(done)} of ${plural(items.length, "chain")}${
              teacher.it.paid ? `, ${thousands(tokens)} tokens` : ""
            }${cost === undefined ? "" : `, $${cost.toFixed(2)}`}`,
          );
        },
      });
      io.progress();
    } else complete = await take(job, settings.import, answers, io);
  } finally {
    await journal.close();
    if (journal.before.length === 0 && !hasAnswers(path)) rmSync(path, { force: true });
  }
  if (!complete) {
    const left = answers.missing(items).length;
    io.note(
      `${plural(left, "chain")} missing; ${
        teacher ? "the same command goes on" : "--import goes on with further answers"
      }`,
    );
    io.result({ chains: answers.byId.size, of: items.length, journal: path });
    return;
  }
  await finish(job, answers.byId, chosen, io);
  rmSync(path, { force: true });
}

/** More than the first line. */
const hasAnswers = (path: string) =>
  existsSync(path) && readText(path, "the journal", 2 ** 30).trim().includes("\n");

async function begin(journal: Journal, path: string): Promise<Answers> {
  const answers = new Answers(journal);
  if (journal.before.length === 0) {
    await journal.append(JSON.stringify({ begin: { v: 1, kind: "reasoning" } }));
  }
  for (const [i, line] of journal.before.entries()) {
    try {
      const entry = JSON.parse(line) as { begin?: { kind: string } } & AnswerLine;
      if (i === 0 ? entry.begin?.kind !== "reasoning" : !isAnswerLine(entry)) {
        throw new Error("not a line of this journal");
      }
      if (i > 0) answers.take(entry);
    } catch (error) {
      throw new Fail(`${path} is damaged in line ${i + 1}`, {
        why: (error as Error).message,
        fix: "take that line out with an editor, or begin again with --force",
        exit: Exit.data,
      });
    }
  }
  return answers;
}

function callsOf(
  { items }: Job,
  s: Settings,
  price: Price | undefined,
  answers: Answers,
  io: Io,
) {
  const missing = answers.missing(items).length;
  return {
    batch: s.batch,
    parallel: s.parallel,
    maxTokens: longest(s),
    retries: s.retries,
    timeout: s.timeout,
    caps: {
      calls: s.max_calls ?? answers.ledger.calls + 3 * Math.ceil(missing / s.batch) + 10,
      tokens: s.max_tokens_total,
      cost: s.max_cost,
    },
    price,
    stopped: () => io.stop.requested !== undefined,
    onRetry: (why: string, wait: number) => {
      io.event("retry", { why, milliseconds: Math.round(wait) });
      io.note(`${why}; asking again in ${(wait / 1000).toFixed(1)} s`);
    },
  };
}

const longest = ({ max_tokens, batch }: Settings) => max_tokens ?? 300 * batch + 1000;

const sentOf = ({ items, task }: Job) => [task.prompt(items, [])];

/** @returns whether every row has its chain */
async function take(
  { items, task }: Job,
  files: readonly string[],
  answers: Answers,
  io: Io,
): Promise<boolean> {
  for (const path of files) {
    const text = readText(path, "the answers", 64 * 2 ** 20);
    const imported = sha256(text);
    if (answers.imported.has(imported)) {
      io.note(`${path} was read before`);
      continue;
    }
    const sifted = answers.sift(text, items, task, false);
    if (sifted.answers.length + sifted.refused.length === 0) {
      throw new Fail(`${path} holds no chains`, {
        why: 'a JSON array of {"id", "reasoning"} was expected',
        fix: "save the whole answer of the model into that file",
        exit: Exit.data,
      });
    }
    await answers.record({ imported, ...sifted });
    io.note(`${path}: ${plural(sifted.answers.length, "chain")}, ${sifted.refused.length} refused`);
    for (const { id, why } of sifted.refused.slice(0, 5)) io.note(`  ${id}: ${why}`);
  }
  return items.every(({ id }) => answers.byId.has(id));
}

async function finish(
  { rows, output }: Job,
  chains: ReadonlyMap<string, string>,
  chosen: Choice,
  io: Io,
): Promise<void> {
  const source = nameOf(chosen);
  const own = rows.filter(({ reasoning }) => reasoning !== undefined).length;
  const done = rows.flatMap((row) => {
    const chain = row.reasoning ?? chains.get(idOf(row));
    return chain === undefined
      ? []
      : [{ ...row, reasoning: chain, own: row.reasoning !== undefined }];
  });
  if (done.length === 0) {
    throw new Fail("no row got a reasoning", {
      why: "every chain was refused three times",
      fix: "another teacher",
      exit: Exit.data,
    });
  }
  await writeFile(
    output,
    done.map((row) =>
      JSON.stringify(written(row, row.reasoning, row.own ? undefined : source)) + "\n"
    ),
  );
  const flagged = judgeChains(done);
  const without = rows.length - done.length;
  io.out(columns([
    ["rows", thousands(done.length), output],
    ...(own > 0 ? [["kept", thousands(own), "had a reasoning already"]] : []),
    ...(without > 0 ? [["left out", thousands(without), "every chain was refused"]] : []),
    ...totals(flagged),
  ], [1]));
  if (chosen.kind === "template") tellTemplate(io);
  io.result({
    output,
    rows: done.length,
    kept: own,
    left_out: without,
    teacher: source,
    ...counts(flagged),
  });
}

const nameOf = ({ kind, model }: Choice) => model === undefined ? kind : `${kind}:${model}`;

const tellTemplate = (io: Io) =>
  io.note(
    "these chains are templates: they say which words carry which value and think nothing; they teach " +
      "the form. --teacher asks a model",
  );

async function previewed(
  job: Job,
  settings: Settings,
  chosen: Choice,
  price: Price | undefined,
  io: Io,
): Promise<ReadonlyMap<string, string>> {
  if (chosen.kind === "template") return templateChains(job);
  const answers = new Answers({ append: () => Promise.resolve() });
  if (settings.import.length > 0) await take(job, settings.import, answers, io);
  else {
    using teacher = await openTeacher(chosen, settings, sentOf(job), io);
    await askAll(
      job.items,
      job.task,
      teacher.it,
      answers,
      callsOf(job, settings, price, answers, io),
    );
  }
  return answers.byId;
}

function show(
  { rows }: Job,
  chains: ReadonlyMap<string, string>,
  chosen: Choice,
  io: Io,
): void {
  const chain = (row: ReasonedRow) => row.reasoning ?? chains.get(idOf(row)) ?? "";
  const flagged = judgeChains(rows.map((row) => ({ ...row, reasoning: chain(row) })));
  for (const [i, row] of rows.entries()) {
    const reasoning = chain(row);
    io.out(`${i > 0 ? "\n" : ""}line ${row.line}  ${row.prompt}`);
    io.out(reasoning || "no chain that could be used");
    io.out(JSON.stringify(row.answer));
    for (const { flag, why } of flagged[i]!) io.out(`! ${flag}: ${why}`);
    io.result({ line: row.line, prompt: row.prompt, reasoning, flags: flagged[i] });
  }
  if (chosen.kind === "template") tellTemplate(io);
  io.note("nothing was written");
}

function check(rows: readonly ReasonedRow[], name: string, io: Io): void {
  const having = rows.flatMap((row) =>
    row.reasoning === undefined ? [] : [{ ...row, reasoning: row.reasoning }]
  );
  const flagged = judgeChains(having);
  const without = rows.length - having.length;
  io.out(columns([
    ["rows", thousands(rows.length), name],
    ["without reasoning", thousands(without), ""],
    ...totals(flagged),
  ], [1]));
  for (const flag of FLAGS) {
    const those = having.flatMap((row, i) => {
      const found = flagged[i]!.find((one) => one.flag === flag);
      return found ? [{ line: row.line, why: found.why }] : [];
    });
    for (const { line, why } of those.slice(0, NAMED)) io.out(`line ${line}: ${flag}: ${why}`);
    if (those.length > NAMED) io.out(`and ${thousands(those.length - NAMED)} more ${flag}`);
  }
  io.result({
    file: name,
    rows: rows.length,
    without,
    ...counts(flagged),
    flagged: having.flatMap((row, i) =>
      flagged[i]!.length > 0 ? [{ line: row.line, flags: flagged[i] }] : []
    ),
  });
}

const counts = (flagged: readonly (readonly Flagged[])[]) =>
  Object.fromEntries(FLAGS.map((name) => [
    name,
    flagged.filter((row) => row.some(({ flag }) => flag === name)).length,
  ]));

const ABOUT = {
  shallow: "too short, or the JSON once more",
  copied: "from the prompt or from another row",
  templated: "the same words but for the values",
  contradicting: "gives a field another value than the JSON has",
};

const totals = (flagged: readonly (readonly Flagged[])[]) =>
  Object.entries(counts(flagged)).map(([name, n]) => [
    name,
    thousands(n),
    ABOUT[name as keyof typeof ABOUT],
  ]);

/** Flaws for which a chain is asked for again; templates show over many rows only. */
function flawOf(row: { prompt: string; reasoning: string; answer: unknown }): string | undefined {
  const [found] = judgeChains([row])[0]!;
  return found && `${found.flag}: ${found.why}`;
}

const idOf = ({ prompt, answer }: ReasonedRow) =>
  sha256(JSON.stringify([prompt, answer])).slice(0, 8);

function itemsOf(rows: readonly ReasonedRow[]): Why[] {
  const items = new Map<string, Why>();
  for (const row of rows) {
    if (row.reasoning !== undefined) continue;
    const { prompt, answer } = row, id = idOf(row);
    items.set(id, { id, prompt, answer });
  }
  return [...items.values()];
}

const templateChains = ({ items, schema }: Job) =>
  new Map(items.map(({ id, prompt, answer }) => [id, templateChain(schema?.cli, prompt, answer)]));

async function read(path: string): Promise<ReasonedRow[]> {
  const rows: ReasonedRow[] = [], bad: BadRow[] = [];
  let index = 0;
  for await (const value of (await valuesOf(path)).values) {
    const row = reasonedRow(value, index++);
    if ("problem" in row) bad.push({ line: value.line, reason: row.problem, text: value.text });
    else rows.push(row);
  }
  const name = path === "-" ? "stdin" : path;
  if (bad.length > 0) {
    throw badRows(name, bad, index, "rows have a prompt and a JSON object as answer");
  }
  if (rows.length === 0) {
    throw new Fail(EMPTY_DATASET, { why: `${name} holds no rows`, exit: Exit.data });
  }
  return rows;
}

async function looked({ journal: path }: Job, { force }: Settings): Promise<Answers> {
  if (!existsSync(path) || force) return new Answers({ append: () => Promise.resolve() });
  const journal = await openJournal(path);
  const answers = await begin(journal, path);
  await journal.close();
  return answers;
}

async function estimate(
  job: Job,
  settings: Settings,
  chosen: Choice,
  price: Price | undefined,
  io: Io,
): Promise<void> {
  const items = (await looked(job, settings)).missing(job.items);
  const calls = batches(items, settings.batch);
  // One row in ten is asked for again.
  const input = Math.round(
    1.1 * calls.reduce((sum, one) => sum + tokensOf(job.task.prompt(one, [])), 0),
  );
  const output = Math.round(1.1 * items.length * CHAIN);
  const paid = chosen.kind === "anthropic" || chosen.kind === "openai";
  const cost = !paid ? 0 : price && costOf({ input, output }, price);
  io.out(columns([
    ["teacher", nameOf(chosen)],
    ["rows", thousands(items.length)],
    ["calls", `about ${thousands(Math.ceil(calls.length * 1.1))}, ${settings.batch} rows each`],
    ["prompt tokens", `about ${thousands(input)}`],
    ["answer tokens", `about ${thousands(output)}`],
    [
      "cost",
      cost === undefined
        ? "unknown: give --price-in and --price-out, dollars for a million tokens"
        : paid
        ? `about $${cost.toFixed(2)} (${settings.price_in === undefined ? PRICES_OF : "as given"})`
        : "nothing",
    ],
  ]));
  io.note("nothing was sent");
  io.result({
    rows: items.length,
    prompt_tokens: input,
    answer_tokens: output,
    cost: cost ?? null,
  });
}

async function emit(job: Job, settings: Settings, folder: string, io: Io): Promise<void> {
  const items = (await looked(job, settings)).missing(job.items);
  const files = await writePrompts(
    folder,
    batches(items, settings.batch).map((some) => job.task.prompt(some, [])),
  );
  io.out(`${plural(files.length, "prompt")} in ${folder}`);
  io.note(
    `put each to a model, save its answers as files, then: whet data reasoning ${settings.input} ` +
      "--import FILE,FILE…",
  );
  io.result({ prompts: files });
}
