import { editDistance } from "../base/text.ts";
import type { Arg, CliSchema, Command, Subcommand } from "../settings/cli_schema.ts";
import { type Dice, dice, hashText } from "./dice.ts";
import * as lexicon from "./lexicon.ts";
import {
  clausesOf,
  type Draft,
  expand,
  phrasesOf,
  placeOf,
  pointerClausesOf,
  pointersOf,
  samplesFor,
  slip,
  slots,
  splices,
  thingsOf,
  valuesOf,
} from "./phrasing.ts";

/**
 * Writes training rows for any CLI schema from templates: phrasings × values × context. No model and
 * no network. Rows depend only on (schema, options, index).
 *
 * A phrasing is a request with its values blanked out. Each phrasing belongs by hash either to the
 * training part or to the held-out part, so no held-out phrasing occurs in training; some values of
 * string arguments are kept for the held-out part too.
 */

export type RowKind =
  | "plain"
  | "pointer"
  | "missing_context"
  | "ambiguous_command"
  | "missing_argument"
  | "unclear_intent"
  | "off_topic"
  | "multiple_interpretations"
  | "ambiguous_typo";

export interface TaughtRow {
  readonly instruction: string;
  readonly context: Context | null;
  /** The answer: compact JSON with keys in a fixed order. */
  readonly output: string;
  readonly metadata: {
    readonly kind: RowKind;
    /** The request with `{arg}` where a value stands, before any typing slip. */
    readonly phrasing: string;
    readonly part: Part;
  };
}

export type Part = "train" | "held_out";
export type Context = { readonly [key: string]: string | number | boolean | Context };

export interface TeacherOptions {
  readonly rows: number;
  readonly seed: number;
  readonly part: Part;
  /** Share of all phrasings that belong to the held-out part. */
  readonly heldOut?: number;
  /** Share of requests with one slip of the keyboard. */
  readonly slips?: number;
  readonly lexicon?: Lexicon;
}

/** The program-independent wording. */
export type Lexicon = Pick<
  typeof lexicon,
  "FRAMES" | "ASIDES" | "NO_ACTION" | "NO_INTENT" | "OFF_TOPIC" | "SOMETHING"
>;

/** Confidences, by what the router does with them: execute, confirm, suggest, ask. */
const SURE = 0.9;
const INFERRED = 0.8;
const UNSURE = 0.6;
const LOST = 0.3;

/** Of ten requests six bring context, two bring none, two cannot be carried out as they stand. */
const MIX = ["context", "none", "context", "negative", "context"] as const;

/** Requests that stay clear with a slip of the keyboard in them. */
const SLIPPERY: ReadonlySet<RowKind> = new Set(["plain", "pointer", "off_topic"]);

const NEGATIVES: readonly RowKind[] = [
  "ambiguous_command",
  "missing_argument",
  "unclear_intent",
  "off_topic",
  "multiple_interpretations",
  "ambiguous_typo",
];

/** Rows of one part. A part whose phrasings are all taken by the other gives a RangeError. */
export function teach(schema: CliSchema, options: TeacherOptions): TaughtRow[] {
  const row = rowsOf(schema, options);
  return Array.from({ length: options.rows }, (_, i) => row(i));
}

/** The same, one row at a time by its index. @throws RangeError where a part has no phrasings left */
export function rowsOf(
  schema: CliSchema,
  options: Omit<TeacherOptions, "rows">,
): (index: number) => TaughtRow {
  const teacher = new Teacher(schema, options);
  return (index) => teacher.row(index);
}

/** Which part a phrasing belongs to. */
export function partOf(phrasing: string, heldOut: number): Part {
  return hashText(phrasing) / 2 ** 32 < heldOut ? "held_out" : "train";
}

interface Candidate {
  readonly kind: RowKind;
  readonly draft: Draft;
  readonly context: Context | null;
  readonly output: unknown;
}

interface Place {
  readonly command: Command;
  readonly subcommand: Subcommand;
  readonly phrases: readonly string[];
}

class Teacher {
  readonly places: readonly Place[];
  readonly values = new Map<Arg, readonly (string | number | boolean)[]>();
  readonly words: Lexicon;
  readonly heldOut: number;
  private found: { word: string; two: [Place, Place] }[] | undefined;

  constructor(readonly schema: CliSchema, readonly options: Omit<TeacherOptions, "rows">) {
    this.heldOut = options.heldOut ?? 0.15;
    this.words = options.lexicon ?? lexicon;
    this.places = schema.commands.flatMap((command) =>
      command.subcommands.map((subcommand) => ({
        command,
        subcommand,
        phrases: phrasesOf(command, subcommand),
      }))
    );
  }

  row(index: number): TaughtRow {
    const { part, seed, slips = 0.05 } = this.options;
    for (let attempt = 0; attempt < 2000; attempt++) {
      const die = dice(seed, part, index, attempt);
      const made = this.candidate(index, attempt, die);
      if (!made || partOf(made.draft.phrasing, this.heldOut) !== part) continue;
      const { kind, draft, context, output } = made;
      return {
        instruction: SLIPPERY.has(kind) && die.chance(slips) ? slip(draft, die) : draft.text,
        context,
        output: JSON.stringify(output),
        metadata: { kind, phrasing: draft.phrasing, part },
      };
    }
    throw new RangeError(`no ${part} phrasing found for row ${index} of ${this.schema.name}`);
  }

  private candidate(index: number, attempt: number, die: Dice): Candidate | undefined {
    const turn = MIX[index % MIX.length]!;
    if (turn !== "negative") return this.positive(die, turn === "context");
    // A case that this schema cannot show (no shared argument, no similar names) passes its turn on.
    const nth = Math.floor(index / MIX.length) + Math.floor(attempt / 20);
    return this.negative(NEGATIVES[nth % NEGATIVES.length]!, die);
  }

  private positive(die: Dice, withContext: boolean): Candidate | undefined {
    const place = die.pick(this.places);
    const { command, subcommand } = place;
    const pointable = subcommand.args.filter((arg) => arg.context !== undefined);
    const pointed = withContext && pointable.length > 0 && die.chance(0.4)
      ? die.pick(pointable)
      : undefined;
    const context = withContext ? this.context(die, pointed?.context) : null;
    const told = new Map<Arg, string | number | boolean>();
    for (const arg of subcommand.args) {
      if (arg === pointed) told.set(arg, as(arg, read(context!, arg.context!)));
      else if (arg.required || die.chance(0.4)) told.set(arg, this.value(arg, die));
    }
    const flags = subcommand.flags.filter(() => die.chance(0.25));
    const draft = this.request(place, told, flags, die, { pointed });
    if (!draft) return undefined;
    return {
      kind: pointed ? "pointer" : "plain",
      draft,
      context,
      output: {
        type: "command",
        command: command.name,
        subcommand: subcommand.name,
        args: Object.fromEntries([...told].map(([arg, value]) => [arg.name, value])),
        flags: flags.map((flag) => flag.name),
        confidence: pointed ? INFERRED : SURE,
      },
    };
  }

  private negative(kind: RowKind, die: Dice): Candidate | undefined {
    // A distracting context does not make an unclear request clear.
    const context = die.chance(0.3) ? this.context(die) : null;
    const framed = (template: string, filled: (text: string, named: boolean) => string) => {
      const one = die.pick(expand(template));
      const draft = { text: filled(one, false), phrasing: filled(one, true) };
      return frame(draft, die.pick(this.words.ASIDES));
    };
    switch (kind) {
      case "missing_argument":
        return die.chance(0.5) ? this.missingContext(die) : this.missingArgument(die);
      case "unclear_intent": {
        const draft = framed(
          die.pick(this.words.NO_INTENT),
          (t) => t.replace("{}", this.schema.name),
        );
        return { kind, draft, context, output: clarify("What would you like to do?", [], LOST) };
      }
      case "off_topic": {
        const draft = framed(die.pick(this.words.OFF_TOPIC), (t) => t);
        const message = `I can only help with ${this.schema.name}.`;
        return { kind, draft, context, output: clarify(message, [], LOST) };
      }
      case "ambiguous_command": {
        const names = this.places.flatMap((p) => p.subcommand.args.map((arg) => arg.name));
        const shared = [...new Set(names.filter((name, i) => names.indexOf(name) < i))];
        if (shared.length === 0) return undefined;
        const name = die.pick(shared);
        const places = this.places.filter((p) =>
          p.subcommand.args.some((arg) => arg.name === name)
        );
        const arg = places[0]!.subcommand.args.find((one) => one.name === name)!;
        const value = this.value(arg, die);
        const thing = die.pick(thingsOf(arg));
        const draft = framed(
          die.pick(this.words.NO_ACTION),
          (t, named) => t.replace("{}", thing).replace("{}", named ? `{${name}}` : String(value)),
        );
        const output = clarify(`What should I do with the ${name}?`, places.slice(0, 2), UNSURE);
        return { kind, draft, context, output };
      }
      case "multiple_interpretations": {
        if (this.places.length < 2) return undefined;
        const two = die.shuffle(this.places).slice(0, 2) as [Place, Place];
        const [a, b] = two.map((p) => p.subcommand.name);
        const draft = framed(
          die.pick([
            "(|either |maybe ){a} or {b}",
            "{a} or {b} (it|this|everything)",
          ]),
          (t) => t.replace("{a}", a!).replace("{b}", b!),
        );
        return { kind, draft, context, output: clarify(`Do you mean ${a} or ${b}?`, two, UNSURE) };
      }
      case "ambiguous_typo": {
        const blends = this.blends();
        if (blends.length === 0) return undefined;
        const { word, two } = die.pick(blends);
        const [a, b] = two.map((p) => p.subcommand.name);
        const draft = framed("{} (|it|this|all of it)", (t) => t.replace("{}", word).trim());
        return { kind, draft, context, output: clarify(`Do you mean ${a} or ${b}?`, two, UNSURE) };
      }
      default:
        return undefined;
    }
  }

  /** A required value is left out of an otherwise good request. */
  private missingArgument(die: Dice): Candidate | undefined {
    const place = die.pick(this.places);
    const { args } = place.subcommand;
    const required = args.filter((arg) => arg.required);
    if (required.length === 0) return undefined;
    const missing = die.pick(required);
    const told = new Map<Arg, string | number | boolean>();
    for (const arg of args) {
      if (arg !== missing && (arg.required || die.chance(0.2))) told.set(arg, this.value(arg, die));
    }
    const draft = this.request(place, told, [], die, { missing });
    const output = clarify(`Which ${missing.name}?`, [place], UNSURE);
    return draft && { kind: "missing_argument", draft, context: null, output };
  }

  /** The request points at something ("this one") and no context says what it is. */
  private missingContext(die: Dice): Candidate | undefined {
    const place = die.pick(this.places);
    const { args } = place.subcommand;
    const pointable = args.filter((arg) => arg.required && arg.context !== undefined);
    if (pointable.length === 0) return undefined;
    const pointed = die.pick(pointable);
    const told = new Map<Arg, string | number | boolean>([[pointed, ""]]);
    for (const arg of args) {
      if (arg !== pointed && arg.required) told.set(arg, this.value(arg, die));
    }
    const draft = this.request(place, told, [], die, { pointed });
    const output = clarify(`Which ${pointed.name}?`, [place], UNSURE);
    return draft && { kind: "missing_context", draft, context: null, output };
  }

  /** One sentence: a way to ask, the values it has no place for, the flags, a polite frame. */
  private request(
    place: Place,
    told: ReadonlyMap<Arg, string | number | boolean>,
    flags: Subcommand["flags"],
    die: Dice,
    special: { readonly pointed?: Arg; readonly missing?: Arg },
  ): Draft | undefined {
    const { pointed, missing } = special;
    const byName = new Map(place.subcommand.args.map((arg) => [arg.name, arg]));
    const fits = (phrase: string) =>
      slots(phrase).every((name) => told.has(byName.get(name)!) || missing?.name === name);
    const usable = place.phrases.filter(fits);
    if (usable.length === 0) return undefined;
    const phrase = die.pick(usable);
    const placed = new Set(slots(phrase));
    const clauses = [...told.keys()].filter((arg) => !placed.has(arg.name)).map((arg) =>
      arg === pointed
        ? die.pick(pointerClausesOf(arg))
        : die.pick(clausesOf(arg)).replace("{}", `{${arg.name}}`)
    );
    const asides = flags.map((flag) =>
      die.pick((flag.phrases.length > 0 ? flag.phrases : [`with ${flag.name}`]).flatMap(expand))
    );
    let phrasing = [phrase, ...die.shuffle([...clauses, ...asides])].join(" ");
    if (pointed) phrasing = phrasing.replace(placeOf(pointed), die.pick(pointersOf(pointed)));
    if (missing) phrasing = phrasing.replace(`{${missing.name}}`, die.pick(this.words.SOMETHING));
    const text = phrasing.replace(
      /\{([^{}]+)\}/g,
      (whole, name: string) => String(told.get(byName.get(name)!) ?? whole),
    );
    return frame({ text, phrasing }, die.pick(this.words.FRAMES));
  }

  /** All fields, or some of them, with the wanted one always among them. */
  private context(die: Dice, wanted?: string): Context | null {
    const fields = this.schema.context.filter((field) => field.name === wanted || die.chance(0.6));
    if (fields.length === 0) return null;
    const context: Record<string, Context[string]> = {};
    for (const field of fields) {
      const samples = field.examples.length > 0 ? field.examples : samplesFor(field.name);
      const value = die.pick(
        this.allowed(
          samples.flatMap((one): (string | number | boolean)[] =>
            typeof one === "string" ? expand(one) : [one]
          ),
        ),
      );
      const path = field.name.split(".");
      let at = context;
      for (const key of path.slice(0, -1)) {
        at = (at[key] ??= {}) as Record<string, Context[string]>;
      }
      at[path.at(-1)!] = value;
    }
    return context;
  }

  private value(arg: Arg, die: Dice): string | number | boolean {
    let values = this.values.get(arg);
    if (!values) this.values.set(arg, values = this.allowed(valuesOf(arg)));
    return die.pick(values);
  }

  /** In the training part, long lists of texts lose the values that only the held-out part may use. */
  private allowed<T extends string | number | boolean>(values: readonly T[]): readonly T[] {
    if (this.options.part === "held_out" || values.length < 10) return values;
    const kept = values.filter((v) =>
      typeof v !== "string" || partOf(`value ${v}`, this.heldOut) === "train"
    );
    return kept.length > 0 ? kept : values;
  }

  /** Misspellings that are as near to one subcommand's name as to another's. */
  private blends(): { word: string; two: [Place, Place] }[] {
    return this.found ??= this.findBlends();
  }

  private findBlends(): { word: string; two: [Place, Place] }[] {
    const names = this.places.map((p) => p.subcommand.name);
    const found: { word: string; two: [Place, Place] }[] = [];
    for (const [i, a] of this.places.entries()) {
      for (const b of this.places.slice(i + 1)) {
        const [x, y] = [a.subcommand.name, b.subcommand.name];
        for (const word of splices(x, y)) {
          if (names.includes(word)) continue;
          const distance = editDistance(word, x);
          const next = Math.min(
            ...names.filter((n) => n !== x && n !== y).map((n) => editDistance(word, n)),
          );
          if (distance <= 2 && distance === editDistance(word, y) && next > distance) {
            found.push({ word, two: [a, b] });
          }
        }
      }
    }
    return found;
  }
}

function frame(draft: Draft, { open, close }: Lexicon["FRAMES"][number]): Draft {
  return { text: open + draft.text + close, phrasing: open + draft.phrasing + close };
}

function clarify(message: string, places: readonly Place[], confidence: number): unknown {
  return {
    type: "clarification",
    message,
    suggestions: places.map(({ command, subcommand }) => ({
      label: `${command.name} ${subcommand.name}`,
      command: command.name,
      subcommand: subcommand.name,
    })),
    confidence,
  };
}

function read(context: Context, path: string): string | number | boolean {
  let at: Context[string] = context;
  for (const key of path.split(".")) at = (at as Context)[key]!;
  return at as string | number | boolean;
}

/** What the context holds, in the type of the argument that it fills. */
function as(arg: Arg, value: string | number | boolean): string | number | boolean {
  if (arg.type === "integer" || arg.type === "number") return Number(value);
  return arg.type === "boolean" ? value === true || value === "true" : String(value);
}
