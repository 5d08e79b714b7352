import { Exit, Fail } from "../../base/fail.ts";
import { excerpt } from "../../base/text.ts";
import { tokenizeSettings } from "../../settings/use.ts";
import { command } from "../command.ts";
import type { Line } from "../io.ts";
import { asIds, asObject } from "./rows.ts";
import { textsOf } from "./texts.ts";

export const tokenize = command({
  section: "tokenize",
  examples: [
    `echo 'Hello world' | whet tokenize -m ./model`,
    `echo '"Hello world"' | whet tokenize -m ./model --json`,
    `echo '{"ids":[1,2,3]}' | whet tokenize -m ./model --decode`,
  ],
  details:
    "Answers line by line, as the lines come. With --json each line is one JSON string in and one " +
    '{"ids":[...]} out; without, each line is text as it is, and ids come out separated by spaces.',
  settings: tokenizeSettings,
  async run({ model, text, decode, special, json }, io) {
    const { tokenizer } = await textsOf(model);
    const name = text === "-" ? "stdin" : text;
    for await (const line of io.lines(text)) {
      if (io.closed) return;
      if (line.text === "" && (json || decode)) continue;
      if (decode) {
        const ids = idsOf(line, name);
        const outside = ids.find((id) => id >= tokenizer.vocabSize);
        if (outside !== undefined) {
          throw bad(
            name,
            line,
            `id ${outside} is outside the vocabulary of ${tokenizer.vocabSize}`,
          );
        }
        const decoded = tokenizer.decode(ids, { skipSpecial: !special });
        io.data(json ? JSON.stringify(decoded) : decoded);
      } else {
        const ids = tokenizer.encode(json ? stringOf(line, name) : line.text, { special });
        io.data(json ? JSON.stringify({ ids }) : ids.join(" "));
      }
    }
  },
});

function stringOf(line: Line, name: string): string {
  const value = parse(line, name);
  if (typeof value === "string") return value;
  const object = asObject(value);
  if (typeof object?.text === "string") return object.text;
  throw bad(name, line, "expected one JSON string");
}

function idsOf(line: Line, name: string): number[] {
  if (/^[\d\s]+$/.test(line.text)) return line.text.trim().split(/\s+/).map(Number);
  const value = parse(line, name);
  const ids = asIds(Array.isArray(value) ? value : asObject(value)?.ids);
  if (typeof ids === "string") throw bad(name, line, ids);
  return ids;
}

function parse(line: Line, name: string): unknown {
  try {
    return JSON.parse(line.text);
  } catch {
    throw bad(name, line, "not valid JSON");
  }
}

function bad(name: string, line: Line, reason: string): Fail {
  return new Fail(`${name}, line ${line.number}: ${reason}`, {
    why: `the line is: ${excerpt(line.text, 60)}`,
    fix: `one JSON value a line: "some text", or with --decode {"ids":[1,2,3]}`,
    code: "WH0304",
    exit: Exit.data,
  });
}
