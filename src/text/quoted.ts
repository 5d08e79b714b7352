import type { Range } from "./added_tokens.ts";
import type { Message } from "./chat_template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Text inside a conversation that spells a special token is quoted before the template sees it:
 * two of Unicode's noncharacters around it travel through the template, and tell afterwards which
 * special tokens are the template's and which are only somebody's text.
 */
const open = "\ufdd0";
const close = "\ufdd1";
const marks = /[\ufdd0\ufdd1]/g;

/** Messages in which all but the assistant's own words have their special tokens quoted. */
export function quoteSpecials(tokenizer: Tokenizer, messages: readonly Message[]): Message[] {
  const specials = tokenizer.json.added_tokens
    .filter(({ special }) => special).map(({ content }) => content)
    .sort((a, b) => b.length - a.length);
  const pattern = new RegExp(specials.map((special) => RegExp.escape(special)).join("|"), "g");
  const quote = (value: unknown, own: boolean): unknown => {
    if (typeof value === "string") {
      // Somebody's own noncharacters would be taken for quotes.
      const bare = value.replace(marks, "");
      const plain = own || !specials.some((special) => bare.includes(special));
      return plain ? bare : bare.replace(pattern, `${open}$&${close}`);
    }
    if (Array.isArray(value)) return value.map((part) => quote(part, own));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, part]) => [key, quote(part, own)]),
    );
  };
  return messages.map((message) =>
    message?.content === undefined
      ? message
      : { ...message, content: quote(message.content, message.role === "assistant") }
  );
}

/** A text without quotes, and where they were. */
export function unquote(quoted: string): { text: string; plain: readonly Range[] } {
  if (!quoted.includes(open)) return { text: quoted, plain: [] };
  const plain: Range[] = [];
  let text = "";
  let start = 0;
  for (const part of quoted.split(/([\ufdd0\ufdd1])/)) {
    if (part === open) start = text.length;
    else if (part === close) plain.push([start, text.length]);
    else text += part;
  }
  return { text, plain };
}
