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
import { PROMPT_KEY } from "../export/gguf_model.ts";
import { openGguf } from "../formats/gguf.ts";
import { stringAt } from "../formats/gguf_types.ts";
import type { Message } from "../text/chat_template.ts";
import { type Io, readText } from "./io.ts";
import { isGguf, type Texts } from "./texts.ts";

/**
 * Compares the prompt of questions with the one that the adapter was trained under, where its folder
 * says: warns, or refuses with --strict-prompt. Questions given as ids are left alone.
 * @throws Fail (data) with `strict`
 */
export function checkPrompt(
  { model, adapter }: { readonly model: string; readonly adapter?: string },
  questions: readonly object[],
  { tokenizer, template }: Texts,
  strict: boolean,
  io: Io,
): void {
  const asked = questions.filter((question) => !("ids" in question));
  if (asked.length === 0) return;
  const kept = promptOf({ model, adapter });
  if (!kept) return;
  const { trained, path } = kept;
  const differ = lockDifferences(trained, promptLock(asked, template?.source, tokenizer));
  if (differ.length === 0) return;
  const message = `${adapter ?? model} was trained under another prompt: ${differ.join("; ")}`;
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
  { model, adapter }: { readonly model: string; readonly adapter?: string },
  questions: readonly object[],
  io: Io,
): string | undefined {
  const kept = promptOf({ model, adapter });
  const bare = questions.every((one) =>
    "messages" in one && systemOf(one.messages as readonly Message[]) === undefined
  );
  if (kept?.trained.system === undefined || !bare) return undefined;
  io.note(`asked under the system prompt of the training (${kept.path})`);
  return kept.trained.system;
}

/** Under which prompt a model or adapter was trained; undefined where nothing says so. */
export const promptOf = (
  { model, adapter }: { readonly model: string; readonly adapter?: string },
): Kept | undefined => {
  const source = adapter ?? model;
  return isGguf(source) ? ofGguf(source) : ofFolder(source);
};

export interface Kept {
  readonly trained: PromptLock;
  /** Where a person can read it. */
  readonly path: string;
}

/** An adapter or a merged model keeps the prompt of its training beside its weights. */
function ofFolder(adapter: string): Kept | undefined {
  const path = join(adapter, PROMPT_FILE);
  if (!existsSync(path)) return undefined;
  return { path, trained: JSON.parse(readText(path, "the prompt of the training")) as PromptLock };
}

/** An exported file carries the prompt of its training. */
function ofGguf(model: string): Kept | undefined {
  using file = openGguf(model);
  const kept = stringAt(file.metadata, PROMPT_KEY);
  if (kept === undefined) return undefined;
  return { path: `${PROMPT_KEY} in ${model}`, trained: JSON.parse(kept) as PromptLock };
}
