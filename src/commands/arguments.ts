import { Command, CommanderError, Option } from "commander";
import { Exit, Fail } from "../base/fail.ts";
import { excerpt, suggest } from "../base/text.ts";
import type { Field } from "../settings/field.ts";
import type { Given } from "../settings/load.ts";

/** What was typed after the command's name. */
export interface Typed {
  readonly given: readonly Given[];
  /** -h asks for the short help, --help for all of it. */
  readonly help: "short" | "long" | undefined;
}

const usage = (what: string, why: string, fix: string, code: string) =>
  new Fail(what, { why, fix, code, exit: Exit.usage });

/** All spellings of a setting's flag, without dashes; its own name first. */
function spellings(field: Field): string[] {
  return [field.flag.slice(2), ...(field.info.aliases ?? [])];
}

/**
 * Reads flags and positional arguments by the fields of a command.
 * @param name as typed: "whet train sft", for messages
 * @param words whether name=value means --name=value, as task runners write it
 * @throws Fail (usage) for an unknown flag (with the nearest one), a missing value, an extra argument
 */
export function parseArguments(
  name: string,
  fields: readonly Field[],
  argv: readonly string[],
  words = false,
): Typed {
  const program = new Command(name)
    .helpOption(false)
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
    .argument("[arguments...]")
    .action(() => {});
  const given: Given[] = [];
  let help: Typed["help"];
  const listen = (flags: string, heard: (value: string | null | undefined) => void) => {
    const option = new Option(flags);
    program.addOption(option);
    program.on(`option:${option.name()}`, heard);
  };
  listen("-h", () => (help ??= "short"));
  listen("--help", () => (help = "long"));
  for (const field of fields) {
    for (const [i, spelled] of spellings(field).entries()) {
      const short = i === 0 && field.info.short ? `-${field.info.short}, ` : "";
      const say = (value: unknown) => given.push({ key: field.key, value, from: `--${spelled}` });
      if (field.kind === "boolean") {
        listen(`${short}--${spelled}`, () => say(true));
        listen(`--no-${spelled}`, () => say(false));
      } else if (field.info.bare === undefined) listen(`${short}--${spelled} <value>`, say);
      else listen(`${short}--${spelled} [value]`, (value) => say(value ?? field.info.bare));
    }
  }
  const known = fields.flatMap(spellings);
  try {
    const typed = words ? asFlags(fields, argv) : argv;
    program.parse(normalise(fields, typed), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw translate(error, name, known);
  }
  const places = fields.filter((f) => f.info.positional !== undefined)
    .sort((a, b) => a.info.positional! - b.info.positional!);
  // A list in the last place takes all that is left.
  const rest = places.at(-1)?.kind === "list" ? places.pop() : undefined;
  for (const [i, value] of program.args.slice(0, rest && places.length).entries()) {
    const field = places[i];
    if (!field) {
      throw usage(
        `unexpected argument "${excerpt(value, 60)}"`,
        places.length > 0
          ? `${name} takes ${places.map((f) => f.info.value ?? f.key).join(" ")}`
          : `${name} takes flags only`,
        `${name} --help lists them`,
        "WH0210",
      );
    }
    given.push({ key: field.key, value, from: field.info.value ?? field.key });
  }
  const left = rest ? program.args.slice(places.length) : [];
  if (left.length > 0) {
    given.push({ key: rest!.key, value: left, from: rest!.info.value ?? rest!.key });
  }
  return { given: joined(fields, given), help };
}

/**
 * Flags as other tools spell them: --learning_rate, --packing=false, --use_rslora True; and what follows
 * in a list of KEY=VALUE, --grid lr=1,2 rank=8,16, as flags of their own.
 */
function normalise(fields: readonly Field[], argv: readonly string[]): string[] {
  const switches = new Set(
    fields.filter((f) => f.kind === "boolean").flatMap(spellings).map((name) => `--${name}`),
  );
  const many = new Set(fields.filter((f) => f.info.many).flatMap(spellings).map((n) => `--${n}`));
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === "--") return [...words, ...argv.slice(i)];
    if (!word.startsWith("--")) {
      words.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const flag = (equals < 0 ? word : word.slice(0, equals)).replaceAll("_", "-");
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    if (many.has(flag)) {
      if (value !== undefined) words.push(`${flag}=${value}`);
      else if (argv[i + 1] === undefined) words.push(flag);
      else words.push(`${flag}=${argv[++i]!}`);
      while (/^\w[\w.]*=/.test(argv[i + 1] ?? "")) words.push(`${flag}=${argv[++i]!}`);
    } else if (switches.has(flag)) {
      if (value === undefined && /^(true|false)$/i.test(argv[i + 1] ?? "")) value = argv[++i];
      if (value === undefined || /^(true|1|yes|on)$/i.test(value)) words.push(flag);
      else if (/^(false|0|no|off)$/i.test(value)) words.push(`--no-${flag.slice(2)}`);
      else words.push(`${flag}=${value}`);
    } else words.push(value === undefined ? flag : `${flag}=${value}`);
  }
  return words;
}

/** name=value as --name=value, where it is not the value of the flag before it. */
function asFlags(fields: readonly Field[], argv: readonly string[]): string[] {
  const taking = new Set(
    fields.filter((f) => f.kind !== "boolean" && f.info.bare === undefined).flatMap((f) => [
      ...spellings(f).map((name) => `--${name}`),
      ...(f.info.short ? [`-${f.info.short}`] : []),
    ]),
  );
  return argv.map((word, i) =>
    /^[A-Za-z]\w*=/.test(word) && !taking.has(argv[i - 1] ?? "") ? `--${word}` : word
  );
}

/** Lists that were given in several flags become one list. */
function joined(fields: readonly Field[], given: readonly Given[]): Given[] {
  const lists = new Set(fields.filter((f) => f.kind === "list").map((f) => f.key));
  const whole = new Set(fields.filter((f) => f.info.many).map((f) => f.key));
  const out: Given[] = [];
  for (const one of given) {
    const before = out.findIndex((g) => g.key === one.key);
    if (!lists.has(one.key) || typeof one.value !== "string") out.push(one);
    else if (before < 0) out.push({ ...one, value: whole.has(one.key) ? [one.value] : one.value });
    else out[before] = { ...one, value: [out[before]!.value, one.value].flat() };
  }
  return out;
}

function translate(error: CommanderError, name: string, known: readonly string[]): Fail {
  const flag = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  if (error.code === "commander.unknownOption") {
    const typed = flag.replace(/=.*/s, "");
    const near = typed.startsWith("--") ? suggest(typed.slice(2), known) : undefined;
    return usage(
      `unknown flag ${typed}`,
      near ? `did you mean --${near}?` : `${name} has no such flag`,
      near ? `write --${near}` : `${name} --help lists every flag`,
      "WH0211",
    );
  }
  if (error.code === "commander.optionMissingArgument") {
    const long = flag.split(/[ ,]+/).find((part) => part.startsWith("--")) ?? flag;
    return usage(
      `${long} needs a value`,
      "nothing follows it",
      `write ${long} and the value; ${name} --help says which`,
      "WH0212",
    );
  }
  return usage(
    error.message.replace(/^error: /, ""),
    "the arguments could not be read",
    `${name} --help`,
    "WH0200",
  );
}
