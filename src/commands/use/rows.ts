import { Exit, Fail } from "../../base/fail.ts";
import { excerpt } from "../../base/text.ts";
import type { Io, Line } from "../io.ts";

/** A row and the line it stood on. */
export interface Numbered<T> {
  readonly line: number;
  readonly row: T;
}

/** What is wrong with one line. */
export interface Complaint {
  readonly line: number;
  readonly reason: string;
  readonly text: string;
}

const SHOWN = 20;

/**
 * Reads and checks all rows of a file or of stdin before the first is used, so that bad input costs no
 * computing and leaves no half result. Empty lines are passed over, and counted.
 *
 * @param read turns one JSON value into a row, or says in words what is wrong with it
 * @throws Fail (data) that lists up to 20 bad lines with their numbers, or says that there are no rows
 */
export async function readRows<T>(
  io: Io,
  path: string,
  read: (value: unknown) => T | string,
  example: string,
): Promise<Numbered<T & object>[]> {
  const rows: Numbered<T & object>[] = [];
  const complaints: Complaint[] = [];
  let bad = 0;
  for await (const line of io.lines(path)) {
    if (line.text.trim() === "") continue;
    const row = parse(line, read);
    if (typeof row === "string") {
      bad++;
      if (complaints.length < SHOWN) {
        complaints.push({ line: line.number, reason: row, text: excerpt(line.text, 60) });
      }
    } else rows.push({ line: line.number, row: row as T & object });
  }
  const name = path === "-" ? "stdin" : path;
  if (bad > 0) throw badRows(name, complaints, bad, rows.length + bad, example);
  if (rows.length === 0) {
    throw new Fail(`${name} holds no rows`, {
      why: "one JSON object a line is expected",
      fix: `for example: ${example}`,
      code: "WH0304",
      exit: Exit.data,
    });
  }
  return rows;
}

function parse<T>(line: Line, read: (value: unknown) => T | string): T | string {
  let value: unknown;
  try {
    value = JSON.parse(line.text);
  } catch (error) {
    return `not valid JSON: ${(error as Error).message.replace(/^JSON Parse error: /, "")}`;
  }
  return read(value);
}

/** One error for many bad lines. */
export function badRows(
  name: string,
  complaints: readonly Complaint[],
  bad: number,
  all: number,
  example: string,
): Fail {
  const lines = complaints.map(({ line, reason, text }) => `line ${line}: ${reason}: ${text}`);
  if (bad > complaints.length) lines.push(`and ${bad - complaints.length} more`);
  return new Fail(`${bad} of ${all} rows of ${name} cannot be used`, {
    why: lines.join("\n"),
    fix: `a good row: ${example}`,
    code: "WH0304",
    exit: Exit.data,
  });
}

/** The value as an object, or undefined. */
export function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : undefined;
}

/** Token ids: whole numbers of at least 0. Says what is wrong with others. */
export function asIds(value: unknown, key = "ids"): number[] | string {
  if (!Array.isArray(value)) return `"${key}" must be a list of token ids`;
  const wrong = value.findIndex((id) => !Number.isInteger(id) || (id as number) < 0);
  if (wrong >= 0) return `"${key}"[${wrong}] is ${JSON.stringify(value[wrong])}, not a token id`;
  return value as number[];
}

/** A row that is a text, or its tokens. */
export type TextOrIds = { readonly ids: number[] } | { readonly text: string };

/** Reads {"text"} or {"ids"}. @returns what is wrong with it, where it is neither */
export function textOrIds(value: unknown): TextOrIds | string {
  const row = asObject(value);
  if (!row) return "not an object";
  if (row.ids !== undefined) {
    const ids = asIds(row.ids);
    return typeof ids === "string" ? ids : { ids };
  }
  if (typeof row.text === "string") return { text: row.text };
  return `neither "ids" nor "text"`;
}
