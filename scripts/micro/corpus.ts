import { requestText } from "../../src/data/rows.ts";
import { answerProblems, type Arg, type CliSchema } from "../../src/settings/cli_schema.ts";
import { type Dice, dice } from "../../src/teachers/dice.ts";
import { ASIDES, FRAMES } from "../../src/teachers/lexicon.ts";
import { teach } from "../../src/teachers/template.ts";
import * as words from "./words.ts";

/**
 * The text that the micro model is trained on, all of it generated: requests over many invented
 * command lines with their answers, and copying exercises that teach a model to find a value in the
 * prompt and repeat it. Every example depends only on (seed, index).
 */
export interface Example {
  readonly prompt: string;
  readonly answer: string;
}

const REQUESTS_PER_SCHEMA = 6;

/** Answers to these list commands that the request does not name: worth seeing, but less often. */
const GUESSWORK = new Set(["ambiguous_command", "multiple_interpretations", "ambiguous_typo"]);

/** Endless: short texts to repeat, nothing else. A model that starts here learns to copy soonest. */
export function* repeats(seed: number): Generator<Example> {
  for (let i = 0;; i++) {
    const die = dice(seed, "repeat", i);
    const text = Array.from({ length: die.int(1, 7) }, () => word(die)).join(" ");
    yield { prompt: `repeat "${text}"`, answer: `"${text}"` };
  }
}

/** Endless: requests, and exercises in the given proportion. */
export function* corpus(seed: number, exercises = 0.25): Generator<Example> {
  for (let round = 0;; round++) {
    const schema = inventSchema(dice(seed, "schema", round));
    const rows = teach(schema, {
      rows: REQUESTS_PER_SCHEMA,
      seed: dice(seed, "rows", round).int(0, 2 ** 31),
      part: "train",
      heldOut: 0,
      lexicon: { FRAMES, ASIDES, ...words.GENERAL },
    });
    for (const [i, row] of rows.entries()) {
      if (GUESSWORK.has(row.metadata.kind) && !dice(seed, "guess", round, i).chance(0.4)) continue;
      const problems = answerProblems(schema, JSON.parse(row.output));
      if (problems.length > 0) throw new Error(`${row.instruction}: ${problems.join("; ")}`);
      yield { prompt: requestText(row.instruction, row.context), answer: row.output };
      const die = dice(seed, "exercise", round, i);
      if (die.chance(exercises / (1 - exercises))) yield exercise(die);
    }
  }
}

/** A command line of one to three commands whose requests name what the answer must hold. */
export function inventSchema(die: Dice): CliSchema {
  const invented = die.chance(0.25);
  const name = () => invented && die.chance(0.5) ? pseudoWord(die) : die.pick(words.THINGS);
  const context = distinct(2, () => contextField(die));
  const commands = distinct(die.int(1, 3), () => {
    const thing = name();
    const subcommands = distinct(die.int(2, 3), () => {
      const [verb, ways] = action(die, invented);
      const args = inventArgs(die, thing, context.map((field) => field.name));
      const beside = args[0]!.required && args[0]!.name === thing;
      const what = beside
        ? [`the ${thing} {${thing}}`, `${thing} {${thing}}`, `the {${thing}} ${thing}`]
        : [`the ${thing}`, `${thing}`, `a ${thing}`];
      const wanted = die.shuffle(what).slice(0, die.int(1, 3));
      return {
        name: verb,
        description: "",
        aliases: [],
        phrases: ways.flatMap((way) => wanted.map((w) => `${way} ${w}`)),
        args,
        flags: distinct(die.int(0, 2), () => inventFlag(die)),
      };
    });
    return { name: thing, description: "", aliases: [], subcommands };
  });
  return { name: name(), description: "", context, commands };
}

function action(die: Dice, invented: boolean): [string, readonly string[]] {
  if (invented && die.chance(0.6)) {
    const word = die.chance(0.5) ? pseudoWord(die) : die.pick(words.PLAIN);
    return [word, [word]];
  }
  const ways = die.pick(words.ACTIONS);
  const verb = die.chance(0.8) ? ways[0]! : die.pick(ways.filter((way) => !way.includes(" ")));
  return [verb, die.shuffle(ways).slice(0, die.int(1, ways.length))];
}

function contextField(die: Dice): CliSchema["context"][number] {
  const name = die.pick(words.THINGS);
  return { name, description: "", examples: Array.from({ length: 6 }, () => label(die)) };
}

/**
 * The first argument says which thing: under the thing's own name when the value stands beside it, as
 * `name` when the sentence says "called". The others are told by a marker in the sentence. So every
 * key in an answer can be found in its request.
 */
function inventArgs(die: Dice, thing: string, fields: readonly string[]): readonly Arg[] {
  const own = die.chance(0.7)
    ? arg(thing, [`${thing} {}`], labels(die))
    : arg("name", ["called {}", "named {}"], labels(die));
  const pointed = die.chance(0.5) ? { context: die.pick(fields), pointers: pointersTo(thing) } : {};
  const first = { ...own, required: die.chance(0.75), ...pointed };
  return distinct(die.int(1, 3), (i) => i === 0 ? first : inventArg(die, fields));
}

function inventArg(die: Dice, fields: readonly string[]): Arg {
  const one = die.pick(MARKED)(die);
  const required = die.chance(0.3);
  if (one.type !== "string" || !die.chance(0.3)) return { ...one, required };
  return { ...one, required, context: die.pick(fields), pointers: pointersTo(one.name) };
}

const MARKED: readonly ((die: Dice) => Arg)[] = [
  (die) => arg("to", ["to {}", "into {}"], labels(die)),
  (die) => arg("from", ["from {}", "out of {}"], labels(die)),
  (die) => arg("owner", ["for {}", "owned by {}", "on behalf of {}"], some(die, words.NAMES)),
  (die) => arg("tag", ["tagged {}", "with tag {}", "with the {} tag"], labels(die)),
  (die) => arg("date", ["on {}", "due {}", "by {}"], some(die, words.DAYS)),
  (die) => arg("folder", ["in {}", "in the {} folder", "inside {}"], labels(die)),
  (die) => arg("file", ["from file {}", "using file {}"], many(die, fileName)),
  (die) => arg("text", ['saying "{}"', 'with the text "{}"', 'that reads "{}"'], many(die, phrase)),
  (die) => arg("title", ['titled "{}"', 'headed "{}"'], many(die, phrase)),
  (die) => choice("level", ["with {} level", "at {} level"], some(die, words.LEVELS)),
  (die) => choice("color", ["in {}", "painted {}"], some(die, words.COLOURS)),
  (die) => whole(die, "count", ["{} times", "with count {}"]),
  (die) => whole(die, "limit", ["up to {}", "at most {}"]),
  (die) => whole(die, "hours", ["for {} hours", "lasting {} hours"]),
  (die) => whole(die, "price", ["at {} dollars", "costing {} dollars"]),
  (die) => literal(die, (name, markers) => arg(name, markers, labels(die))),
  (die) => literal(die, (name, markers) => arg(name, markers, many(die, phrase))),
  (die) => literal(die, (name, markers) => whole(die, name, markers)),
  (die) => literal(die, (name, markers) => choice(name, markers, some(die, words.PLAIN))),
];

/** An argument that the sentence calls by its name: any word can become a key. */
function literal(die: Dice, make: (name: string, markers: string[]) => Arg): Arg {
  const name = die.chance(0.3) ? pseudoWord(die) : die.pick([...words.THINGS, ...words.PLAIN]);
  const markers = [`with ${name} {}`, `${name} {}`, `the ${name} is {}`, `{} ${name}`];
  return make(name, die.shuffle(markers).slice(0, 2));
}

function arg(name: string, phrases: readonly string[], examples: readonly string[]): Arg {
  const common = { description: "", aliases: [], required: false, values: [], pointers: [] };
  return { ...common, name, type: "string", phrases, examples };
}

function choice(name: string, phrases: readonly string[], values: readonly string[]): Arg {
  return { ...arg(name, phrases, []), type: "enum", values };
}

function whole(die: Dice, name: string, phrases: readonly string[]): Arg {
  const examples = Array.from({ length: 12 }, () => number(die));
  return { ...arg(name, phrases, []), type: "integer", examples };
}

function pointersTo(thing: string): string[] {
  return [`this ${thing}`, `the current ${thing}`];
}

function inventFlag(
  die: Dice,
): CliSchema["commands"][number]["subcommands"][number]["flags"][number] {
  if (die.chance(0.4)) {
    const name = die.chance(0.4) ? pseudoWord(die) : die.pick([...words.PLAIN, ...words.THINGS]);
    const phrases = [`with flag ${name}`, `${name} on`, `--${name}`];
    return { name, description: "", aliases: [], phrases };
  }
  const [name, ...phrases] = die.pick(words.SWITCHES);
  return { name: name!, description: "", aliases: [], phrases };
}

/** A value to be copied: mostly one word, sometimes two or three, a number or a coined word. */
function label(die: Dice): string {
  const roll = die.next();
  if (roll < 0.55) return word(die);
  if (roll < 0.8) return `${word(die)} ${word(die)}`;
  if (roll < 0.85) return `${word(die)} ${word(die)} ${word(die)}`;
  if (roll < 0.9) return `${word(die)}-${word(die)}`;
  if (roll < 0.95) return `${word(die)}${number(die)}`;
  return String(number(die));
}

function word(die: Dice): string {
  if (die.chance(0.15)) return pseudoWord(die);
  return die.pick(die.chance(0.7) ? words.PLAIN : [...words.NAMES, ...words.THINGS]);
}

function phrase(die: Dice): string {
  const glue = [
    "the",
    "a",
    "my",
    "is",
    "and",
    "for",
    "to",
    "in",
    "of",
    "at",
    "very",
    "not",
    "with",
  ];
  return Array.from(
    { length: die.int(2, 5) },
    (_, i) => i % 2 === 1 && die.chance(0.5) ? die.pick(glue) : label(die),
  ).join(" ");
}

function fileName(die: Dice): string {
  const stem = die.chance(0.3)
    ? `${die.pick(words.PLAIN)}/${pseudoWord(die)}`
    : die.pick(words.PLAIN);
  return `${stem}.${die.pick(["txt", "md", "csv", "json", "pdf", "log"])}`;
}

function number(die: Dice): number {
  return die.chance(0.5)
    ? die.int(1, 12)
    : die.chance(0.7)
    ? die.int(10, 99)
    : die.int(100, 999) * 5;
}

/** A word nobody has used, of one to three syllables. */
export function pseudoWord(die: Dice): string {
  const onset = [
    "b",
    "br",
    "c",
    "cl",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
  ]
    .concat(["pl", "qu", "r", "s", "sh", "sk", "sl", "st", "t", "th", "tr", "v", "w", "y", "z"]);
  const vowel = ["a", "a", "e", "e", "i", "i", "o", "o", "u", "ai", "ee", "oo"];
  const coda = ["", "", "", "n", "r", "l", "s", "t", "m", "ck", "nd", "st", "x", "p", "rd", "ng"];
  const syllable = () => die.pick(onset) + die.pick(vowel) + die.pick(coda);
  const coined = Array.from({ length: die.pick([1, 1, 2, 2, 2, 2, 3]) }, syllable).join("");
  return words.RESERVED.includes(coined) ? pseudoWord(die) : coined;
}

/** Copying in its pure forms: repeat, look up by key, what follows, words into JSON. */
function exercise(die: Dice): Example {
  const items = distinct(die.int(2, 4), () => ({ name: label(die) })).map((item) => item.name);
  const keys = distinct(items.length, () => ({ name: die.pick(words.THINGS) })).map((key) =>
    key.name
  );
  const at = die.int(0, items.length - 1);
  const pairs = Object.fromEntries(items.map((item, i) => [keys[i]!, item]));
  switch (die.int(0, 4)) {
    case 0:
      return { prompt: `repeat "${items.join(" ")}"`, answer: `"${items.join(" ")}"` };
    case 1:
      return { prompt: `${keys[at]} of\n${JSON.stringify(pairs)}`, answer: `"${items[at]}"` };
    case 2: {
      const told = items.map((item, i) => `${keys[i]} ${item}`).join(", ");
      return { prompt: `${told}\n${keys[at]}`, answer: `"${items[at]}"` };
    }
    case 3: {
      const told = items.map((item, i) => `${keys[i]} is ${item}`).join(", ");
      return { prompt: told, answer: JSON.stringify(pairs) };
    }
    default:
      return { prompt: `list ${items.join(", ")}`, answer: JSON.stringify(items) };
  }
}

const labels = (die: Dice) => many(die, label);
const many = (die: Dice, make: (die: Dice) => string) => Array.from({ length: 8 }, () => make(die));
const some = (die: Dice, list: readonly string[]) => die.shuffle(list).slice(0, die.int(3, 6));

/** `count` things of different names. */
function distinct<T extends { readonly name: string }>(count: number, make: (i: number) => T): T[] {
  const out: T[] = [];
  for (let tries = 0; out.length < count && tries < 50; tries++) {
    const one = make(out.length);
    if (!out.some((other) => other.name === one.name)) out.push(one);
  }
  return out;
}
