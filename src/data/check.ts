import { word } from "../base/random.ts";
import { isObject } from "../base/strict_json.ts";
import type { FieldBalance } from "./balance.ts";
import type { Value } from "./json_values.ts";
import { type AnyRow, anyRow, type Kind, kindOf } from "./kinds.ts";
import { Lengths } from "./lengths.ts";
import { BAD, type Looks, type Marks, marksOf, QUESTION, SIGNED, Tally, WORDS } from "./look.ts";
import { type BadRow, type RowOptions, statedIn } from "./rows.ts";
import { BINS, SeenTexts, similarity, SimilarRows } from "./similar.ts";

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

/** Where rows stand that a row is like: lines of the first of them. */
interface Places {
  readonly copyOf?: number;
  readonly nearTo?: number;
  /** Asked before, and answered otherwise. */
  readonly contradicts?: number;
  /** The line of the same, or nearly the same, row in the other file. */
  readonly leaked?: number;
}

/** What is said of one row. */
export interface Verdict extends Places {
  readonly value: Value;
  readonly bad?: string;
  readonly row?: AnyRow;
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
    const { content, signature } = marksOf(row, this.#signature);
    this.#exact.seen(content, value.line);
    if (signature) this.#near.add(signature, value.line);
  }

  lineOf({ content, signature }: Marks): number | undefined {
    return this.#exact.lineOf(content) ?? (signature && this.#near.find(signature));
  }
}

/** Looks at the rows of a file one after the other; memory does not grow with them. */
export class Checker {
  readonly #exact = new SeenTexts(MOST_EXACT);
  readonly #asked = new SeenTexts(MOST_EXACT);
  readonly #near = new SimilarRows(NEAR, MOST_NEAR);
  readonly #signature = new Uint8Array(BINS);
  readonly #drawn = new Uint8Array(DRAWN * BINS);
  readonly #lengths = new Lengths();
  readonly #tally = new Tally();
  readonly #bad: NamedBadRow[] = [];
  readonly #counts: Record<Finding, number> = {
    bad: 0,
    copies: 0,
    near: 0,
    contradictions: 0,
    leaked: 0,
  };
  readonly #pairs: CheckReport["pairs"] = { copies: [], near: [], contradictions: [], leaked: [] };
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
    this.#tally.add(row, value.value);
    return { value, row, ...this.#place(value.line, marksOf(row, this.#signature)) };
  }

  /** What the rows are; undefined before the first that can be read. */
  get kind(): Kind | undefined {
    return this.#kind;
  }

  /** Checks rows that were looked at: the same as `row` for each of them, without schema and tokens. */
  take({ has, words, signatures, bad, ...counts }: Looks): void {
    let refused = 0;
    for (let i = 0, at = 0; i < has.length; i++, at += WORDS) {
      if (has[i]! & BAD) {
        this.row(bad[refused++]!);
        continue;
      }
      this.#rows++;
      this.#lengths.add(words[at + 1]!);
      this.#place(words[at]!, {
        content: { low: words[at + 2]!, high: words[at + 3]! },
        question: has[i]! & QUESTION ? { low: words[at + 4]!, high: words[at + 5]! } : undefined,
        signature: has[i]! & SIGNED ? signatures.subarray(BINS * i, BINS * (i + 1)) : undefined,
      });
    }
    this.#tally.take(counts);
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

  /** Finds the rows before that a row is like, and counts them. */
  #place(line: number, marks: Marks): Places {
    const { content, question, signature } = marks;
    const copyOf = this.#exact.seen(content, line);
    if (signature) this.#draw(signature);
    const leaked = this.options.against?.lineOf(marks);
    if (copyOf !== undefined) return this.#found(line, { copyOf, leaked });
    const contradicts = question && this.#asked.seen(question, line);
    if (!signature) return this.#found(line, { leaked });
    const nearTo = this.#near.find(signature);
    // Rows like one that is kept already need no place of their own.
    if (nearTo === undefined) this.#near.add(signature, line);
    return this.#found(line, { leaked, nearTo, contradicts });
  }

  /**
   * Reservoir sampling: each row has the same chance, in one pass, and random numbers are needed only
   * for rows that are taken (Li, Reservoir-sampling algorithms of time complexity O(n(1 + log(N/n))),
   * 1994, algorithm L).
   */
  #draw(signature: Uint8Array) {
    const n = this.#signed++;
    if (n < DRAWN) this.#drawn.set(signature, n * BINS);
    if (n < this.#nextDrawn) return;
    if (n >= DRAWN) this.#drawn.set(signature, Math.floor(DRAWN * this.#random()) * BINS);
    this.#weight *= this.#random() ** (1 / DRAWN);
    this.#nextDrawn += 1 + Math.floor(Math.log(this.#random()) / Math.log1p(-this.#weight));
  }

  /** In (0, 1). */
  #random(): number {
    return (word(1, 0, this.#randoms++) + 0.5) / 2 ** 32;
  }

  #found(line: number, places: Places): Places {
    const { copyOf, nearTo, contradicts, leaked } = places;
    const note = (what: keyof CheckReport["pairs"], other: number | undefined) => {
      if (other === undefined) return;
      this.#counts[what]++;
      if (this.#pairs[what].length < 5) this.#pairs[what].push({ line, other });
    };
    note("copies", copyOf);
    note("near", nearTo);
    note("contradictions", contradicts);
    note("leaked", leaked);
    return places;
  }

  report(): CheckReport {
    return {
      rows: this.#rows,
      good: this.#rows - this.#counts.bad,
      kind: this.#kind ?? "sft",
      forms: this.#tally.forms,
      counts: this.#counts,
      bad: this.#bad,
      pairs: this.#pairs,
      lengths: this.#lengths,
      diversity: this.#diversity(),
      balance: this.#tally.balance.fields(),
      compared: {
        ...(this.#exact.full ? { exact: MOST_EXACT } : {}),
        ...(this.#near.full ? { near: MOST_NEAR } : {}),
      },
      mix: this.#tally.mix,
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
