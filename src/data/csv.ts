import type { Value } from "./json_values.ts";

/** Cells under these names may hold JSON. */
const STRUCTURED = new Set(["messages", "conversations", "turns", "chosen", "rejected", "context"]);
const LONGEST = 32 * 2 ** 20;

interface Row {
  readonly line: number;
  readonly cells: readonly string[];
  readonly problem?: string;
}

/**
 * The rows of a CSV file with a header, as objects of texts: RFC 4180, LF or CRLF, quoted cells with
 * line breaks and doubled quotes, a byte order mark passed over. A row that is not as wide as the
 * header, or has a quote in the wrong place, comes as a problem with the line it begins on.
 */
export async function* csvValues(
  chunks: AsyncIterable<Uint8Array>,
  separator = ",",
): AsyncGenerator<Value> {
  let names: readonly string[] | undefined;
  for await (const { line, cells, problem } of csvRows(chunks, separator)) {
    const text = cells.join(separator).slice(0, 400);
    if (problem) yield { line, text, problem };
    else if (names === undefined) {
      const twice = cells.find((name, i) => cells.indexOf(name) < i);
      if (twice !== undefined) {
        yield { line, text, problem: `the header has the column ${JSON.stringify(twice)} twice` };
        return;
      }
      names = cells;
    } else if (cells.length !== names.length) {
      const many = (n: number) => `${n} cell${n === 1 ? "" : "s"}`;
      yield { line, text, problem: `${many(cells.length)}, the header has ${many(names.length)}` };
    } else {
      yield {
        line,
        text,
        value: Object.fromEntries(names.map((name, i) => [name, cell(name, cells[i]!)])),
      };
    }
  }
}

function cell(name: string, text: string): unknown {
  if (!STRUCTURED.has(name) || !/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function* csvRows(chunks: AsyncIterable<Uint8Array>, separator: string): AsyncGenerator<Row> {
  let line = 1;
  let begins = 1;
  let cells: string[] = [];
  let text = "";
  let size = 0;
  // In an unquoted cell, in a quoted one, or behind the quote that may have closed it.
  let state: "plain" | "quoted" | "after" = "plain";
  let problem: string | undefined;
  let before = "";
  const done = (): Row | undefined => {
    const row = { line: begins, cells: [...cells, text], problem };
    const blank = cells.length === 0 && text === "" && !problem && state === "plain";
    [cells, text, state, problem, size] = [[], "", "plain", undefined, 0];
    begins = line;
    return blank ? undefined : row;
  };
  for await (const piece of decoded(chunks)) {
    if (piece.problem) {
      yield { line, cells: [...cells, text], problem: piece.problem };
      return;
    }
    for (const c of piece.text) {
      if (c === "\n") line++;
      if (++size > LONGEST) {
        yield { line: begins, cells, problem: "the row is longer than 32 MiB: is a quote open?" };
        return;
      }
      if (state === "quoted") {
        if (c === '"') state = "after";
        else text += c;
      } else if (c === '"' && state === "after") {
        text += c;
        state = "quoted";
      } else if (c === '"' && text === "") state = "quoted";
      else if (c === separator) {
        cells.push(text);
        [text, state] = ["", "plain"];
      } else if (c === "\n") {
        if (before === "\r" && text.endsWith("\r")) text = text.slice(0, -1);
        const row = done();
        if (row) yield row;
      } else if (state === "after" && c !== "\r") {
        problem ??= `${JSON.stringify(c)} after the quote that closes a cell`;
      } else if (c === '"') {
        problem ??= "a quote inside a cell that is not quoted";
        text += c;
      } else if (state !== "after") text += c;
      before = c;
    }
  }
  if (state === "quoted") problem = "the quote that opens a cell is never closed";
  if (cells.length > 0 || text !== "" || problem) {
    const row = done();
    if (row) yield row;
  }
}

async function* decoded(chunks: AsyncIterable<Uint8Array>) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const chunk of chunks) yield { text: decoder.decode(chunk, { stream: true }) };
    yield { text: decoder.decode() };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    yield { text: "", problem: "not valid UTF-8 on this line or a few after it" };
  }
}
