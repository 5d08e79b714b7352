import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { compileJinja } from "./jinja.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { isObject, type Json, tokenContent } from "./tokenizer_json.ts";

/** One turn of a conversation; templates may read more fields, such as tool_calls. */
export interface Message {
  readonly role: string;
  readonly content?: unknown;
  /** 0: an assistant turn that is context only and not trained on. */
  readonly weight?: number;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** Ends with what the assistant's answer follows. */
  readonly addGenerationPrompt?: boolean;
  /** Function descriptions for templates that know tools. */
  readonly tools?: readonly unknown[];
  /** The day that strftime_now shows; now by default. */
  readonly date?: Date;
  /** Further variables, such as enable_thinking. */
  readonly variables?: Json;
}

/** A parsed chat template. */
export interface ChatTemplate {
  readonly source: string;
  /** @throws Fail when the template refuses the messages or costs too much */
  render(messages: readonly Message[], options?: RenderOptions): string;
}

/**
 * A plain template for models that come without one: "User:", "Assistant:" headings, blank lines
 * between turns, the EOS token after every answer. It is used only where a caller chooses it.
 */
export const defaultTemplate = `{% if add_bos %}{{ bos_token }}{% endif -%}
{% for message in messages -%}
{% if not loop.first %}{{ '\\n\\n' }}{% endif -%}
{% if message['role'] == 'system' %}{{ message['content'] }}
{%- elif message['role'] == 'user' %}{{ 'User:\\n' + message['content'] }}
{%- elif message['role'] == 'assistant' %}{{ 'Assistant:\\n' + message['content'] + eos_token }}
{%- else %}{{ raise_exception('roles are system, user and assistant, not ' + message['role']) }}
{%- endif -%}
{% endfor -%}
{% if add_generation_prompt %}{{ '\\n\\nAssistant:\\n' }}{% endif %}`;

/** Special tokens by name, as templates know them. */
function specialTokens(config: Json): Record<string, string> {
  const names = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((name) => `${name}_token`);
  return Object.fromEntries(
    names.map((name) => [name, tokenContent(config[name])]).filter(([, text]) =>
      text !== undefined
    ),
  ) as Record<string, string>;
}

/** Compiles a template for a tokenizer; see compileJinja for what it throws. */
export function createChatTemplate(
  source: string,
  tokenizer: Pick<Tokenizer, "config" | "addsBos">,
): ChatTemplate {
  const template = compileJinja(source);
  const fixed = { ...specialTokens(tokenizer.config), add_bos: tokenizer.addsBos };
  return {
    source,
    render(messages, { addGenerationPrompt = false, tools, date, variables } = {}) {
      for (const [index, message] of messages.entries()) {
        if (!isObject(message) || typeof message.role !== "string") {
          throw new Fail(`message ${index + 1} has no role`, {
            fix: 'write messages as {"role": "user", "content": "…"}',
            exit: Exit.data,
          });
        }
      }
      // None where there are none, as transformers passes them.
      const none = { tools: tools ?? null, documents: null };
      const values = { ...fixed, ...none, ...variables, messages };
      return template({ ...values, add_generation_prompt: addGenerationPrompt }, date);
    },
  };
}

/** The template text in a tokenizer_config.json value: one text, or the one named "default". */
export function templateText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const entries = value.filter(isObject);
  const chosen = entries.find((entry) => entry.name === "default") ?? entries[0];
  return typeof chosen?.template === "string" ? chosen.template : undefined;
}

/**
 * The source of a model folder's chat template: chat_template in tokenizer_config.json, else
 * chat_template.jinja, else chat_template.json; undefined when it has none.
 */
export async function findChatTemplate(dir: string, config: Json): Promise<string | undefined> {
  const configured = templateText(config.chat_template);
  if (configured !== undefined) return configured;
  const read = (name: string) => readFile(join(dir, name), "utf8").catch(() => undefined);
  const jinja = await read("chat_template.jinja");
  if (jinja !== undefined) return jinja;
  const json = await read("chat_template.json");
  if (json === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(json);
    return isObject(parsed) ? templateText(parsed.chat_template) : undefined;
  } catch (cause) {
    throw new Fail(`${join(dir, "chat_template.json")} is not JSON`, { cause, exit: Exit.data });
  }
}

/** The chat template of a model folder, undefined when it has none. */
export async function loadChatTemplate(
  dir: string,
  tokenizer: Tokenizer,
): Promise<ChatTemplate | undefined> {
  const source = await findChatTemplate(dir, tokenizer.config);
  return source === undefined ? undefined : createChatTemplate(source, tokenizer);
}
