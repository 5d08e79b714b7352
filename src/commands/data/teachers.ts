import { Exit, Fail } from "../../base/fail.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { CallSettings } from "../../settings/teacher.ts";
import { anthropicTeacher, DEFAULT_MODEL } from "../../teachers/anthropic.ts";
import { secretsOf } from "../../teachers/http.ts";
import { openaiTeacher } from "../../teachers/openai.ts";
import { type Price, priceOf } from "../../teachers/prices.ts";
import type { Call, Teacher } from "../../teachers/teacher.ts";
import type { Io } from "../io.ts";

/** A teacher as --teacher names it: what kind, and which model. */
export interface Choice {
  readonly kind: string;
  readonly model: string | undefined;
}

/** Whether prompts are written or answers are read, so that nobody is asked. */
export const byHand = (
  s: { readonly emit_prompts?: string; readonly import: readonly string[] },
): boolean => s.emit_prompts !== undefined || s.import.length > 0;

/**
 * Reads --teacher.
 * @param kinds those that the command knows
 * @throws Fail (usage)
 */
export function teacherOf(teacher: string, kinds: readonly string[]): Choice {
  const [kind, ...rest] = teacher.split(":") as [string, ...string[]];
  const model = rest.join(":") || undefined;
  const refuse = (what: string, why: string, fix: string) =>
    new Fail(what, { why, fix, exit: Exit.usage });
  if (!kinds.includes(kind)) {
    throw refuse(
      `there is no teacher "${kind}"`,
      `teachers are ${kinds.join(", ")}`,
      "--teacher template, --teacher anthropic, --teacher openai:MODEL, --teacher local:DIR",
    );
  }
  if (kind === "manual") {
    throw refuse(
      "by hand there is something to write or something to read",
      "--teacher manual asks nobody",
      "--emit-prompts DIR writes the prompts, --import FILES reads what came back",
    );
  }
  if ((kind === "openai" || kind === "local") && model === undefined) {
    throw refuse(
      `--teacher ${kind} needs a name after a colon`,
      kind === "openai"
        ? "which models there are depends on the server"
        : "it says which model on this machine writes",
      kind === "openai" ? "--teacher openai:gpt-5-mini" : "--teacher local:models/Llama-3.2-3B",
    );
  }
  return { kind, model: kind === "anthropic" ? model ?? DEFAULT_MODEL : model };
}

/** What the teacher costs; unset where that is not known and no cap needs it. @throws Fail (usage) */
export function priceFor(s: CallSettings, model: string | undefined): Price | undefined {
  const listed = model === undefined ? undefined : priceOf(model);
  const [input, output] = [s.price_in ?? listed?.input, s.price_out ?? listed?.output];
  if (input !== undefined && output !== undefined) return { input, output };
  if (s.max_cost === undefined) return undefined;
  throw new Fail(`--max-cost needs to know what ${model ?? "the teacher"} costs`, {
    why: "it is not in the list of prices",
    fix: "give --price-in and --price-out, dollars for a million tokens",
    exit: Exit.usage,
  });
}

/**
 * A teacher that is asked in words: over a network, or on this machine's GPU.
 * @param sent what prompts are made of, in which no key may stand
 * @throws Fail (usage) (authorisation)
 */
export async function openTeacher(
  { kind, model }: Choice,
  settings: CommonSettings & { readonly temp: number; readonly seed: number },
  sent: readonly string[],
  io: Io,
): Promise<{ it: Teacher<Call> } & Disposable> {
  const plain = (it: Teacher<Call>) => ({ it, [Symbol.dispose]: () => {} });
  if (kind === "local") {
    const { localTeacher } = await import("./local_teacher.ts");
    const it = await localTeacher(model!, settings, io);
    return { it, [Symbol.dispose]: () => it[Symbol.dispose]() };
  }
  if (settings.offline) {
    throw new Fail(`--teacher ${kind} and --offline exclude each other`, {
      why: "this teacher is asked over a network",
      fix: "--teacher template, --teacher local:DIR, or --emit-prompts DIR",
      exit: Exit.usage,
    });
  }
  const it = kind === "anthropic"
    ? anthropicTeacher(model!, process.env)
    : openaiTeacher(model!, process.env);
  const leak = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"].find((name) =>
    secretsOf(process.env[name]).some((secret) => sent.some((text) => text.includes(secret)))
  );
  if (leak) {
    throw new Fail(`what is sent holds the value of ${leak}`, {
      why: "prompts are sent and written down; a key must be in neither",
      fix: "take it out of the file, and consider the key as known",
      exit: Exit.usage,
    });
  }
  return plain(it);
}
