import { Exit, Fail } from "../../base/fail.ts";
import { plural } from "../../base/text.ts";
import { type BadRow, badRows, EMPTY_DATASET, requestText } from "../../data/rows.ts";
import { valuesOf } from "../../data/sources.ts";
import { parseAnswer } from "../../evaluate/metrics.ts";
import type { AnswerSchema } from "../../settings/answer_schema.ts";
import type { PreferencesSettings } from "../../settings/data_preferences.ts";
import { mapOf } from "../../settings/model.ts";
import { requestKey } from "../../teachers/accept.ts";
import { rowsOf } from "../../teachers/template.ts";
import type { Io } from "../io.ts";
import { type Asked, askedOf } from "../use/questions.ts";

/** Requests that are made from a schema for every pair wanted: a trained model is right most of the time. */
const SPARE = 4;

/**
 * The prompts, each once, in the order of the file.
 * @param own whether their own answers are the ideal ones
 */
export async function questionsFor(
  settings: PreferencesSettings,
  schema: AnswerSchema | undefined,
  own: boolean,
  io: Io,
): Promise<{ asked: Asked[]; repeated: number }> {
  const all = settings.prompts === undefined
    ? requestsOf(schema!, settings)
    : await askedIn(settings.prompts, settings, own, io);
  const seen = new Set<string>();
  const asked = all.filter(({ prompt }) => {
    const key = JSON.stringify(prompt);
    return !seen.has(key) && seen.add(key);
  });
  return { asked, repeated: all.length - asked.length };
}

async function askedIn(
  path: string,
  { map, text }: PreferencesSettings,
  own: boolean,
  io: Io,
): Promise<Asked[]> {
  const asked: Asked[] = [], bad: BadRow[] = [];
  let index = 0;
  for await (const value of (await valuesOf(path)).values) {
    const one = askedOf(value, index++, { map: mapOf(map) });
    if (!("problem" in one)) asked.push(one);
    else bad.push({ line: value.line, reason: one.problem, text: value.text });
  }
  const name = path === "-" ? "stdin" : path;
  if (bad.length > 0) {
    throw badRows(
      name,
      bad,
      index,
      "correct the rows; --map says which keys hold prompt and answer",
    );
  }
  if (asked.length === 0) {
    throw new Fail(EMPTY_DATASET, { why: `${name} holds no rows`, exit: Exit.data });
  }
  io.detail(`${name}: ${plural(asked.length, "prompt")}`);
  if (!own) return asked;
  const without = asked.filter(({ expected }) => expected === undefined).length;
  if (without === asked.length) {
    throw new Fail(`the rows of ${name} have no answers to be the ideal ones`, {
      why: "a pair needs a better answer than the model's own",
      fix:
        "rows with answers, or a teacher who gives them: --teacher anthropic, --teacher openai:MODEL",
      exit: Exit.data,
    });
  }
  const json = asked.filter(({ expected }) => expected !== undefined && parseAnswer(expected));
  if (!text && json.length === 0) {
    throw new Fail(`no ideal answer in ${name} is JSON`, {
      why: "ideal answers that are no valid JSON are dropped",
      fix: "--text, where answers are plain text",
      exit: Exit.data,
    });
  }
  return asked;
}

/** Requests made from a CLI schema, with the answers that belong to them. */
function requestsOf(schema: AnswerSchema, { num, seed, map }: PreferencesSettings): Asked[] {
  if (!schema.cli || map !== undefined) {
    throw new Fail(`requests cannot be made from ${schema.name}`, {
      why: "a JSON Schema does not say how people ask",
      fix: "give the prompts: --prompts FILE",
      exit: Exit.usage,
    });
  }
  const row = rowsOf(schema.cli, { seed, part: "train", heldOut: 0 });
  const asked: Asked[] = [];
  const seen = new Set<string>();
  for (let i = 0, dry = 0; asked.length < SPARE * num && dry < 2000; i++, dry++) {
    const { instruction, context, output } = row(i);
    const key = requestKey(instruction, context);
    if (seen.has(key)) continue;
    seen.add(key);
    dry = 0;
    const content = requestText(instruction, context);
    asked.push({
      line: i + 1,
      prompt: { messages: [{ role: "user", content }] },
      shown: content,
      expected: output,
    });
  }
  return asked;
}

/** The conversation under a system prompt. */
export function withSystem(asked: Asked, content: string): Asked {
  if (!("messages" in asked.prompt)) return asked;
  return {
    ...asked,
    prompt: { messages: [{ role: "system", content }, ...asked.prompt.messages] },
  };
}

/** What is wrong with an ideal answer. */
export function flawOf(
  ideal: string | undefined,
  schema: AnswerSchema | undefined,
  text: boolean,
): string | undefined {
  if (ideal === undefined || ideal.trim() === "") return "there is none";
  if (text) return undefined;
  const parsed = parseAnswer(ideal);
  if (!parsed) return "not valid JSON";
  const problems = schema?.problems(parsed.value) ?? [];
  return problems.length > 0 ? problems.join("; ") : undefined;
}
