import { existsSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import {
  lockDifferences,
  PROMPT_FILE,
  type PromptLock,
  promptLock,
  systemOf,
} from "../data/prompt_lock.ts";
import type { Message } from "../text/chat_template.ts";
import { type Io, readText } from "./io.ts";
import type { Texts } from "./texts.ts";

/**
 * Compares the prompt of questions with the one that the adapter was trained under, where its folder
 * says: warns, or refuses with --strict-prompt. Questions given as ids are left alone.
 * @throws Fail (data) with `strict`
 */
export function checkPrompt(
  adapter: string | undefined,
  questions: readonly object[],
  { tokenizer, template }: Texts,
  strict: boolean,
  io: Io,
): void {
  const path = adapter === undefined ? undefined : join(adapter, PROMPT_FILE);
  const asked = questions.filter((question) => !("ids" in question));
  if (path === undefined || !existsSync(path) || asked.length === 0) return;
  const trained = JSON.parse(readText(path, "the prompt of the training")) as PromptLock;
  const differ = lockDifferences(trained, promptLock(asked, template?.source, tokenizer));
  if (differ.length === 0) return;
  const message = `${adapter} was trained under another prompt: ${differ.join("; ")}`;
  const fix = trained.system === undefined
    ? "ask as the training rows did: with --chat where they are conversations"
    : `${path} holds the system prompt of the training; give it with --system`;
  if (!strict) return io.warn("WH0323", message, fix);
  throw new Fail(message, {
    why: "--strict-prompt asks for the prompt of the training",
    fix,
    code: "WH0323",
    exit: Exit.data,
  });
}

/**
 * The system prompt of the training, where conversations are asked without one: they are put as the
 * training did. Undefined where there is nothing to add.
 */
export function lockedSystem(
  adapter: string | undefined,
  questions: readonly object[],
  io: Io,
): string | undefined {
  const path = adapter === undefined ? undefined : join(adapter, PROMPT_FILE);
  if (path === undefined || !existsSync(path)) return undefined;
  const { system } = JSON.parse(readText(path, "the prompt of the training")) as PromptLock;
  const bare = questions.every((one) =>
    "messages" in one && systemOf(one.messages as readonly Message[]) === undefined
  );
  if (system === undefined || !bare) return undefined;
  io.note(`asked under the system prompt of the training (${path})`);
  return system;
}
