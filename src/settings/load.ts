import { LineCounter, parseDocument, YAMLMap } from "yaml";
import { z } from "zod";
import { Exit, Fail } from "../base/fail.ts";
import { excerpt, suggest, thousands } from "../base/text.ts";
import { type Field, fieldsOf, fromText, type SettingsSchema, wanted } from "./field.ts";

/** One value for one setting, and where a person wrote it. */
export interface Given {
  readonly key: string;
  readonly value: unknown;
  /** "--lr", "WHET_LR", "whet.yaml:6:3". */
  readonly from: string;
}

/** The values of one place: command line, environment, config file. */
export type Layer = readonly Given[];

/** Settings ready to use, and for each the place it came from ("default" where nobody gave it). */
export interface Resolved<T> {
  readonly settings: T;
  readonly origins: Readonly<Record<string, string>>;
}

const usage = (what: string, why?: string, fix?: string, code = "WH0200") =>
  new Fail(what, { why, fix, code, exit: Exit.usage });

/**
 * Reads the keys of one YAML or JSON config. Top-level keys serve every command that has such a setting;
 * a section named like a command ("train") serves that command and wins over the top level.
 *
 * @param sections the known settings: "" for those of every command, else by section name
 * @param section the section of the command to be run
 * @returns the values for that command, least specific first
 * @throws Fail (usage) with file:line:column for bad syntax, a duplicate key or an unknown key
 */
export function readConfig(
  name: string,
  text: string,
  sections: Readonly<Record<string, readonly Field[]>>,
  section: string,
): Given[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const broken = document.errors[0];
  if (broken) {
    throw usage(
      `${at(broken.pos[0])}: not valid YAML`,
      broken.message.replace(/\s+/g, " "),
      `correct that line; ${EXAMPLE}`,
      "WH0202",
    );
  }
  if (document.contents === null) return [];
  if (!(document.contents instanceof YAMLMap)) {
    throw usage(
      `${name}: expected settings as "key: value" lines`,
      `the file holds ${excerpt(text, 40)}`,
      EXAMPLE,
      "WH0202",
    );
  }
  const everywhere = new Map(Object.values(sections).flat().map((f) => [f.key, f]));
  const general: Given[] = [];
  const specific: Given[] = [];
  for (const [key, value, offset] of entries(document.contents)) {
    if (key === "$schema") continue;
    if (value instanceof YAMLMap) {
      const known = key === "" ? undefined : sections[key];
      if (!known) {
        throw unknownKey(key, at(offset), Object.keys(sections).filter(Boolean), "section");
      }
      const keys = new Set([...known, ...sections[""]!].map((f) => f.key));
      for (const [inner, innerValue, innerOffset] of entries(value)) {
        if (!keys.has(inner)) throw unknownKey(inner, at(innerOffset), keys, `setting of ${key}`);
        if (key !== section) continue;
        specific.push({ key: inner, value: plain(innerValue), from: at(innerOffset) });
      }
      continue;
    }
    if (sections[key] && key !== "") {
      throw usage(
        `${at(offset)}: the section ${key} must hold settings`,
        `found ${excerpt(JSON.stringify(plain(value)) ?? "nothing", 40)}`,
        `write its settings below it, indented: "${key}:\\n  lr: 2e-4"`,
        "WH0202",
      );
    }
    if (!everywhere.has(key)) {
      const names = [...everywhere.keys(), ...Object.keys(sections).filter(Boolean)];
      throw unknownKey(key, at(offset), names, "setting");
    }
    general.push({ key, value: plain(value), from: at(offset) });
  }
  const mine = new Set([...sections[""]!, ...(sections[section] ?? [])].map((f) => f.key));
  return [...general, ...specific].filter((given) => mine.has(given.key));

  function plain(node: unknown): unknown {
    if (node && typeof node === "object" && "toJS" in node && typeof node.toJS === "function") {
      return node.toJS(document);
    }
    return node;
  }
}

const EXAMPLE = 'a config file looks like "model: ./base" and, below "train:", "  lr: 2e-4"';

/** Keys, value nodes and offsets of a YAML map. */
function entries(map: YAMLMap): [key: string, value: unknown, offset: number][] {
  return map.items.map((pair) => {
    const key = pair.key as { value?: unknown; range?: readonly number[] | null };
    return [String(key.value ?? ""), pair.value, key.range?.[0] ?? 0];
  });
}

function unknownKey(key: string, at: string, known: Iterable<string>, what: string): Fail {
  const names = [...known];
  const near = suggest(key, names);
  return usage(
    `${at}: unknown ${what} "${key}"`,
    near ? `did you mean "${near}"?` : `known here: ${excerpt(names.sort().join(", "), 400)}`,
    near ? `write ${near}` : "whet config schema lists every key",
    "WH0203",
  );
}

/** The values given by WHET_* variables; empty ones count as absent. */
export function fromEnvironment(
  fields: readonly Field[],
  env: Readonly<Record<string, string | undefined>>,
): Given[] {
  return fields.filter((f) => !f.info.flagOnly).flatMap((f) => {
    const name = `WHET_${f.key.toUpperCase()}`;
    const value = env[name];
    return value ? [{ key: f.key, value, from: name }] : [];
  });
}

/**
 * Values of `--set a.b=value`: the last part of the key is the setting, the part before it, if any, must
 * be this command's section (others are left for their own commands).
 */
export function fromSet(
  pairs: readonly string[],
  sections: Readonly<Record<string, readonly Field[]>>,
  section: string,
): Given[] {
  return pairs.flatMap((pair) => {
    const equals = pair.indexOf("=");
    const from = `--set ${excerpt(pair, 60)}`;
    if (equals < 1) {
      throw usage(
        `${from}: expected key=value`,
        undefined,
        `--set train.lr=2e-4`,
        "WH0204",
      );
    }
    const [key, ...before] = pair.slice(0, equals).trim().split(".").reverse() as [string];
    const named = before.reverse().join(".");
    if (named && !sections[named]) {
      throw unknownKey(named, from, Object.keys(sections).filter(Boolean), "section");
    }
    const wanted = named || section;
    const known = [...(sections[wanted] ?? []), ...sections[""]!].map((f) => f.key);
    if (!known.includes(key)) {
      throw unknownKey(key, from, known, wanted ? `setting of ${wanted}` : "setting");
    }
    return wanted === section ? [{ key, value: pair.slice(equals + 1), from }] : [];
  });
}

/**
 * Merges the layers, first the strongest, and checks the result against the schema.
 *
 * @throws Fail (usage) that names the place of every value refused
 */
export function resolve<S extends SettingsSchema>(
  schema: S,
  layers: readonly Layer[],
): Resolved<z.output<S>> {
  const fields = new Map(fieldsOf(schema).map((f) => [f.key, f]));
  const merged: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const layer of [...layers].reverse()) {
    const present = new Set<string>();
    for (const { key, value, from } of layer) {
      const known = fields.get(key);
      if (!known) continue;
      for (const other of known.info.excludes ?? []) {
        if (present.has(other)) {
          throw usage(
            `${from} and ${origins[other]} cannot both be given`,
            `${key} and ${other} say the same thing in two ways`,
            `leave one of them out`,
            "WH0205",
          );
        }
        delete merged[other];
        delete origins[other];
      }
      if (value === null || value === undefined) {
        delete merged[key];
        delete origins[key];
        continue;
      }
      merged[key] = typeof value === "string" ? fromText(known.schema, value) : value;
      origins[key] = from;
      present.add(key);
    }
  }
  refuseLater(fields, merged, origins);
  const parsed = z.safeParse(schema, merged);
  if (!parsed.success) throw refused(parsed.error.issues, fields, merged, origins);
  for (const key of fields.keys()) origins[key] ??= "default";
  return { settings: parsed.data as z.output<S>, origins };
}

/** Values that the contract promises and this version cannot do yet: never ignored in silence. */
function refuseLater(
  fields: ReadonlyMap<string, Field>,
  merged: Readonly<Record<string, unknown>>,
  origins: Readonly<Record<string, string>>,
) {
  for (const [key, value] of Object.entries(merged)) {
    const field = fields.get(key)!;
    const command = field.info.elsewhere?.[String(value)];
    if (command !== undefined) {
      throw usage(
        `${spelled(field, origins[key])} ${value} is a command of its own`,
        field.info.help,
        command,
        "WH0206",
      );
    }
    const reason = field.info.later?.[String(value)];
    if (reason === undefined) continue;
    const works = field.choices.filter((choice) => !field.info.later?.[choice]);
    throw usage(
      `${spelled(field, origins[key])} ${value} is not built yet`,
      reason,
      works.length > 0
        ? `use ${works.map((choice) => `${field.flag} ${choice}`).join(" or ")}`
        : `leave ${field.flag} out`,
      "WH0206",
    );
  }
}

/** "--quant", or "quant (whet.yaml:3:1)" where it was not a flag. */
function spelled(field: Field, origin: string | undefined): string {
  return origin === undefined || origin.startsWith("-")
    ? origin ?? field.flag
    : `${origin}: ${field.key}`;
}

function refused(
  issues: readonly z.core.$ZodIssue[],
  fields: ReadonlyMap<string, Field>,
  merged: Readonly<Record<string, unknown>>,
  origins: Readonly<Record<string, string>>,
): Fail {
  const missing = issues.map((issue) => fields.get(String(issue.path[0])))
    .filter((f) => f !== undefined && !(f.key in merged)) as Field[];
  if (missing.length > 0) {
    const spell = (f: Field) =>
      f.info.positional === undefined
        ? `${f.info.short ? `-${f.info.short}` : f.flag} ${f.info.value ?? "VALUE"}`
        : f.info.value ?? f.key.toUpperCase();
    const unique = [...new Set(missing)];
    return usage(
      `missing: ${
        unique.map((f) => f.info.positional === undefined ? f.flag : spell(f)).join(", ")
      }`,
      unique.map((f) => `${f.key}: ${f.info.help}`).join("; "),
      `add ${unique.map(spell).join(" ")}`,
      "WH0207",
    );
  }
  const lines = issues.map((issue) => {
    const field = fields.get(String(issue.path[0]));
    const key = issue.path.join(".");
    if (!field) return issue.message;
    const value = issue.path.reduce<unknown>(
      (inner, part) => (inner as Record<PropertyKey, unknown> | undefined)?.[part],
      merged,
    );
    const where = spelled(field, origins[field.key]) + key.slice(field.key.length);
    return `${where}: ${expected(issue, field)}, got ${excerpt(JSON.stringify(value) ?? "", 60)}`;
  });
  const first = fields.get(String(issues[0]!.path[0]));
  return usage(
    lines[0]!,
    lines.length > 1 ? lines.slice(1).join("; ") : first?.info.help,
    suggestion(first, merged),
    "WH0201",
  );
}

function suggestion(field: Field | undefined, merged: Readonly<Record<string, unknown>>) {
  if (!field) return undefined;
  const near = suggest(String(merged[field.key]), field.choices);
  if (near) return `did you mean ${field.flag} ${near}?`;
  if (field.choices.length > 0) return `choose one of: ${field.choices.join(", ")}`;
  if (field.default === undefined) return `correct ${field.flag}, or leave it out`;
  return `for example ${field.flag} ${words(field.default)}`;
}

/** What the schema wanted, in words. */
function expected(issue: z.core.$ZodIssue, field: Field): string {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${issue.expected === "int" ? "a whole number" : `a ${issue.expected}`}`;
    case "invalid_value":
    case "invalid_union":
      return `expected ${wanted(field.schema)}`;
    case "too_small":
    case "too_big": {
      if (issue.origin === "string") return issue.message;
      const limit = thousands(Number(issue.code === "too_small" ? issue.minimum : issue.maximum));
      const exact = issue.code === "too_small" ? issue.minimum : issue.maximum;
      const bound = Math.abs(Number(exact)) >= 1e4 ? limit : String(exact);
      if (issue.origin === "array") return `expected ${bound} values joined by commas`;
      if (issue.code === "too_small") {
        return `must be ${issue.inclusive ? "at least" : "above"} ${bound}`;
      }
      return `must be ${issue.inclusive ? "at most" : "below"} ${bound}`;
    }
    default:
      return issue.message;
  }
}

/** A value as it would be typed. */
export function words(value: unknown): string {
  if (Array.isArray(value)) return value.map(words).join(",");
  return typeof value === "string" ? value : JSON.stringify(value);
}
