/** JSON as RFC 8259 has it, without the leniencies of JSON.parse that hide damaged or hostile files. */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

export interface JsonLimits {
  /** Nesting of arrays and objects; 64 unless given. */
  readonly maxDepth?: number;
  /** Values in the whole text; 10 million unless given. */
  readonly maxValues?: number;
  /** Accept only integers from 0 to 2^53 - 1, written without sign, fraction or exponent. */
  readonly naturals?: boolean;
}

/** What is wrong, and at which byte of the text. */
export class JsonError extends Error {
  override readonly name = "JsonError";
  constructor(message: string, readonly offset: number) {
    super(message);
  }
}

const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// deno-lint-ignore no-control-regex
const plain = /[^"\\\u0000-\u001f]*/y;
const ordinary = /^[ !#-[\]-~]*$/;
const space = /[ \t\n\r]*/y;
const escapes: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Parses UTF-8 bytes or text. Unlike JSON.parse it refuses duplicate keys, lone surrogates, deep
 * nesting and invalid UTF-8. Objects have no prototype, so that no key is special.
 * @throws JsonError
 */
export function parseJson(source: Uint8Array | string, limits: JsonLimits = {}): Json {
  const { maxDepth = 64, maxValues = 1e7, naturals = false } = limits;
  let text: string;
  try {
    text = typeof source === "string"
      ? source
      : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(source);
  } catch {
    throw new JsonError("not valid UTF-8", 0);
  }
  let at = 0;
  let values = 0;

  function fail(message: string, where = at): never {
    throw new JsonError(message, new TextEncoder().encode(text.slice(0, where)).length);
  }
  function match(pattern: RegExp): string {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? "";
    at += found.length;
    return found;
  }
  function skip(): void {
    if (text.charCodeAt(at) <= 32) match(space);
  }
  function found(): string {
    return at < text.length ? `found ${JSON.stringify(text[at])}` : "found the end";
  }
  function expect(character: string): void {
    if (text[at] !== character) fail(`expected '${character}', ${found()}`);
    at++;
  }

  function string(): string {
    const start = at;
    expect('"');
    const end = text.indexOf('"', at);
    const all = end < 0 ? "\\" : text.slice(at, end);
    if (ordinary.test(all)) {
      at = end + 1;
      return all;
    }
    let out = match(plain);
    while (text[at] !== '"') {
      if (at >= text.length) fail("string without an end", start);
      if (text[at] !== "\\") fail("control character in a string");
      const letter = text[at + 1] ?? "";
      if (letter === "u") {
        const hex = text.slice(at + 2, at + 6);
        if (!/^[0-9a-fA-F]{4}$/.test(hex)) fail("expected four hexadecimal digits after \\u");
        out += String.fromCharCode(parseInt(hex, 16));
        at += 6;
      } else {
        out += escapes[letter] ?? fail(`unknown escape \\${letter}`);
        at += 2;
      }
      out += match(plain);
    }
    at++;
    if (!out.isWellFormed()) fail("half of a surrogate pair in a string", start);
    return out;
  }

  function numeric(): number {
    const start = at;
    const digit = text.charCodeAt(at) - 48;
    const after = text.charCodeAt(at + 1);
    if (digit >= 0 && digit <= 9 && (after === 44 || after === 93)) {
      at++;
      return digit;
    }
    const literal = match(number);
    if (literal === "" || literal === "-") fail(`expected a value, ${found()}`, start);
    const n = Number(literal);
    if (naturals && !(/^[0-9]+$/.test(literal) && Number.isSafeInteger(n))) {
      fail(`expected an integer from 0 to 2^53 - 1, found ${literal.slice(0, 40)}`, start);
    }
    return n;
  }

  function value(depth: number): Json {
    if (++values > maxValues) fail(`more than ${maxValues} values`);
    if (depth > maxDepth) fail(`nested deeper than ${maxDepth}`);
    skip();
    switch (text[at]) {
      case "{": {
        const object: JsonObject = Object.create(null);
        at++;
        skip();
        if (text[at] === "}") {
          at++;
          return object;
        }
        for (;;) {
          skip();
          const start = at;
          const key = string();
          if (key in object) fail(`duplicate key ${JSON.stringify(key.slice(0, 100))}`, start);
          skip();
          expect(":");
          object[key] = value(depth + 1);
          skip();
          if (text[at] !== ",") break;
          at++;
        }
        expect("}");
        return object;
      }
      case "[": {
        const array: Json[] = [];
        at++;
        skip();
        if (text[at] === "]") {
          at++;
          return array;
        }
        for (;;) {
          array.push(value(depth + 1));
          skip();
          if (text[at] !== ",") break;
          at++;
        }
        expect("]");
        return array;
      }
      case '"':
        return string();
    }
    for (const [word, meaning] of [["true", true], ["false", false], ["null", null]] as const) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    return numeric();
  }

  const result = value(0);
  skip();
  if (at < text.length) fail(`text after the end, ${found()}`);
  return result;
}

/** Whether a JSON value is an object (not an array, not null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
