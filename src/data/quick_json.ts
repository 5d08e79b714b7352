/** Longer texts go to the strict parser, which counts values and depth as it reads. */
const LONGEST = 2 ** 20;
const DEEPEST = 64;

/**
 * The value of a JSON text that the strict parser (base/strict_json.ts) would accept too, read several
 * times faster; undefined where that is not certain, and the strict parser must say.
 *
 * JSON.parse refuses all that is not JSON except three things: a key that stands twice, half of a
 * surrogate pair, great depth. Halves can only come from escapes. A key that stands twice is missing
 * in the value: the text has more closing quotes before a colon than the value has keys.
 */
export function quickJson(text: string): { readonly value: unknown } | undefined {
  if (text.length > LONGEST || text.includes('\\\\"')) return undefined;
  // Most texts have no such escape at all, and this search is faster than the pattern's.
  if (text.includes("\\u") && /\\u[dD][89a-fA-F]/.test(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return keysIn(value, 0) === colonsAfterQuotes(text) ? { value } : undefined;
}

/** Keys of all objects in a value; NaN, which equals nothing, where it is nested too deeply. */
function keysIn(value: unknown, depth: number): number {
  if (typeof value !== "object" || value === null) return 0;
  if (depth >= DEEPEST) return NaN;
  let keys = 0;
  if (Array.isArray(value)) {
    for (const inner of value) {
      if (typeof inner === "object") keys += keysIn(inner, depth + 1);
    }
    return keys;
  }
  for (const key in value) {
    keys++;
    const inner = (value as Record<string, unknown>)[key];
    if (typeof inner === "object") keys += keysIn(inner, depth + 1);
  }
  return keys;
}

/**
 * Unescaped quotes with a colon behind them, spaces between or none. These are the ends of keys, and
 * the beginnings of texts such as ": )", which makes the count too high and never too low: a text in
 * which a backslash escapes the backslash before a quote is not counted at all.
 */
function colonsAfterQuotes(text: string): number {
  let count = 0;
  for (let at = text.indexOf(":"); at >= 0; at = text.indexOf(":", at + 1)) {
    let before = at - 1;
    while (before >= 0 && text.charCodeAt(before) <= 32) before--;
    if (text.charCodeAt(before) === 34 && text.charCodeAt(before - 1) !== 92) count++;
  }
  return count;
}
