import { word } from "../base/random.ts";
import { isObject } from "../base/strict_json.ts";
import { Balance, type FieldBalance } from "./balance.ts";
import type { Value } from "./json_values.ts";
import { type AnyRow, anyRow, contentOf, type Kind, kindOf } from "./kinds.ts";
import { Lengths } from "./lengths.ts";
import { type BadRow, type RowOptions, statedIn } from "./rows.ts";
import { BINS, SeenTexts, sign, similarity, SimilarRows } from "./similar.ts";

/** From this share of common runs of five characters on, two rows are nearly the same. */
export const NEAR = 0.8;
/** Rows among which copies are found, exact and near, so that memory does not grow with the file. */
const MOST_EXACT = 3 * 2 ** 19;
const MOST_NEAR = 2 ** 17;
/** Rows drawn for the diversity. */
const DRAWN = 1000;
const SHOWN = 20;

export interface CheckOptions extends RowOptions {
  /** What a schema finds wrong with an answer, and whether answers must be JSON. */
  readonly problems?: (answer: unknown) => readonly string[];
  /** Tokens of a row, or what is wrong with it; without it lengths are characters. */
  readonly tokens?: (row: AnyRow) => number | { readonly problem: string };
  /** Rows that must not stand here too. */
  readonly against?: Held;
}

/** A bad row with what names it. */
export interface NamedBadRow extends BadRow {
  readonly id?: string;
}

/** What is said of one row. Lines are those of the first row that is the same. */
export interface Verdict {
  readonly value: Value;
  readonly bad?: string;
  readonly row?: AnyRow;
  readonly copyOf?: number;
  readonly nearTo?: number;
  /** Asked before, and answered otherwise. */
  readonly contradicts?: number;
  /** The line of the same, or nearly the same, row in the other file. */
  readonly leaked?: number;
}

export type Finding = "bad" | "copies" | "near" | "contradictions" | "leaked";

export interface Pair {
  readonly line: number;
  readonly other: number;
}

export interface CheckReport {
  readonly rows: number;
  readonly good: number;
  readonly kind: Kind;
  readonly forms: Readonly<Record<string, number>>;
  readonly counts: Readonly<Record<Finding, number>>;
  /** The first 20. */
  readonly bad: readonly NamedBadRow[];
  /** The first few of each. */
  readonly pairs: Readonly<Record<"copies" | "near" | "contradictions" | "leaked", Pair[]>>;
  readonly lengths: Lengths;
  /**
   * One less the mean similarity of a row to the most similar other one, among up to 1,000 rows drawn
   * evenly; undefined with fewer than two.
   */
  readonly diversity?: number;
  readonly balance: readonly FieldBalance[];
  /** Among how many rows copies and near copies were looked for, where not among all. */
  readonly compared: { readonly exact?: number; readonly near?: number };
  /** Answers by what they are, where rows follow the clitron form. */
  readonly mix: {
    readonly withContext: number;
    readonly without: number;
    readonly negative: number;
  };
}

/** The rows of another file, to find them here. */
export class Held {
  readonly #exact = new SeenTexts(MOST_EXACT);
  readonly #near = new SimilarRows(NEAR, MOST_NEAR);
  readonly #signature = new Uint8Array(BINS);
  #index = 0;
  #kind: Kind | undefined;
  rows = 0;

  /** Remembers a row; broken ones are passed over. */
  add(value: Value, options: RowOptions = {}): void {
    this.#kind ??= value.problem === undefined ? kindOf(value.value) : undefined;
    const row = anyRow(value, this.#index++, this.#kind ?? "sft", options);
    if ("problem" in row) return;
    this.rows++;
    this.#exact.seen(row.content, value.line);
    const text = compared(row);
    if (text === undefined) return;
    sign(text, this.#signature);
    this.#near.add(this.#signature, value.line);
  }

  lineOf(row: AnyRow, signature: Uint8Array | undefined): number | undefined {
    return this.#exact.lineOf(row.content) ?? (signature && this.#near.find(signature));
  }
}

/** What near copies are found by: question and answer, without what all rows share (the system text). */
function compared(row: AnyRow): string | undefined {
  if (row.asked !== undefined) return `${row.asked}\n${row.answer ?? ""}`;
  return row.example && "text" in row.example ? row.example.text : undefined;
}

/** Looks at the rows of a file one after the other; memory does not grow with them. */
export class Checker {
  readonly #exact = new SeenTexts(MOST_EXACT);
  readonly #asked = new SeenTexts(MOST_EXACT);
  readonly #near = new SimilarRows(NEAR, MOST_NEAR);
  readonly #signature = new Uint8Array(BINS);
  readonly #drawn = new Uint8Array(DRAWN * BINS);
  readonly #lengths = new Lengths();
  readonly #balance = new Balance();
  readonly #bad: NamedBadRow[] = [];
  readonly #forms: Record<string, number> = {};
  readonly #counts: Record<Finding, number> = {
    bad: 0,
    copies: 0,
    near: 0,
    contradictions: 0,
    leaked: 0,
  };
  readonly #pairs: CheckReport["pairs"] = { copies: [], near: [], contradictions: [], leaked: [] };
  readonly #mix = { withContext: 0, without: 0, negative: 0 };
  #kind: Kind | undefined;
  #rows = 0;
  #signed = 0;
  #nextDrawn = DRAWN - 1;
  #weight = 1;
  #randoms = 0;

  constructor(readonly options: CheckOptions = {}) {}

  row(value: Value): Verdict {
    const index = this.#rows++;
    if (value.problem === undefined) this.#kind ??= kindOf(value.value);
    const row = anyRow(value, index, this.#kind ?? "sft", this.options);
    if ("problem" in row) return this.#refuse(value, row.problem);
    const wrong = this.#answerProblem(row);
    if (wrong) return this.#refuse(value, wrong);
    const { tokens } = this.options;
    const length = tokens ? tokens(row) : row.content.length;
    if (typeof length !== "number") return this.#refuse(value, length.problem);
    this.#lengths.add(length);
    this.#forms[row.form] = (this.#forms[row.form] ?? 0) + 1;
    if (row.kind === "sft" && row.answer !== undefined) this.#balance.add(statedIn(row.answer));
    if (row.form === "clitron") this.#mixOf(value.value, row.answer!);
    return this.#found(this.#compare(value, row));
  }

  #refuse(value: Value, bad: string): Verdict {
    this.#counts.bad++;
    if (this.#bad.length < SHOWN) {
      const id = isObject(value.value) ? value.value.id : undefined;
      const named = typeof id === "string" || typeof id === "number" ? { id: String(id) } : {};
      this.#bad.push({ line: value.line, reason: bad, text: value.text.slice(0, 400), ...named });
    }
    return { value, bad };
  }

  #answerProblem({ answer, kind }: AnyRow): string | undefined {
    const { problems } = this.options;
    if (!problems || answer === undefined || kind === "triplet") return undefined;
    let parsed: unknown;
    try {
      parsed = JSON.parse(statedIn(answer));
    } catch {
      return "the answer is not valid JSON";
    }
    const found = problems(parsed);
    return found.length > 0 ? found.join("; ") : undefined;
  }

  #compare(value: Value, row: AnyRow): Verdict {
    const { line } = value;
    const copyOf = this.#exact.seen(row.content, line);
    const text = compared(row);
    if (text !== undefined) {
      sign(text, this.#signature);
      this.#draw();
    }
    const signature = text === undefined ? undefined : this.#signature;
    const leaked = this.options.against?.lineOf(row, signature);
    if (copyOf !== undefined) return { value, row, copyOf, leaked };
    const contradicts = row.kind === "sft" && row.asked !== undefined
      ? this.#asked.seen(questionOf(row), line)
      : undefined;
    if (!signature) return { value, row, leaked };
    const nearTo = this.#near.find(signature);
    // Rows like one that is kept already need no place of their own.
    if (nearTo === undefined) this.#near.add(signature, line);
    return { value, row, leaked, nearTo, contradicts };
  }

  /**
   * Reservoir sampling: each row has the same chance, in one pass, and random numbers are needed only
   * for rows that are taken (Li, Reservoir-sampling algorithms of time complexity O(n(1 + log(N/n))),
   * 1994, algorithm L).
   */
  #draw() {
    const n = this.#signed++;
    if (n < DRAWN) this.#drawn.set(this.#signature, n * BINS);
    if (n < this.#nextDrawn) return;
    if (n >= DRAWN) this.#drawn.set(this.#signature, Math.floor(DRAWN * this.#random()) * BINS);
    this.#weight *= this.#random() ** (1 / DRAWN);
    this.#nextDrawn += 1 + Math.floor(Math.log(this.#random()) / Math.log1p(-this.#weight));
  }

  /** In (0, 1). */
  #random(): number {
    return (word(1, 0, this.#randoms++) + 0.5) / 2 ** 32;
  }

  #mixOf(value: unknown, answer: string) {
    const { context } = value as { context?: unknown };
    if (/"type"\s*:\s*"clarification"/.test(answer)) this.#mix.negative++;
    else if (context === null || context === "") this.#mix.without++;
    else this.#mix.withContext++;
  }

  #found(verdict: Verdict): Verdict {
    const { copyOf, nearTo, contradicts, leaked } = verdict;
    const note = (what: keyof CheckReport["pairs"], other: number | undefined) => {
      if (other === undefined) return;
      this.#counts[what]++;
      if (this.#pairs[what].length < 5) this.#pairs[what].push({ line: verdict.value.line, other });
    };
    note("copies", copyOf);
    note("near", nearTo);
    note("contradictions", contradicts);
    note("leaked", leaked);
    return verdict;
  }

  report(): CheckReport {
    return {
      rows: this.#rows,
      good: this.#rows - this.#counts.bad,
      kind: this.#kind ?? "sft",
      forms: this.#forms,
      counts: this.#counts,
      bad: this.#bad,
      pairs: this.#pairs,
      lengths: this.#lengths,
      diversity: this.#diversity(),
      balance: this.#balance.fields(),
      compared: {
        ...(this.#exact.full ? { exact: MOST_EXACT } : {}),
        ...(this.#near.full ? { near: MOST_NEAR } : {}),
      },
      mix: this.#mix,
    };
  }

  #diversity(): number | undefined {
    const n = Math.min(DRAWN, this.#signed);
    if (n < 2) return undefined;
    const nearest = new Float64Array(n);
    for (let a = 0; a < n; a++) {
      for (let b = 0; b < a; b++) {
        const alike = similarity(this.#drawn, a * BINS, this.#drawn, b * BINS);
        if (alike > nearest[a]!) nearest[a] = alike;
        if (alike > nearest[b]!) nearest[b] = alike;
      }
    }
    return 1 - nearest.reduce((sum, s) => sum + s, 0) / n;
  }
}

/** A question in its surroundings: the same words after another system text are another question. */
function questionOf({ example, asked }: AnyRow): string {
  if (!example || !("messages" in example)) return asked!;
  return contentOf(example.messages.slice(0, -1));
}
