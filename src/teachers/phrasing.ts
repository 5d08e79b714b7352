/** Finding words: how a schema's commands, arguments and flags turn up in a request. */
import type { Arg, Command, Subcommand } from "../settings/cli_schema.ts";
import type { Dice } from "./dice.ts";
import * as lexicon from "./lexicon.ts";

const PREPOSITION = /^(in|at|on|with|for|to|into|from|using|under|by|of|as|about|and) /;

/** A request under construction: the same words with values and with their names. */
export interface Draft {
  readonly text: string;
  readonly phrasing: string;
}

/**
 * Every reading of a template with alternatives in parentheses: "(a|b) c" gives "a c" and "b c".
 * Parentheses without a bar are text.
 */
export function expand(template: string): string[] {
  const choice = /\(([^()]*\|[^()]*)\)/.exec(template);
  if (!choice) return [template];
  const before = template.slice(0, choice.index);
  const after = expand(template.slice(choice.index + choice[0].length));
  return choice[1]!.split("|").flatMap((one) => after.map((rest) => before + one + rest));
}

/** Ways to ask for a subcommand: the schema's own, or made from names, aliases and synonyms. */
export function phrasesOf(command: Command, subcommand: Subcommand): readonly string[] {
  if (subcommand.phrases.length > 0) return subcommand.phrases.flatMap(expand);
  const named = [subcommand.name, ...subcommand.aliases];
  const verbs = new Set(
    named.flatMap((name) => lexicon.SYNONYMS[name] ?? [name.replaceAll("-", " ")]),
  );
  const things = [command.name, ...command.aliases];
  const first = subcommand.args.find((arg) => arg.required);
  const value = first ? ` {${first.name}}` : "";
  return [...verbs].flatMap((verb) =>
    things.flatMap((thing) => [
      `${verb} ${thing}${value}`,
      `${verb} the ${thing}${value}`,
      ...(value ? [`${verb} the${value} ${thing}`] : []),
    ])
  );
}

/** Clauses that give an argument's value, which stands at `{}`. */
export function clausesOf(arg: Arg): readonly string[] {
  if (arg.phrases.length > 0) return arg.phrases.flatMap(expand);
  return [`with ${arg.name} {}`, `${arg.name} {}`, `and ${arg.name} {}`];
}

/** The same without the preposition: "in the {} bed" names the thing as "the {} bed". */
export function thingsOf(arg: Arg): readonly string[] {
  return clausesOf(arg).map((clause) => clause.replace(PREPOSITION, ""));
}

/** What a request says instead of a value that its context holds. */
export function pointersOf(arg: Arg): readonly string[] {
  if (arg.pointers.length > 0) return arg.pointers.flatMap(expand);
  return [`this ${arg.name}`, `the current ${arg.name}`];
}

/** Clauses with a named slot, in which a pointer then takes the value's place. */
export function pointerClausesOf(arg: Arg): readonly string[] {
  return clausesOf(arg).map((clause) => clause.replace("{}", `{${arg.name}}`));
}

/**
 * The value's place together with words that a pointer replaces: "the {bed} bed" is "this bed", and with
 * the alias "pull request" so is "pull request #{number}".
 */
export function placeOf(arg: Arg): RegExp {
  const name = escape(arg.name);
  const words = [arg.name, ...arg.aliases].map(escape).join("|");
  return new RegExp(`(the )?((?:${words}) )?#?"?\\{${name}\\}"?( ${name}\\b)?`);
}

/** Values to draw from: the schema's examples, or what suits the argument's type and name. */
export function valuesOf(arg: Arg): readonly (string | number | boolean)[] {
  if (arg.type === "enum") return arg.values;
  if (arg.type === "boolean") return [true, false];
  if (arg.examples.length > 0) {
    const texts = arg.examples.flatMap((e): (string | number)[] =>
      typeof e === "number" ? [e] : expand(e)
    );
    return arg.type === "string" ? texts.map(String) : texts.map(Number);
  }
  if (arg.type === "integer") return Array.from({ length: 30 }, (_, i) => i + 1);
  if (arg.type === "number") return Array.from({ length: 30 }, (_, i) => (i + 1) / 2);
  return samplesFor(arg.name);
}

export function samplesFor(name: string): readonly string[] {
  return lexicon.SAMPLES.find(({ about }) => about.test(name.toLowerCase()))!.values.flatMap(
    expand,
  );
}

/** Names of the slots of a phrase, in order. */
export function slots(phrase: string): string[] {
  return [...phrase.matchAll(/\{([^{}]+)\}/g)].map((match) => match[1]!);
}

/** A slip in a word of the template, never in a value: two neighbours swapped, or a letter lost. */
export function slip(draft: Draft, die: Dice): string {
  const blanked = draft.phrasing.replace(/\{[^{}]+\}/g, (slot) => "\0".repeat(slot.length));
  const fixed = [...blanked.matchAll(/[a-z]{5,}/g)].map((match) => match[0]);
  const words = fixed.filter((word) => draft.text.split(word).length === 2);
  if (words.length === 0) return draft.text;
  const word = die.pick(words);
  const at = die.int(1, word.length - 3);
  const slipped = die.chance(0.5)
    ? word.slice(0, at) + word[at + 1] + word[at] + word.slice(at + 2)
    : word.slice(0, at) + word.slice(at + 1);
  return draft.text.replace(word, slipped);
}

/** Every beginning of one word with every ending of the other. */
export function splices(a: string, b: string): Set<string> {
  const out = new Set<string>();
  for (const [x, y] of [[a, b], [b, a]] as const) {
    for (let i = 1; i < x.length; i++) {
      for (let j = 1; j < y.length; j++) out.add(x.slice(0, i) + y.slice(j));
    }
  }
  return out;
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
