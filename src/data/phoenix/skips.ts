/** What was left out, on which ground, and how often. */
export interface Skip {
  /** What was not made: a row of a kind, or that a span or an annotation has no say. */
  readonly what: "span" | "annotation" | "sft" | "dpo" | "triplet";
  readonly reason: string;
  readonly count: number;
  /** Ids of the first spans it happened to. */
  readonly spans: readonly string[];
}

/** Spans that are named for each reason. */
const NAMED = 5;

/** Counts what is left out. */
export class Skips {
  readonly #by = new Map<
    string,
    { skip: Omit<Skip, "count" | "spans">; spans: string[]; n: number }
  >();

  add(what: Skip["what"], reason: string, span?: string): void {
    const key = `${what}\0${reason}`;
    const found = this.#by.get(key) ?? { skip: { what, reason }, spans: [], n: 0 };
    found.n++;
    if (span !== undefined && found.spans.length < NAMED && !found.spans.includes(span)) {
      found.spans.push(span);
    }
    this.#by.set(key, found);
  }

  /** All of them, the most frequent first. */
  list(): Skip[] {
    return [...this.#by.values()].map(({ skip, spans, n }) => ({ ...skip, count: n, spans }))
      .sort((a, b) => b.count - a.count || a.reason.localeCompare(b.reason));
  }

  count(what: Skip["what"], reason: string): number {
    return this.#by.get(`${what}\0${reason}`)?.n ?? 0;
  }
}
