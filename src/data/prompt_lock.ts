import { createHash } from "node:crypto";
import type { Message } from "../text/chat_template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { SftExample } from "./rows.ts";

/**
 * Under which prompt a model was trained: hashes of the system prompt, the chat template and the
 * tokens that end an answer. Kept in run.json and beside the adapter (prompt.json).
 */
export interface PromptLock {
  readonly format: 1;
  /** SHA-256 of the one system prompt of all rows, null where none has one; absent where they differ. */
  readonly system_sha256?: string | null;
  /** The prompt itself, so that it can be given again. */
  readonly system?: string;
  /** SHA-256 of the template's source; null where rows are no conversations; absent where they are ids. */
  readonly template_sha256?: string | null;
  readonly stop: readonly string[];
  /** SHA-256 of all of the above. */
  readonly sha256: string;
}

export const PROMPT_FILE = "prompt.json";

const hash = (text: string) => createHash("sha256").update(text).digest("hex");

/** The system prompt of one conversation. */
export function systemOf(messages: readonly Message[]): string | undefined {
  const [first] = messages;
  return first?.role === "system" ? String(first.content) : undefined;
}

/** The lock of what rows were trained, or questions are asked, with. */
export function promptLock(
  rows: Iterable<SftExample | { readonly messages: readonly Message[] } | object>,
  templateSource: string | undefined,
  tokenizer: Pick<Tokenizer, "eosIds" | "tokenText">,
): PromptLock {
  const systems = new Set<string | undefined>();
  let chat = false;
  let ids = false;
  for (const row of rows) {
    ids ||= "ids" in row;
    if (!("messages" in row)) {
      systems.add(undefined);
      continue;
    }
    chat = true;
    systems.add(systemOf(row.messages as readonly Message[]));
  }
  const [only] = systems;
  // What stands before ids is not known.
  const same = systems.size <= 1 && !ids;
  const lock = {
    format: 1 as const,
    ...(same ? { system_sha256: only === undefined ? null : hash(only) } : {}),
    ...(same && only !== undefined ? { system: only } : {}),
    ...(ids ? {} : {
      template_sha256: chat && templateSource !== undefined ? hash(templateSource) : null,
    }),
    stop: tokenizer.eosIds.map((id) => tokenizer.tokenText(id) ?? `${id}`),
  };
  return { ...lock, sha256: hash(JSON.stringify(lock)) };
}

/** How a question is asked otherwise than was trained, in words; none where it is the same. */
export function lockDifferences(trained: PromptLock, asked: PromptLock): string[] {
  const differ: string[] = [];
  const { system_sha256: before } = trained;
  if (before !== undefined && before !== asked.system_sha256) {
    differ.push(
      before === null
        ? "there is a system prompt, and none was trained"
        : asked.system_sha256 === null
        ? "the system prompt of the training is missing"
        : "the system prompt is another one",
    );
  }
  if (trained.template_sha256 !== undefined && trained.template_sha256 !== asked.template_sha256) {
    differ.push(
      trained.template_sha256 === null
        ? "a chat template is used, and none was trained"
        : asked.template_sha256 === null
        ? "the chat template of the training is not used"
        : "the chat template is another one",
    );
  }
  if (JSON.stringify(trained.stop) !== JSON.stringify(asked.stop)) {
    differ.push(`answers end with ${asked.stop.join(" ")}, trained was ${trained.stop.join(" ")}`);
  }
  return differ;
}
