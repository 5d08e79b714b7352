import { JsonError, parseJson } from "../base/strict_json.ts";
import { excerpt } from "../base/text.ts";
import { type RawLine, splitLines } from "./lines.ts";
import { quickJson } from "./quick_json.ts";

/** A value of a dataset file, or what is wrong where it should stand. */
export interface Value {
  /** The line it begins on, from 1. */
  readonly line: number;
  /** The source, cut where it is very long. */
  readonly text: string;
  readonly value?: unknown;
  readonly problem?: string;
}

/** Bytes of a line; what is longer is no row. */
export const LINE_LIMIT = 32 * 2 ** 20;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The values of a JSONL stream, or the elements of one JSON array, in order. Blank lines, a byte order
 * mark and CRLF are passed over; every broken value comes as a problem with its line, and the reading
 * goes on after it.
 */
export async function* jsonValues(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Value> {
  let first = true;
  const lines = splitLines(chunks, LINE_LIMIT);
  for await (const raw of lines) {
    let { bytes } = raw;
    if (first) {
      const problem = otherFormat(bytes);
      if (problem) {
        yield { line: raw.number, text: excerpt(lenient.decode(bytes.subarray(0, 400))), problem };
        return;
      }
      if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3);
    }
    if (first && raw.length <= LINE_LIMIT && isBlank(bytes)) continue;
    if (first && bytes[blanks(bytes)] === 0x5b) {
      yield* arrayValues({ ...raw, bytes }, lines);
      return;
    }
    first = false;
    const value = lineValue({ ...raw, bytes });
    if (value) yield value;
  }
}

/** Spaces and tabs at the beginning. */
function blanks(bytes: Uint8Array): number {
  let at = 0;
  while (bytes[at] === 0x20 || bytes[at] === 0x09) at++;
  return at;
}

const isBlank = (bytes: Uint8Array) => blanks(bytes) === bytes.length;

/** The value on one line of JSONL, undefined where the line is blank. */
export function lineValue({ number, bytes, length, ended }: RawLine): Value | undefined {
  const shown = () => lenient.decode(bytes.subarray(0, 400));
  if (length > LINE_LIMIT) {
    const problem = `the line has ${length} bytes, more than the ${LINE_LIMIT} allowed`;
    return { line: number, text: shown(), problem };
  }
  if (isBlank(bytes)) return undefined;
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return { line: number, text: shown(), problem: badUtf8(bytes) };
  }
  return parsed(number, text, ended);
}

function parsed(line: number, text: string, ended: boolean): Value {
  const quick = quickJson(text);
  if (quick) return { line, text, value: quick.value };
  try {
    return { line, text, value: parseJson(text) };
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return { line, text, problem: whatIsWrong(error, text, ended) };
  }
}

function whatIsWrong(error: JsonError, text: string, ended: boolean): string {
  const bytes = new TextEncoder().encode(text);
  const rest = lenient.decode(bytes.subarray(error.offset)).trim();
  if (text.includes("\0")) return `a NUL byte at column ${text.indexOf("\0") + 1}`;
  const open = rest === "" || error.message === "string without an end";
  if (open && !ended) return "the line breaks off at the end of the file: it is truncated";
  if (rest === "") return "the line breaks off";
  if (/^[{[]/.test(rest) && complete(text.slice(0, text.length - rest.length))) {
    return "more than one JSON value on the line";
  }
  const column = lenient.decode(bytes.subarray(0, error.offset)).length + 1;
  return `not valid JSON at column ${column}: ${error.message}`;
}

function complete(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch {
    return false;
  }
}

/** What other kinds of files begin with. */
const MAGIC: readonly [bytes: readonly number[], problem: string][] = [
  [[0x1f, 0x8b], "the file is compressed with gzip; unpack it first: gunzip -c FILE"],
  [[0x28, 0xb5, 0x2f, 0xfd], "the file is compressed with zstd; unpack it first: zstd -d FILE"],
  [[0x42, 0x5a, 0x68], "the file is compressed with bzip2; unpack it first: bunzip2 -c FILE"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "the file is compressed with xz; unpack it first: xz -d FILE"],
  [[0x50, 0x4b, 0x03, 0x04], "the file is a ZIP archive; unpack it first"],
  [[0x50, 0x41, 0x52, 0x31], "the file is Parquet; make rows of it: whet data convert FILE"],
];

function otherFormat(bytes: Uint8Array): string | undefined {
  const known = MAGIC.find(([magic]) => magic.every((byte, i) => bytes[i] === byte));
  if (known) return known[1];
  return utf16(bytes) ? "the file is UTF-16; save it as UTF-8" : undefined;
}

function utf16(bytes: Uint8Array): boolean {
  const [a, b, c, d] = bytes;
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)) return true;
  return (a === 0 && b !== 0 && c === 0) || (a !== 0 && b === 0 && c !== 0 && d === 0);
}

/** Where strict decoding first fails, found by halving. */
function badUtf8(bytes: Uint8Array): string {
  const valid = (length: number) => {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length), { stream: true });
      return true;
    } catch {
      return false;
    }
  };
  let [low, high] = [0, bytes.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (valid(middle)) low = middle;
    else high = middle - 1;
  }
  if (low === bytes.length) return "not valid UTF-8: the last character is cut";
  // The byte to blame is the one that began a character which this one does not go on with.
  for (let back = 1; back <= 3 && low >= back; back++) {
    const begun = bytes[low - back]!;
    const length = begun >= 0xf0 ? 4 : begun >= 0xe0 ? 3 : begun >= 0xc0 ? 2 : 0;
    if (length > back) low -= back;
    if (length > 0 || begun < 0x80) break;
  }
  const byte = bytes[low]!.toString(16).padStart(2, "0");
  return `not valid UTF-8: byte 0x${byte} at position ${low + 1} of the line`;
}

async function* arrayValues(head: RawLine, rest: AsyncIterable<RawLine>): AsyncGenerator<Value> {
  const lines: string[] = [];
  const take = ({ number, bytes, length }: RawLine): Value | undefined => {
    const text = lenient.decode(bytes.subarray(0, 400));
    if (length > LINE_LIMIT) {
      const problem = `the line has ${length} bytes, more than the ${LINE_LIMIT} allowed; ` +
        "write one object a line instead of an array";
      return { line: number, text, problem };
    }
    try {
      lines.push(utf8.decode(bytes));
    } catch {
      return { line: number, text, problem: badUtf8(bytes) };
    }
  };
  let broken = take(head);
  for await (const line of rest) {
    broken ??= take(line);
    if (broken) break;
  }
  if (broken) yield broken;
  else yield* arrayElements({ text: lines.join("\n"), line: head.number });
}

/** Cuts an array at its own commas, so that one broken element does not hide the others. */
function* arrayElements({ text, line }: { text: string; line: number }): Generator<Value> {
  let depth = 0;
  let quoted = false;
  let from = 0;
  let fromLine = line;
  let blank = true;
  let elements = 0;
  const take = (to: number): Value | undefined => {
    const source = text.slice(from, to).trim();
    if (source === "") return undefined;
    elements++;
    return parsed(fromLine, source, true);
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "\n") line++;
    if (quoted) {
      if (c === "\\") i++;
      else if (c === '"') quoted = false;
      continue;
    }
    if (depth === 1 && blank && !/\s/.test(c) && c !== "," && c !== "]") {
      [blank, fromLine] = [false, line];
    }
    if (c === '"') quoted = true;
    else if (c === "[" || c === "{") {
      if (++depth === 1) from = i + 1;
    } else if (depth === 1 && c === ",") {
      const value = take(i);
      yield value ?? { line, text: ",", problem: "an element is missing before the comma" };
      [from, blank] = [i + 1, true];
    } else if (c === "]" || c === "}") {
      if (--depth > 0) continue;
      const value = take(i);
      if (value) yield value;
      else if (elements > 0) {
        yield { line, text: "]", problem: "a comma before the closing bracket" };
      }
      const after = text.slice(i + 1).trim();
      if (after !== "") {
        yield { line, text: excerpt(after), problem: "text after the closing bracket" };
      }
      return;
    }
  }
  const problem = "the array breaks off: the closing bracket is missing";
  yield { line: fromLine, text: excerpt(text.slice(from).trim()), problem };
}
