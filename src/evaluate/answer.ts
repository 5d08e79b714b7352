import { isObject } from "../base/strict_json.ts";

/** Equal as JSON, whatever the order of keys and the spaces; equal as trimmed text otherwise. */
export function sameAnswer(predicted: string, expected: string): boolean {
  const want = parseAnswer(expected);
  if (!want) return predicted.trim() === expected.trim();
  const got = parseAnswer(predicted);
  return got !== undefined && canonicalJson(got.value) === canonicalJson(want.value);
}

/** The JSON value of a whole answer; undefined when it is anything else. */
export function parseAnswer(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

/** JSON with keys sorted at every depth. 1 and 1.0 are one number; lists keep their order. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`).join(",")}}`;
}
