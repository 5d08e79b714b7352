import { z } from "zod";

/** What a person reads and types for one setting; the type, default and limits are in the schema. */
export interface FieldInfo {
  /** One sentence, without a full stop. */
  readonly help: string;
  /** What `--no-…` does, for a setting that is on by default. */
  readonly off?: string;
  /** Heading under which `--help` lists it. */
  readonly group?: string;
  /** One-letter flag. */
  readonly short?: string;
  /** Other long flags that mean the same, without dashes: what users of other tools already type. */
  readonly aliases?: readonly string[];
  /** Placeholder of the value in help: DIR, FILE, N. */
  readonly value?: string;
  /** The value meant by the flag when it is given without one. */
  readonly bare?: string;
  /** May be given without a flag, in this order among the positional settings. */
  readonly positional?: number;
  /** A list of KEY=VALUE, typed one after another; a comma belongs to the value: --grid lr=1,2 rank=8,16. */
  readonly many?: boolean;
  /** Settings that must not be given in the same place as this one; the later place wins. */
  readonly excludes?: readonly string[];
  /** The default in words, where it follows from other settings. */
  readonly otherwise?: string;
  /** Values that the contract names and this version refuses, each with its reason. */
  readonly later?: Readonly<Record<string, string>>;
  /** Values that are commands of their own, each with the command. */
  readonly elsewhere?: Readonly<Record<string, string>>;
  /**
   * What another value changes of a training run: the trained "values", their "shapes" too, or the "rows"
   * that are trained and the tokens they become. A resumed run must have the same.
   */
  readonly changes?: "values" | "shapes" | "rows";
  /** Only on the command line: not a key of a config file, not an environment variable. */
  readonly flagOnly?: boolean;
}

const registry = z.registry<FieldInfo>();

/** Declares one setting: its schema (type, default, limits) and what a person sees of it. */
export function field<T extends z.ZodType>(schema: T, info: FieldInfo): T {
  const described = schema.meta({ description: info.help }) as T;
  registry.add(described, info);
  return described;
}

export type Kind = "boolean" | "number" | "list" | "text";

/** One setting as the command line, the config reader and the help see it. */
export interface Field {
  readonly key: string;
  /** "--max-seq". */
  readonly flag: string;
  readonly schema: z.ZodType;
  readonly info: FieldInfo;
  readonly kind: Kind;
  readonly required: boolean;
  readonly default: unknown;
  readonly choices: readonly string[];
}

/** A schema of settings: an object, or an object with a last step that fills what follows from it. */
export type SettingsSchema = z.ZodObject | z.ZodPipe<z.ZodObject, z.ZodTransform>;

/** The object inside a settings schema. */
export function objectOf(schema: SettingsSchema): z.ZodObject {
  return schema instanceof z.ZodPipe ? schema.in : schema;
}

/** The settings of a schema, in the order they are declared. */
export function fieldsOf(schema: SettingsSchema): Field[] {
  return Object.entries(objectOf(schema).shape).map(([key, type]) => {
    const info = registry.get(type as z.ZodType);
    if (!info) throw new Error(`setting ${key} is not declared with field()`);
    const inner = bare(type as z.ZodType);
    const missing = (type as z.ZodType).safeParse(undefined);
    return {
      key,
      flag: `--${key.replaceAll("_", "-")}`,
      schema: type as z.ZodType,
      info,
      kind: kindOf(inner),
      required: !missing.success,
      default: missing.success ? missing.data : undefined,
      choices: choicesOf(inner),
    };
  });
}

/** The schema without its default and optional wrappers. */
function bare(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodOptional) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function kindOf(schema: z.ZodType): Kind {
  if (schema instanceof z.ZodBoolean) return "boolean";
  if (schema instanceof z.ZodNumber) return "number";
  if (schema instanceof z.ZodArray || schema instanceof z.ZodTuple) return "list";
  return "text";
}

function choicesOf(schema: z.ZodType): string[] {
  if (schema instanceof z.ZodEnum) return schema.options.map(String);
  if (schema instanceof z.ZodLiteral) return [...schema.values].map(String);
  if (schema instanceof z.ZodUnion) {
    return schema.options.flatMap((option) => choicesOf(bare(option as z.ZodType)));
  }
  if (schema instanceof z.ZodArray) return choicesOf(bare(schema.element as z.ZodType));
  return [];
}

/** What a schema takes, in words: "constant, linear or cosine", "epoch or a whole number". */
export function wanted(schema: z.ZodType): string {
  const inner = bare(schema);
  const join = (parts: readonly string[]) =>
    parts.length < 2
      ? parts.join("")
      : `${parts.slice(0, -1).join(", ")} or ${parts[parts.length - 1]}`;
  if (inner instanceof z.ZodUnion) return join((inner.options as z.ZodType[]).map(wanted));
  if (choicesOf(inner).length > 0) return join(choicesOf(inner));
  if (inner instanceof z.ZodNumber) {
    return inner.isInt
      ? `a whole number${inner.minValue ? ` of at least ${inner.minValue}` : ""}`
      : "a number";
  }
  if (inner instanceof z.ZodBoolean) return "true or false";
  return kindOf(inner) === "list" ? "names joined by commas" : "text";
}

const NUMBER = /^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[-+]?\d+)?$/i;
const WORDS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
};

/**
 * A value typed as text (flag, environment, quoted in a config) as the schema wants it: "1e-4" a number,
 * "q_proj,v_proj" a list. Text that does not fit is returned as it is, for the schema to refuse.
 */
export function fromText(schema: z.ZodType, text: string): unknown {
  const inner = bare(schema);
  const trimmed = text.trim();
  if (inner instanceof z.ZodNumber) {
    return NUMBER.test(trimmed) ? Number(trimmed.replaceAll("_", "")) : text;
  }
  if (inner instanceof z.ZodBoolean) return WORDS[trimmed.toLowerCase()] ?? text;
  if (inner instanceof z.ZodArray) {
    return trimmed.split(",").map((part) => fromText(inner.element as z.ZodType, part.trim()));
  }
  if (inner instanceof z.ZodTuple) {
    const items = inner.def.items as readonly z.ZodType[];
    return trimmed.split(",").map((part, i) => items[i] ? fromText(items[i], part) : part);
  }
  if (inner instanceof z.ZodUnion) {
    for (const option of inner.options as readonly z.ZodType[]) {
      const value = fromText(option, text);
      if (option.safeParse(value).success) return value;
    }
  }
  return text;
}

// The building blocks of declarations.

/** A whole number of at least `least`. */
export const whole = (least = 0) => z.int().min(least);
/** A number in [0, 1]. */
export const fraction = () => z.number().min(0).max(1);
/** A number above zero. */
export const positive = () => z.number().positive();
/** A path or name: anything but the empty string. */
export const path = () => z.string().min(1, "must not be empty");

/**
 * The same settings without their defaults, for a command that passes them on to one of several others:
 * what is not given stays undefined.
 * @param words what stands for the default in help
 */
export function undecided<T extends z.ZodRawShape, const K extends readonly (keyof T & string)[]>(
  shape: T,
  keys: K,
  words: string,
): { [key in K[number]]: z.ZodOptional<Undefaulted<T[key]>> } {
  const made = keys.map((key) => {
    const schema = shape[key] as unknown as z.ZodType, info = registry.get(schema)!;
    const optional = (bare(schema) as z.ZodType).optional();
    return [key, field(optional, { ...info, otherwise: words, excludes: undefined })];
  });
  return Object.fromEntries(made) as { [key in K[number]]: z.ZodOptional<Undefaulted<T[key]>> };
}

type Undefaulted<T> = T extends z.ZodDefault<infer I> ? Undefaulted<I>
  : T extends z.ZodOptional<infer I> ? Undefaulted<I>
  : T extends z.ZodType ? T
  : never;
