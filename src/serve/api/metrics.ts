/** Numbers in the text format of Prometheus, version 0.0.4. */

type Labels = Readonly<Record<string, string>>;

const shown = (labels: Labels) => {
  const pairs = Object.entries(labels).map(([k, v]) =>
    `${k}="${v.replace(/[\\"]/g, "\\$&").replace(/\n/g, "\\n")}"`
  );
  return pairs.length > 0 ? `{${pairs.join(",")}}` : "";
};

const head = (name: string, help: string, type: string) =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;

/** Grows only. */
export class Counter {
  readonly #values = new Map<string, number>();

  constructor(readonly name: string, readonly help: string) {}

  add(n = 1, labels: Labels = {}): void {
    const key = shown(labels);
    this.#values.set(key, (this.#values.get(key) ?? 0) + n);
  }

  get total(): number {
    return [...this.#values.values()].reduce((a, b) => a + b, 0);
  }

  text(): string {
    const lines = [...this.#values].map(([key, value]) => `${this.name}${key} ${value}\n`);
    return head(this.name, this.help, "counter") + (lines.join("") || `${this.name} 0\n`);
  }
}

/** Upper bounds in seconds. */
const BOUNDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** How often something took how long. */
export class Histogram {
  readonly #counts = new Array<number>(BOUNDS.length + 1).fill(0);
  #sum = 0;

  constructor(readonly name: string, readonly help: string) {}

  observe(seconds: number): void {
    const at = BOUNDS.findIndex((bound) => seconds <= bound);
    this.#counts[at < 0 ? BOUNDS.length : at]!++;
    this.#sum += seconds;
  }

  /** Mean in seconds; 0 for none. */
  get mean(): number {
    const n = this.#counts.reduce((a, b) => a + b, 0);
    return n === 0 ? 0 : this.#sum / n;
  }

  text(): string {
    let below = 0;
    const lines = this.#counts.map((count, i) => {
      below += count;
      return `${this.name}_bucket{le="${BOUNDS[i] ?? "+Inf"}"} ${below}\n`;
    });
    return head(this.name, this.help, "histogram") + lines.join("") +
      `${this.name}_sum ${this.#sum}\n${this.name}_count ${below}\n`;
  }
}

/** Some numbers as they are now, one a label set. */
export function gauge(
  name: string,
  help: string,
  values: readonly (readonly [Labels, number])[],
): string {
  return head(name, help, "gauge") +
    values.map(([labels, value]) => `${name}${shown(labels)} ${value}\n`).join("");
}

/** What a server counts. */
export class Metrics {
  readonly requests = new Counter("whet_requests_total", "Requests by route and status");
  readonly promptTokens = new Counter("whet_prompt_tokens_total", "Tokens of prompts");
  readonly answerTokens = new Counter("whet_answer_tokens_total", "Tokens of answers");
  readonly left = new Counter("whet_disconnects_total", "Clients that left before their answer");
  readonly differs = new Counter(
    "whet_prompt_differs_total",
    "Requests under another prompt than that of the training",
  );
  readonly first = new Histogram(
    "whet_time_to_first_token_seconds",
    "From the request to the first token of its answer",
  );
  readonly whole = new Histogram(
    "whet_request_seconds",
    "From the request to the end of its answer",
  );

  text(): string {
    const all = Object.values(this) as (Counter | Histogram)[];
    return all.map((one) => one.text()).join("");
  }
}
