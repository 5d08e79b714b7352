import { wrap } from "../base/text.ts";
import type { Field } from "../settings/field.ts";
import { words } from "../settings/load.ts";
import type { AnyCommand, Entry } from "./command.ts";

type Bold = (text: string) => string;

/** `whet --help`: what it is, the two lines to start with, every command. */
export function topHelp(table: readonly Entry[], version: string, bold: Bold): string {
  const width = Math.max(...table.map((entry) => entry.name.length)) + 2;
  const groups = [...new Set(table.map((entry) => entry.group))];
  return [
    `whet ${version}: fine-tunes language models on your own GPU`,
    "",
    bold("Start here"),
    "  whet demo                                        train, measure and export a tiny model",
    "  whet doctor                                      see what this machine can do",
    "  whet train sft -m ./model -d rows.jsonl -o ./run   teach a model from your own rows",
    ...groups.flatMap((group) => [
      "",
      bold(group),
      ...table.filter((entry) => entry.group === group)
        .map((entry) => `  ${entry.name.padEnd(width)}${entry.about}`),
    ]),
    "",
    "whet COMMAND --help shows examples and every flag; -h the main ones; whet --version the version.",
  ].join("\n");
}

/** The help of one command: examples first, then flags by group; the short one without the details. */
export function commandHelp(
  entry: Entry,
  command: AnyCommand,
  fields: readonly Field[],
  common: readonly Field[],
  long: boolean,
  bold: Bold,
): string {
  const places = fields.filter((f) => f.info.positional !== undefined)
    .sort((a, b) => a.info.positional! - b.info.positional!)
    .map((f) => {
      const shown = (f.info.value ?? f.key) + (f.kind === "list" ? "..." : "");
      return f.required ? shown : `[${shown}]`;
    });
  const lines = [entry.about, ""];
  if (command.examples.length > 0) {
    lines.push(bold("Examples"), ...command.examples.map((line) => `  ${line}`), "");
  }
  if (long && command.details) {
    lines.push(...command.details.split("\n").flatMap((line) => line ? wrap(line, 96) : [""]), "");
  }
  lines.push(bold("Usage"), `  whet ${[entry.name, ...places, "[flags]"].join(" ")}`);
  const flagged = fields.filter((f) => f.info.positional === undefined);
  const groups = [...new Set(flagged.map((f) => f.info.group ?? "Flags"))];
  const sections: [string, readonly Field[]][] = (long ? groups : groups.slice(0, 1))
    .map((group) => [group, flagged.filter((f) => (f.info.group ?? "Flags") === group)]);
  if (long) sections.push(["Everywhere", common]);
  const left = Math.max(...sections.flatMap(([, members]) => members.map((f) => flagOf(f).length)));
  for (const [group, members] of sections) {
    lines.push("", bold(group), ...members.flatMap((f) => row(f, left + 2, long)));
  }
  if (!long) lines.push("", `All flags: whet ${entry.name} --help`);
  return lines.join("\n");
}

/** Columns of help on any terminal, so that it reads the same in a manual. */
const WIDTH = 100;

/** "  -m, --model DIR". */
function flagOf(field: Field): string {
  const { info } = field;
  const flag = onByDefault(field) ? `--no-${field.flag.slice(2)}` : field.flag;
  const value = field.kind === "boolean"
    ? ""
    : info.bare
    ? ` [${placeholder(field)}]`
    : ` ${placeholder(field)}`;
  return `  ${info.short ? `-${info.short}, ` : "    "}${flag}${value}`;
}

const onByDefault = (field: Field) => field.kind === "boolean" && field.default === true;

function row(field: Field, left: number, long: boolean): string[] {
  const { info } = field;
  const aliases = long && info.aliases
    ? `; also ${info.aliases.map((a) => `--${a}`).join(", ")}`
    : "";
  const help = (onByDefault(field) ? info.off ?? `not: ${info.help}` : info.help) +
    otherwise(field);
  const [first = "", ...rest] = wrap(help + aliases, WIDTH - left);
  return [flagOf(field).padEnd(left) + first, ...rest.map((line) => " ".repeat(left) + line)];
}

function placeholder(field: Field): string {
  return field.info.value ?? (field.choices.length > 0 ? field.choices.join("|") : "VALUE");
}

/** " (default 16)", " (required)". */
function otherwise(field: Field): string {
  if (field.required) return " (required)";
  if (field.info.otherwise) return ` (default: ${field.info.otherwise})`;
  const { default: value } = field;
  if (value === undefined || field.kind === "boolean") return "";
  const text = words(value);
  return text === "" ? "" : ` (default ${text})`;
}
