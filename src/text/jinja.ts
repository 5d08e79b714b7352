import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { Exit, Fail } from "../base/fail.ts";

/** What one rendering may cost; templates come with models and are not to be trusted. */
export const jinjaLimits = {
  sourceLength: 1 << 20,
  steps: 5_000_000,
  depth: 1_000,
  milliseconds: 2_000,
  range: 100_000,
  /** UTF-16 units of one string, and of all strings made on the way. */
  stringLength: 4 << 20,
  allStrings: 256 << 20,
};

type EvaluateArguments = Parameters<Interpreter["evaluate"]>;
type Value = ReturnType<Interpreter["evaluate"]>;

class TooMuch extends Error {}

/** Counts what a template does and stops it at the limits. */
class Metered extends Interpreter {
  #steps = 0;
  #depth = 0;
  #length = 0;
  readonly #deadline = performance.now() + jinjaLimits.milliseconds;

  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > jinjaLimits.steps) throw new TooMuch(`more than ${jinjaLimits.steps} steps`);
  }

  override evaluate(...[statement, environment]: EvaluateArguments): Value {
    this.spend(1);
    if (this.#steps % 1024 === 0 && performance.now() > this.#deadline) {
      throw new TooMuch(`more than ${jinjaLimits.milliseconds} ms`);
    }
    if (++this.#depth > jinjaLimits.depth) throw new TooMuch("it is nested or recurses too deeply");
    try {
      const value = super.evaluate(statement, environment);
      if (typeof value.value === "string") {
        this.#length += value.value.length;
        if (
          value.value.length > jinjaLimits.stringLength || this.#length > jinjaLimits.allStrings
        ) {
          throw new TooMuch("it makes too much text");
        }
      }
      return value;
    } finally {
      this.#depth--;
    }
  }
}

const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** The date codes that chat templates use, as Python's strftime writes them in the C locale. */
function strftime(date: Date, format: string): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const codes: Record<string, string> = {
    Y: String(date.getFullYear()),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    B: months[date.getMonth()]!,
    b: months[date.getMonth()]!.slice(0, 3),
    A: days[date.getDay()]!,
    a: days[date.getDay()]!.slice(0, 3),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    p: date.getHours() < 12 ? "AM" : "PM",
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    "%": "%",
  };
  return format.replace(/%(.)/g, (whole, code: string) => codes[code] ?? whole);
}

/** Runs a template on plain JSON values. */
export type JinjaTemplate = (values: Readonly<Record<string, unknown>>, date?: Date) => string;

const refused = (cause: unknown): Fail => {
  const why = cause instanceof RangeError
    ? "it recurses too deeply or makes too much text"
    : cause instanceof Error
    ? cause.message
    : String(cause);
  return new Fail("the chat template failed", {
    why,
    fix: "check the messages, or give another template",
    exit: Exit.data,
    cause,
  });
};

/**
 * Parses a Jinja template with the settings of Hugging Face chat templates (trim_blocks,
 * lstrip_blocks). Line ends CRLF and CR count as LF, as in Python's Jinja.
 *
 * @returns a function that renders it; `date` is what strftime_now shows, now by default
 * @throws Fail when it does not parse; rendering throws Fail when the template raises, is wrong, or
 *   costs more than `jinjaLimits`
 */
export function compileJinja(source: string): JinjaTemplate {
  if (source.length > jinjaLimits.sourceLength) {
    throw new Fail(`the chat template is ${source.length} characters long`, {
      why: `at most ${jinjaLimits.sourceLength} are read`,
      exit: Exit.data,
    });
  }
  let program: ReturnType<typeof parse>;
  try {
    const text = source.replace(/\r\n?/g, "\n");
    program = parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true }));
  } catch (cause) {
    throw refused(cause);
  }
  return (values, date = new Date()) => {
    const environment = new Environment();
    const interpreter = new Metered(environment);
    const globals: Record<string, unknown> = {
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
      raise_exception: (message: string) => {
        throw new Error(message);
      },
      range: (from: number, to?: number, step?: number) => {
        const numbers = range(from, to ?? undefined, step ?? 1);
        interpreter.spend(numbers.length);
        return numbers;
      },
      strftime_now: (format: string) => strftime(date, format),
    };
    try {
      for (const [name, value] of Object.entries({ ...values, ...globals })) {
        if (value !== undefined) environment.set(name, value);
      }
      return String(interpreter.run(program).value);
    } catch (cause) {
      throw refused(cause);
    }
  };
}

function range(from: number, to: number | undefined, step: number): number[] {
  const [start, end] = to === undefined ? [0, from] : [from, to];
  const length = Math.max(0, Math.ceil((end - start) / step));
  if (!(length <= jinjaLimits.range)) throw new TooMuch(`range() of ${length} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}
