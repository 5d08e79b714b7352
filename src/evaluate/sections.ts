import { isObject } from "../base/strict_json.ts";
import { parseAnswer } from "./metrics.ts";

/**
 * An answer in sections, as <reasoning>…</reasoning> <intent_ir>{…}</intent_ir>: each by its tag, the last
 * one parsed as JSON. Where `_valid` is false, `error` says why.
 */
export interface Parsed {
  readonly [tag: string]: unknown;
  readonly _valid: boolean;
  readonly error?: string;
}

/**
 * Takes an answer apart. A section that is missing is ""; where the last one is, the whole answer stands
 * for it. What is in it must be a JSON object, else it is null and `_valid` false.
 * @param tags names of the sections, that with the JSON last; one name alone wraps the whole answer's JSON
 */
export function parseSections(text: string, tags: readonly string[]): Parsed {
  const told = tags.slice(0, -1).map((tag) => [tag, section(text, tag) ?? ""] as const);
  const last = tags.at(-1)!, body = bodyOf(text, tags);
  const found = parseAnswer(body);
  const error = found === undefined
    ? whyNot(body, last, text)
    : isObject(found.value)
    ? undefined
    : `expected a JSON object, found ${JSON.stringify(found.value).slice(0, 40)}`;
  return {
    ...Object.fromEntries(told),
    [last]: error === undefined ? found!.value : null,
    _valid: error === undefined,
    ...(error === undefined ? {} : { error }),
  };
}

/** The text that is to be JSON: the last section, or all of the answer where it has no such section. */
export function bodyOf(text: string, tags: readonly string[]): string {
  const last = tags.at(-1);
  return (last === undefined ? undefined : section(text, last)) ?? text.trim();
}

/** The first `<tag>…</tag>`, without the space around its content. */
export function section(text: string, tag: string): string | undefined {
  const open = `<${tag}>`, from = text.indexOf(open);
  const to = from < 0 ? -1 : text.indexOf(`</${tag}>`, from + open.length);
  return to < 0 ? undefined : text.slice(from + open.length, to).trim();
}

function whyNot(body: string, tag: string, text: string): string {
  if (text.includes(`<${tag}>`) && section(text, tag) === undefined) {
    return `<${tag}> is never closed: the answer was cut off, or forgot it`;
  }
  if (body === "") return "there is no answer";
  try {
    JSON.parse(body);
  } catch (error) {
    return `not JSON: ${(error as Error).message}`;
  }
  return "not JSON";
}
