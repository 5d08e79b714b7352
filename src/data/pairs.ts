import { Exit, Fail } from "../base/fail.ts";
import type { Pair } from "../architectures/packed.ts";
import { isObject } from "../base/strict_json.ts";
import { encodeExample, type ExampleOptions, ignoredLabel } from "../text/prompt.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { LengthReport, PreparedRow, PrepareOptions } from "./prepare.ts";
import {
  answerText,
  type BadRow,
  badRows,
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
import type { Value } from "./json_values.ts";

/** A prompt with two answers: a supervised row of the chosen one, and the same of the other. */
export type PairExample = SftExample & { readonly rejected: Body };

export type PairForm = "pair" | "messages" | "ids";

/** Pairs of a file, and those that were passed over. */
export interface PairDataset {
  readonly examples: readonly PairExample[];
  readonly rejected: readonly BadRow[];
  /** Pairs of which both answers are the same, one message each. */
  readonly identical: readonly string[];
}

const FIELDS = ["prompt", "chosen", "rejected"];

/**
 * Reads pairs from a JSONL file, a JSON array, or standard input ("-"): texts, lists of messages (the
 * prompt may be what both begin with), or token ids. Identical pairs are left out.
 * @param least how many pairs are needed
 * @throws Fail (exit 3) naming every broken row with its line, at most 20 of them; or for too few pairs
 */
export async function readPairs(
  path: string,
  options: RowOptions = {},
  least = 1,
): Promise<PairDataset> {
  const form = 'give one JSON object a line: {"prompt": "…", "chosen": "…", "rejected": "…"}';
  const { rows, rejected } = await collectFile(path, options, readPair, form);
  const examples: PairExample[] = [], identical: string[] = [];
  for (const { line, example: { span, ...pair } } of rows) {
    const { rejected: other, ...chosen } = pair;
    if (JSON.stringify(chosen) !== JSON.stringify(other)) examples.push({ line, ...pair });
    else {
      identical.push(
        span === undefined
          ? `Skipping identical pair at line ${line}`
          : `Skipping identical pair for span ${span}`,
      );
    }
  }
  if (examples.length < least) {
    throw new Fail(
      `Insufficient preference pairs: ${examples.length} < ${least}. ` +
        "Need spans with both approved and rejected annotations.",
      {
        why: identical.length > 0
          ? `${identical.length} of ${rows.length} pairs have the same answer twice`
          : `${path} holds no more`,
        fix: "more pairs of two different answers to one prompt",
        exit: Exit.data,
      },
    );
  }
  return { examples, rejected, identical };
}

type Read = Body & { readonly rejected: Body; readonly span?: string };

/** Reads one value as a pair. @throws for a value that is none, see `refuse` */
export function readPair(
  { value, problem }: Value,
  index: number,
  options: RowOptions,
): { form: PairForm; example: Read } {
  if (problem !== undefined) refuse(problem);
  if (!isObject(value)) refuse(`a row must be a JSON object, got ${kindOf(value)}`);
  const about = isObject(value.metadata) ? value.metadata.span_id : value.span_id;
  const span = typeof about === "string" ? { span: about } : {};
  if (["prompt_ids", "chosen_ids", "rejected_ids"].every((key) => key in value)) {
    const { vocabulary = Infinity } = options;
    const ids = (key: string) => idList(value, key, (id) => id >= 0 && id < vocabulary, vocabulary);
    const prompt = ids("prompt_ids");
    const body = (key: string): Body => {
      const answer = ids(key);
      if (answer.length === 0) refuse(`${key} is empty`);
      if (prompt.length === 0) refuse("prompt_ids is empty: nothing predicts the first token");
      return {
        ids: [...prompt, ...answer],
        labels: [...prompt.map(() => ignoredLabel), ...answer],
      };
    };
    return {
      form: "ids",
      example: { ...body("chosen_ids"), rejected: body("rejected_ids"), ...span },
    };
  }
  const implied = !("prompt" in value) && [value.chosen, value.rejected].every(Array.isArray);
  if (!implied) requireFields(value, FIELDS, index, "DPO dataset");
  if (implied || Array.isArray(value.prompt)) {
    const [chosen, rejected] = [turns(value, "chosen"), turns(value, "rejected")];
    const asked = implied ? common(chosen, rejected) : list(value, "prompt");
    const rest = implied ? asked.length : 0;
    if (asked.length === 0) refuse("chosen and rejected begin differently, and there is no prompt");
    const before = asked.map((m, i) => ({ ...message(m, `prompt[${i}]`), weight: 0 }));
    const body = (key: string, all: readonly unknown[]): Body => {
      if (all.length === rest) refuse(`${key} is empty`);
      return conversation([...before, ...all.slice(rest)]);
    };
    const example = {
      ...body("chosen", chosen),
      rejected: body("rejected", rejected),
      ...span,
    };
    return { form: "messages", example };
  }
  const prompt = text(value, "prompt"), { jsonIndent = 0 } = options;
  const body = (key: string) => ({ prompt, answer: answerText(value, key, jsonIndent) });
  return { form: "pair", example: { ...body("chosen"), rejected: body("rejected"), ...span } };
}

/** An answer to a conversation: messages, or the text of one. */
function turns(row: Row, key: string): readonly unknown[] {
  if (Array.isArray(row[key])) return list(row, key);
  return [{ role: "assistant", content: answerText(row, key, 0) }];
}

/** The messages that both begin with. */
function common(a: readonly unknown[], b: readonly unknown[]): readonly unknown[] {
  const differs = a.findIndex((m, i) => JSON.stringify(m) !== JSON.stringify(b[i]));
  return a.slice(0, differs < 0 ? a.length : differs);
}

/** A pair ready for training; see `Pair` for how both answers lie in one row. */
export interface PreparedPair extends PreparedRow {
  readonly pair: Pair;
}

/**
 * Tokenises pairs as supervised rows are, prompt and answer apart, and applies the limit on length to each
 * of the two sequences. Nothing is cut silently: the report counts it.
 * @param options `share`: what both sequences of a pair begin with is computed once; `prompt`: the chosen
 *   sequence is trained with its prompt
 * @throws Fail (exit 3) naming every row that cannot be trained on, at most 20 of them
 */
export function preparePairs(
  examples: readonly PairExample[],
  tokenizer: Tokenizer,
  options: PrepareOptions & { readonly share: boolean; readonly prompt?: boolean },
): { rows: PreparedPair[]; report: LengthReport } {
  return prepareBodies(
    examples,
    ({ rejected, line: _, ...chosen }) => [chosen as Body, rejected],
    ({ line }, [chosen, rejected]) => {
      const row = joined(line, chosen!, rejected!, options.share);
      return options.prompt ? withPrompt(row) : row;
    },
    tokenizer,
    options,
  );
}

/**
 * Tokenises the bodies of examples and applies the limit on length to each of them.
 * @param bodies the sequences of an example
 * @param build makes a row of them, cut where they were too long
 * @throws Fail (exit 3) naming every row that cannot be trained on, at most 20 of them
 */
export function prepareBodies<Example extends { readonly line: number }, Made extends PreparedRow>(
  examples: readonly Example[],
  bodies: (example: Example) => readonly Body[],
  build: (example: Example, bodies: readonly Encoded[]) => Made,
  tokenizer: Tokenizer,
  options: PrepareOptions,
): { rows: Made[]; report: LengthReport } {
  const { maxSeq, overlong, vocabulary = Infinity } = options;
  const rows: Made[] = [], bad: BadRow[] = [];
  const report = { rows: examples.length, tokens: 0, longest: 0, overlong: 0 };
  const lost = { tokensLost: 0, endsLost: 0, dropped: 0 };
  for (const example of examples) {
    const { line } = example, all = bodies(example), first = all[0]!;
    const refuseRow = (reason: string) =>
      bad.push({ line, reason, text: JSON.stringify("prompt" in first ? first.prompt : first) });
    let both: Encoded[];
    try {
      both = all.map((body) => encoded(body, tokenizer, options));
    } catch (error) {
      if (!(error instanceof Fail)) throw error;
      refuseRow(error.why ? `${error.message} (${error.why})` : error.message);
      continue;
    }
    const outside = both.flatMap(({ ids }) => ids).find((id) => id >= vocabulary);
    if (outside !== undefined) {
      refuseRow(
        `the tokenizer makes token ${outside} of it, the model's vocabulary has ${vocabulary}`,
      );
      continue;
    }
    const tokens = both.reduce((sum, { ids }) => sum + ids.length, 0);
    const longest = both.reduce((most, { ids }) => Math.max(most, ids.length), 0);
    report.tokens += tokens;
    report.longest = Math.max(report.longest, longest);
    if (longest > maxSeq) {
      report.overlong++;
      if (overlong === "error") {
        refuseRow(
          `an answer with its prompt has ${longest} tokens, more than the ${maxSeq} allowed`,
        );
        continue;
      }
    }
    const cut = both.map(({ ids, labels }) => ({
      ids: ids.slice(0, maxSeq),
      labels: labels.slice(0, maxSeq),
    }));
    const fits = longest <= maxSeq ||
      (overlong === "truncate" && cut.every(({ labels }) => trained(labels) > 0));
    if (!fits) {
      lost.dropped++;
      lost.tokensLost += tokens;
      continue;
    }
    lost.tokensLost += tokens - cut.reduce((sum, { ids }) => sum + ids.length, 0);
    if (longest > maxSeq) lost.endsLost++;
    if (cut.every(({ labels }) => trained(labels) > 0)) rows.push(build(example, cut));
    else refuseRow("one of the answers has nothing to train on");
  }
  if (bad.length > 0) {
    const fix = overlong === "error" && report.longest > maxSeq
      ? `--max-seq ${report.longest} where the model can take that, or --overlong drop or truncate`
      : "correct the rows named above";
    throw badRows(options.name, bad, examples.length, fix);
  }
  return { rows, report: { ...report, ...lost } };
}

/** A sequence in tokens, with what each must be predicted as. */
export interface Encoded {
  readonly ids: readonly number[];
  readonly labels: readonly number[];
}

const encoded = (body: Body, tokenizer: Tokenizer, options: ExampleOptions): Encoded =>
  "ids" in body ? body : encodeExample(tokenizer, body, options);

export const trained = (labels: readonly number[]) =>
  labels.reduce((n, label, i) => i > 0 && label !== ignoredLabel ? n + 1 : n, 0);

/**
 * Both sequences in one row, what they begin with only once where `share` says so: all of the prompt but
 * its last token, which has to predict the first one of either answer.
 */
export function joined(
  line: number,
  chosen: Encoded,
  rejected: Encoded,
  share: boolean,
): PreparedPair {
  const first = (labels: readonly number[]) => labels.findIndex((l) => l !== ignoredLabel);
  const differs = chosen.ids.findIndex((id, i) => id !== rejected.ids[i]);
  const most = Math.min(
    differs < 0 ? chosen.ids.length : differs,
    first(chosen.labels) - 1,
    first(rejected.labels) - 1,
  );
  const shared = share ? Math.max(0, most) : 0, middle = chosen.ids.length;
  const labels = [...chosen.labels, ...rejected.labels.slice(shared)];
  labels[middle] = ignoredLabel; // nothing predicts the first token of a sequence
  return {
    line,
    ids: [...chosen.ids, ...rejected.ids.slice(shared)],
    labels,
    targets: trained(labels),
    pair: { shared, rejected: middle },
  };
}

/** The same pair with the prompt of the chosen answer trained as well. */
function withPrompt(row: PreparedPair): PreparedPair {
  const labels = [...row.labels], answer = labels.findIndex((label) => label !== ignoredLabel);
  for (let t = 1; t < answer; t++) labels[t] = row.ids[t]!;
  return { ...row, labels, targets: trained(labels), pair: { ...row.pair, answer } };
}
