import { Exit, Fail } from "../../base/fail.ts";
import { sha256 } from "../../base/sha256.ts";
import { columns, plural, thousands } from "../../base/text.ts";
import type { AnswerSchema } from "../../settings/answer_schema.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { PreferencesSettings } from "../../settings/data_preferences.ts";
import { Answers, askAll, type Task } from "../../teachers/asking.ts";
import { idealTask, type Wanted } from "../../teachers/ideals.ts";
import { costOf, tokensOf } from "../../teachers/prices.ts";
import { type Io, readText } from "../io.ts";
import { batches, writePrompts } from "./outputs.ts";
import { flawOf } from "./preference_prompts.ts";
import type { Asked } from "../use/questions.ts";
import { type Choice, openTeacher, priceFor, teacherOf } from "./teachers.ts";

type Settings = PreferencesSettings & CommonSettings;

const TEACHERS = ["rows", "template", "anthropic", "openai", "local", "manual"];
/** Rows with answers that a teacher is shown. */
const EXAMPLES = 4;
/** Tokens of an ideal answer, for estimates. */
const ANSWER = 90;

/** Where ideal answers come from; those of rows and templates are there already. */
export function sourceOf(s: Settings): Choice {
  if (s.emit_prompts !== undefined || s.import.length > 0) {
    return { kind: "manual", model: undefined };
  }
  const own = s.prompts === undefined ? "template" : "rows";
  const chosen = teacherOf(s.teacher ?? own, TEACHERS);
  const { kind } = chosen;
  if ((kind !== "rows" && kind !== "template") || kind === own) return chosen;
  throw new Fail(
    `--teacher ${kind} does not go with ${
      s.prompts === undefined ? "--schema alone" : "--prompts"
    }`,
    {
      why: kind === "rows"
        ? "there are no rows whose answers could be the ideal ones"
        : "templates know the answers only to requests of their own",
      fix: kind === "rows" ? "--prompts FILE" : "leave --prompts out, or --teacher rows",
      exit: Exit.usage,
    },
  );
}

export const nameOf = ({ kind, model }: Choice): string =>
  model === undefined ? kind : `${kind}:${model}`;

/** Whether a teacher is asked, rather than answers being there. */
export const isAsked = ({ kind }: Choice): boolean =>
  ["anthropic", "openai", "local"].includes(kind);

/** What a teacher is asked for these questions. */
export function taskFor(
  questions: readonly Asked[],
  schema: AnswerSchema | undefined,
  { text }: Settings,
): Task<Wanted> {
  const examples = questions.flatMap(({ expected, ...one }) =>
    expected === undefined || flawOf(expected, schema, text) !== undefined
      ? []
      : [{ prompt: wantedOf(one).prompt, answer: expected }]
  ).slice(0, schema ? 0 : EXAMPLES);
  return idealTask({ schema, text, examples }, (answer) => flawOf(answer, schema, text));
}

/** A question as a teacher reads it: a system prompt and earlier turns go with it. */
export function wantedOf({ prompt, shown }: Pick<Asked, "prompt" | "shown">): Wanted {
  const id = sha256(JSON.stringify(prompt)).slice(0, 8);
  const turns = "messages" in prompt ? prompt.messages : [];
  if (turns.length < 2) return { id, prompt: shown };
  return { id, prompt: turns.map(({ role, content }) => `${role}: ${content}`).join("\n") };
}

/** A teacher who gives ideal answers, a batch of questions at a time. */
export interface Ideals extends Disposable {
  /** @returns undefined where it was stopped */
  of(questions: readonly Asked[]): Promise<(string | undefined)[] | undefined>;
}

/** @throws Fail (usage) (authorisation) where the teacher cannot be asked */
export async function openIdeals(
  chosen: Choice,
  task: Task<Wanted>,
  all: number,
  answers: Answers,
  settings: Settings,
  io: Io,
): Promise<Ideals> {
  const price = priceFor(settings, chosen.model);
  const teacher = await openTeacher(chosen, { ...settings, temp: 0 }, [task.prompt([], [])], io);
  const { batch, parallel, retries, timeout, max_calls, max_tokens_total, max_cost } = settings;
  const options = {
    batch,
    parallel,
    retries,
    timeout,
    maxTokens: 240 * batch + 1000,
    caps: {
      calls: max_calls ?? answers.ledger.calls + 3 * Math.ceil(all / batch) + 10,
      tokens: max_tokens_total,
      cost: max_cost,
    },
    price,
    stopped: () => io.stop.requested !== undefined,
    onRetry: (why: string, wait: number) => {
      io.event("retry", { why, milliseconds: Math.round(wait) });
      io.note(`${why}; asking again in ${(wait / 1000).toFixed(1)} s`);
    },
  };
  return {
    async of(questions) {
      const items = questions.map(wantedOf);
      if (!await askAll(items, task, teacher.it, answers, options)) return undefined;
      return items.map(({ id }) => answers.byId.get(id));
    },
    [Symbol.dispose]: () => teacher[Symbol.dispose](),
  };
}

/** The questions that files answer which a person brought. @throws Fail (data) */
export function answeredByHand(
  questions: readonly Asked[],
  task: Task<Wanted>,
  files: readonly string[],
  io: Io,
): Asked[] {
  const items = questions.map(wantedOf);
  const found = new Map<string, string>();
  for (const path of files) {
    const text = readText(path, "the answers", 64 * 2 ** 20);
    const { answers, refused } = new Answers({ append: () => Promise.resolve() })
      .sift(text, items, task, false);
    for (const [id, answer] of answers) found.set(id, answer);
    io.note(`${path}: ${plural(answers.length, "ideal answer")}, ${refused.length} refused`);
    for (const { id, why } of refused.slice(0, 5)) io.note(`  ${id}: ${why}`);
  }
  const answered = questions.flatMap((one, i) => {
    const expected = found.get(items[i]!.id);
    return expected === undefined ? [] : [{ ...one, expected }];
  });
  if (answered.length > 0) return answered;
  throw new Fail(`${files.join(", ")} ${files.length > 1 ? "hold" : "holds"} no ideal answer`, {
    why: 'a JSON array of {"id", "answer"} was expected, with the ids of the prompts',
    fix: "save the whole answers of the model into these files",
    exit: Exit.data,
  });
}

/** Writes the prompts for as many questions as pairs are wanted. */
export async function emitPrompts(
  questions: readonly Asked[],
  task: Task<Wanted>,
  folder: string,
  { batch, num }: Settings,
  io: Io,
): Promise<void> {
  const some = batches(questions.slice(0, num).map(wantedOf), batch);
  const files = await writePrompts(folder, some.map((items) => task.prompt(items, [])));
  io.out(`${plural(files.length, "prompt")} in ${folder}`);
  io.note(
    "put each to a model, save its answers as files, then the same command with --import FILE,FILE…",
  );
  io.result({ prompts: files });
}

/** Says what a teacher would cost for as many questions as pairs are wanted. */
export function estimateIdeals(
  questions: readonly Asked[],
  task: Task<Wanted>,
  chosen: Choice,
  settings: Settings,
  io: Io,
): void {
  const items = questions.slice(0, settings.num).map(wantedOf);
  const calls = isAsked(chosen) ? batches(items, settings.batch) : [];
  // One answer in ten is asked for again.
  const input = Math.round(
    1.1 * calls.reduce((sum, one) => sum + tokensOf(task.prompt(one, [])), 0),
  );
  const output = calls.length === 0 ? 0 : Math.round(1.1 * items.length * ANSWER);
  const price = priceFor(settings, chosen.model);
  const cost = chosen.kind === "local" || calls.length === 0
    ? 0
    : price && costOf({ input, output }, price);
  io.out(columns([
    ["teacher", nameOf(chosen)],
    ["prompts", `${thousands(items.length)}; more where answers are identical`],
    ["calls", `about ${thousands(Math.ceil(calls.length * 1.1))}`],
    ["prompt tokens", `about ${thousands(input)}`],
    ["answer tokens", `about ${thousands(output)}`],
    [
      "cost",
      cost === undefined ? "unknown: give --price-in and --price-out" : `about $${cost.toFixed(2)}`,
    ],
  ]));
  io.note("nothing was sent");
  io.result({
    prompts: items.length,
    prompt_tokens: input,
    answer_tokens: output,
    cost: cost ?? null,
  });
}
