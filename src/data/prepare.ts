import { Exit, Fail } from "../base/fail.ts";
import { encodeExample, type ExampleOptions, ignoredLabel } from "../text/prompt.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type BadRow, badRows, type SftExample } from "./rows.ts";

/** A row ready for training: ids and labels as long as each other, −100 = not trained. */
export interface PreparedRow {
  readonly line: number;
  readonly ids: readonly number[];
  readonly labels: readonly number[];
  /** What each label counts in the loss; 1 where absent. */
  readonly weights?: readonly number[];
  /** Positions that are predicted and trained: labels from the second on that are not −100. */
  readonly targets: number;
}

export interface PrepareOptions extends ExampleOptions {
  /** Name of the dataset, for errors. */
  readonly name: string;
  /** Size of the model's vocabulary: a tokenizer may know more tokens than the model. */
  readonly vocabulary?: number;
  /** Most tokens a row may have. */
  readonly maxSeq: number;
  readonly overlong: "drop" | "error" | "truncate";
}

/** What the limit on length cost. */
export interface LengthReport {
  readonly rows: number;
  readonly tokens: number;
  readonly longest: number;
  /** Rows longer than the limit. */
  readonly overlong: number;
  readonly tokensLost: number;
  /** Truncated rows that lost the end of their answer: they teach the model not to stop. */
  readonly endsLost: number;
  /** Rows left out, because they were dropped or had nothing left to train on. */
  readonly dropped: number;
}

/**
 * Tokenises rows, trained positions known by construction, and applies the limit on length. Nothing
 * is cut silently: the report counts it.
 * @throws Fail (exit 3) naming every row that cannot be trained on, at most 20 of them
 */
export function prepareSft(
  examples: readonly SftExample[],
  tokenizer: Tokenizer,
  options: PrepareOptions,
): { rows: PreparedRow[]; report: LengthReport } {
  const { maxSeq, overlong, vocabulary = Infinity, lossOn = "response" } = options;
  const rows: PreparedRow[] = [];
  const bad: BadRow[] = [];
  const report = { rows: examples.length, tokens: 0, longest: 0, overlong: 0 };
  const lost = { tokensLost: 0, endsLost: 0, dropped: 0 };
  for (const example of examples) {
    const refuse = (reason: string) =>
      bad.push({ line: example.line, reason, text: beginning(example) });
    let encoded: Pick<PreparedRow, "ids" | "labels" | "weights">;
    if ("ids" in example && lossOn !== "response") {
      refuse("input_ids and labels say themselves what is trained, --loss-on cannot");
      continue;
    }
    try {
      encoded = "ids" in example ? example : encodeExample(tokenizer, example, options);
    } catch (error) {
      if (!(error instanceof Fail)) throw error;
      refuse(error.why ? `${error.message} (${error.why})` : error.message);
      continue;
    }
    const { ids, labels, weights } = encoded;
    const outside = ids.find((id) => id >= vocabulary);
    if (outside !== undefined) {
      refuse(
        `the tokenizer makes token ${outside} of it, the model's vocabulary has ${vocabulary}`,
      );
      continue;
    }
    report.tokens += ids.length;
    report.longest = Math.max(report.longest, ids.length);
    if (ids.length <= maxSeq) {
      const targets = countTargets(labels);
      if (targets > 0) rows.push({ line: example.line, ids, labels, weights, targets });
      else refuse("the row has nothing to train on");
      continue;
    }
    report.overlong++;
    if (overlong === "error") {
      refuse(`the row has ${ids.length} tokens, more than the ${maxSeq} allowed`);
      continue;
    }
    const kept = labels.slice(0, maxSeq);
    const targets = overlong === "truncate" ? countTargets(kept) : 0;
    lost.tokensLost += targets > 0 ? ids.length - maxSeq : ids.length;
    if (targets === 0) lost.dropped++;
    else {
      if (labels.slice(maxSeq).some((label) => label !== ignoredLabel)) lost.endsLost++;
      const [some, counts] = [ids.slice(0, maxSeq), weights?.slice(0, maxSeq)];
      rows.push({ line: example.line, ids: some, labels: kept, weights: counts, targets });
    }
  }
  if (bad.length > 0) {
    const fix = overlong === "error" && report.longest > maxSeq
      ? `--max-seq ${report.longest} where the model can take that, or --overlong drop or truncate`
      : "correct the rows named above";
    throw badRows(options.name, bad, examples.length, fix);
  }
  if (typeof lossOn !== "string" && !rows.some(({ weights }) => weights)) {
    const names = [...lossOn.keys()];
    throw new Fail(`no row of ${options.name} has a section ${names.join(" or ")}`, {
      why: `--loss-on weighs what stands in an answer from ${
        names.map((name) => `<${name}> to </${name}>`).join(", or from ")
      }`,
      fix: "name the tags that the answers have, or leave --loss-on out",
      exit: Exit.data,
    });
  }
  return { rows, report: { ...report, ...lost } };
}

function countTargets(labels: readonly number[]): number {
  let targets = 0;
  for (let i = 1; i < labels.length; i++) if (labels[i] !== ignoredLabel) targets++;
  return targets;
}

function beginning(example: SftExample): string {
  if ("text" in example) return example.text;
  if ("prompt" in example) return example.prompt;
  return JSON.stringify("messages" in example ? example.messages[0] : example.ids.slice(0, 20));
}
