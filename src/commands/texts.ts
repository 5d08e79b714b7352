import { readFileSync, statSync } from "node:fs";
import { Exit, Fail } from "../base/fail.ts";
import { ggufTemplate, tokenizerFromGguf } from "../export/gguf_tokenizer_read.ts";
import { openGguf } from "../formats/gguf.ts";
import {
  type ChatTemplate,
  createChatTemplate,
  defaultTemplate,
  loadChatTemplate,
} from "../text/chat_template.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { readText } from "./io.ts";

/** How a model reads and writes: its tokenizer, and its chat template where it has one. */
export interface Texts {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | undefined;
}

/** Whether -m names a GGUF file and not a model folder. */
export function isGguf(model: string): boolean {
  return model.endsWith(".gguf") &&
    (statSync(model, { throwIfNoEntry: false })?.isFile() ?? true);
}

/** The system message that --system gives: a text, or the file after @. */
export function systemText(given: string | undefined): string | undefined {
  if (!given?.startsWith("@")) return given;
  return readText(given.slice(1), "the system message").replace(/\r?\n$/, "");
}

/**
 * Tokenizer and template of a model folder or GGUF file.
 * @param template a Jinja file, or "plain", instead of the model's own
 */
export async function textsOf(model: string, template?: string): Promise<Texts> {
  if (isGguf(model)) {
    using file = openGguf(model);
    const tokenizer = tokenizerFromGguf(file.metadata);
    return { tokenizer, template: given(template, tokenizer) ?? ggufTemplate(tokenizer) };
  }
  const tokenizer = await loadTokenizer(model);
  return {
    tokenizer,
    template: given(template, tokenizer) ?? await loadChatTemplate(model, tokenizer),
  };
}

function given(template: string | undefined, tokenizer: Tokenizer): ChatTemplate | undefined {
  if (template === undefined) return undefined;
  if (template === "plain") return createChatTemplate(defaultTemplate, tokenizer);
  try {
    return createChatTemplate(readFileSync(template, "utf8"), tokenizer);
  } catch (error) {
    if (error instanceof Fail) throw error;
    throw new Fail(`cannot read the chat template ${template}`, {
      why: String(error),
      fix: `check the path: ls -l ${template}; or --template plain`,
      exit: Exit.usage,
      cause: error,
    });
  }
}
