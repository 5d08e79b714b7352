import { Exit, Fail } from "../base/fail.ts";
import { isObject } from "../base/strict_json.ts";
import { ignoredLabel } from "../text/prompt.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Value } from "./json_values.ts";
import {
  type Encoded,
  joined,
  prepareBodies,
  type PreparedPair,
  readPair,
  trained,
} from "./pairs.ts";
import type { LengthReport, PreparedRow, PrepareOptions } from "./prepare.ts";
import {
  answerText,
  type BadRow,
  type Body,
  collectFile,
  conversation,
  idList,
  kindOf,
  list,
  message,
  refuse,
  requireFields,
  type Row,
  type RowOptions,
  type SftExample,
  text,
} from "./rows.ts";

/** A prompt with an answer, and whether it is wanted. */
export type UnpairedExample = SftExample & { readonly wanted: boolean };

const FIELDS = ["prompt", "completion", "label"];

/**
 * Reads answers one by one: texts, lists of messages or token ids with a label, true for an answer that is
 * wanted. A pair of two answers becomes one of each; identical ones are left out.
 * @throws Fail (exit 3) naming every broken row with its line, at most 20 of them
 */
export async function readUnpaired(
  path: string,
  options: RowOptions = {},
): Promise<{ examples: UnpairedExample[]; rejected: readonly BadRow[]; identical: string[] }> {
  const form = 'give one JSON object a line: {"prompt": "…", "completion": "…", "label": true}';
  const { rows, rejected } = await collectFile(path, options, readAnswers, form);
  const examples: UnpairedExample[] = [], identical: string[] = [];
  for (const { line, example } of rows) {
    const [one, other] = example.map(({ wanted: _, ...body }) => JSON.stringify(body));
    if (one === other) identical.push(`Skipping identical pair at line ${line}`);
    else examples.push(...example.map((answer) => ({ line, ...answer })));
  }
  if (examples.length === 0) {
    throw new Fail("Cannot train with empty dataset. No training examples available.", {
      why: `${path} holds no answer that could be trained`,
      fix: form,
      exit: Exit.data,
    });
  }
  return { examples, rejected, identical };
}

type Answer = Body & { readonly wanted: boolean };

function readAnswers(
  value: Value,
  index: number,
  options: RowOptions,
): { form: "unpaired"; example: Answer[] } {
  const { value: row, problem } = value;
  if (problem !== undefined) refuse(problem);
  if (!isObject(row)) refuse(`a row must be a JSON object, got ${kindOf(row)}`);
  if ("chosen" in row || "rejected" in row || "chosen_ids" in row) {
    const { span: _, rejected, ...chosen } = readPair(value, index, options).example;
    return {
      form: "unpaired",
      example: [{ ...chosen as Body, wanted: true }, { ...rejected, wanted: false }],
    };
  }
  const wanted = labelOf(row, index);
  return { form: "unpaired", example: [{ ...bodyOf(row, options), wanted }] };
}

function labelOf(row: Row, index: number): boolean {
  const ids = "prompt_ids" in row;
  requireFields(
    row,
    ids ? ["prompt_ids", "completion_ids", "label"] : FIELDS,
    index,
    "KTO dataset",
  );
  const { label } = row;
  if (typeof label !== "boolean") {
    refuse(`label must be true for an answer that is wanted, else false; got ${kindOf(label)}`);
  }
  return label;
}

function bodyOf(
  row: Row,
  { vocabulary = Infinity, jsonIndent = 0 }: RowOptions,
): Body {
  if ("prompt_ids" in row) {
    const ids = (key: string) => idList(row, key, (id) => id >= 0 && id < vocabulary, vocabulary);
    const prompt = ids("prompt_ids"), answer = ids("completion_ids");
    if (prompt.length === 0) refuse("prompt_ids is empty: nothing predicts the first token");
    if (answer.length === 0) refuse("completion_ids is empty");
    return { ids: [...prompt, ...answer], labels: [...prompt.map(() => ignoredLabel), ...answer] };
  }
  if (Array.isArray(row.prompt)) {
    const before = list(row, "prompt").map((m, i) => ({
      ...message(m, `prompt[${i}]`),
      weight: 0,
    }));
    const answer = Array.isArray(row.completion)
      ? list(row, "completion")
      : [{ role: "assistant", content: answerText(row, "completion", 0) }];
    if (answer.length === 0) refuse("completion is empty");
    return conversation([...before, ...answer]);
  }
  return { prompt: text(row, "prompt"), answer: answerText(row, "completion", jsonIndent) };
}

/**
 * Tokenises answers and applies the limit on length. Nothing is cut silently: the report counts it.
 * @param options `share`: prompts are computed once; `batch`: among how many rows, one after the other,
 *   each gets the answer of the one before it (the first that of the last) to measure the distance by, as
 *   TRL does it; none where absent
 * @throws Fail (exit 3) naming every row that cannot be trained on, at most 20 of them
 */
export function prepareUnpaired(
  examples: readonly UnpairedExample[],
  tokenizer: Tokenizer,
  options: PrepareOptions & { readonly share: boolean; readonly batch?: number },
): { rows: PreparedPair[]; report: LengthReport } {
  const { maxSeq, share, batch } = options;
  const { rows, report } = prepareBodies(
    examples,
    ({ line: _, wanted: __, ...body }) => [body as Body],
    ({ line, wanted }, [body]): PreparedRow & { wanted: boolean } => ({
      line,
      ...body!,
      targets: trained(body!.labels),
      wanted,
    }),
    tokenizer,
    options,
  );
  return {
    report,
    rows: rows.map(({ wanted, ...row }, i) => {
      const { length } = row.ids;
      if (batch === undefined) return { ...row, pair: { shared: 0, rejected: length, wanted } };
      const from = i - i % batch, last = Math.min(from + batch, rows.length) - 1;
      const other = mismatched(row, rows[i === from ? last : i - 1]!, maxSeq);
      const made = joined(row.line, row, other, share);
      return { ...made, pair: { ...made.pair, wanted } };
    }),
  };
}

/** The prompt of one row with the answer of another: all from its first trained token on. */
function mismatched(row: Encoded, other: Encoded, maxSeq: number): Encoded {
  const begins = ({ labels }: Encoded) => labels.findIndex((label) => label !== ignoredLabel);
  const prompt = row.ids.slice(0, begins(row)), at = begins(other);
  return {
    ids: [...prompt, ...other.ids.slice(at)].slice(0, maxSeq),
    labels: [...prompt.map(() => ignoredLabel), ...other.labels.slice(at)].slice(0, maxSeq),
  };
}
