import { Exit, Fail } from "../../base/fail.ts";
import { isObject, type Json } from "../tokenizer_json.ts";
import { either, later, literal, type Node, repeat, sequence, space, string } from "./nodes.ts";
import { number } from "./numbers.ts";
import { pattern } from "./pattern.ts";

/** Says nothing about what is valid. */
const NOTES = new Set([
  ..."title description default examples example deprecated readOnly writeOnly".split(" "),
  ..."$schema $id $comment $defs definitions $anchor".split(" "),
]);

/** What each type is told by; a keyword that stands without a type tells it. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties", "minProperties", "maxProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
  string: ["minLength", "maxLength", "pattern", "format", "nonBlank"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
};
const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];
const SHARED = ["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"];

/** Beyond this a count has more states than an answer has tokens. */
const LARGEST_COUNT = 4096;
const COUNTS = ["minLength", "minItems", "maxItems"];

/** Formats, as a part of what each admits that no reader of it disputes. */
const FORMATS: Readonly<Record<string, string>> = {
  date: "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$",
  time: "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
  "date-time":
    "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$",
  uuid: "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
  email: "^[a-z0-9]+([._-][a-z0-9]+)*@[a-z0-9]+(-[a-z0-9]+)*(\\.[a-z0-9]+)*\\.[a-z]{2,12}$",
  ipv4:
    "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$",
};

/**
 * The JSON that a JSON Schema (2020-12) admits, or a part of it: properties in any order, each once, none
 * that is not named unless no name is; numbers without exponents.
 * @throws Fail (usage) naming every keyword that cannot be kept
 */
export function jsonSchema(schema: unknown, name: string): Node {
  const problems: string[] = [];
  const reader = new Reader(schema, name, problems);
  const root = reader.node(schema, "#");
  // What is referred to is read now, so that its problems are told too.
  reader.readAll();
  if (problems.length === 0) return root;
  const shown = [...new Set(problems)];
  throw new Fail(`${name}: answers cannot be constrained to this schema`, {
    why: shown.slice(0, 20).join("\n") +
      (shown.length > 20 ? `\nand ${shown.length - 20} more` : ""),
    fix:
      "take these keywords out, or leave --constrain out: answers are checked against the whole " +
      "schema anyway",
    exit: Exit.usage,
  });
}

class Reader {
  readonly #known = new Map<string, Node>();
  readonly #waiting: string[] = [];

  constructor(
    readonly root: unknown,
    readonly name: string,
    readonly problems: string[],
  ) {}

  readAll() {
    for (let path = this.#waiting.pop(); path !== undefined; path = this.#waiting.pop()) {
      this.#target(path);
    }
  }

  node(schema: unknown, at: string): Node {
    if (
      schema === true || (isObject(schema) && Object.keys(schema).every((key) => NOTES.has(key)))
    ) {
      return anything();
    }
    if (!isObject(schema)) {
      return this.#refuse(at, schema === false ? "false admits nothing" : "a schema is an object");
    }
    const known = new Set([...SHARED, ...Object.values(KEYWORDS).flat(), ...NOTES]);
    for (const key of Object.keys(schema)) {
      if (!known.has(key)) this.#refuse(at, `"${key}" cannot be kept`);
    }
    for (const key of COUNTS) {
      const count = schema[key];
      if (typeof count === "number" && count > LARGEST_COUNT) {
        return this.#refuse(at, `"${key}" may be ${LARGEST_COUNT} at most, not ${count}`);
      }
    }
    if ("const" in schema) return value(schema.const);
    if (Array.isArray(schema.enum)) return either(schema.enum.map(value));
    if (typeof schema.$ref === "string") return this.#ref(schema.$ref, at);
    if (Array.isArray(schema.allOf)) return this.node(this.#flat(schema, at), at);
    for (const key of ["anyOf", "oneOf"]) {
      if (!Array.isArray(schema[key])) continue;
      const ways = schema[key].map((way: unknown) => this.#flat(way, at));
      const rest = Object.fromEntries(Object.entries(schema).filter(([k]) => k !== key));
      if (key === "oneOf" && !disjoint(ways.map((way: unknown) => this.#seen(way)))) {
        this.#refuse(at, "oneOf: its schemas must differ in type or in a constant they require");
      }
      const refuse = (why: string) => void this.#refuse(at, why);
      return either(
        ways.map((way: unknown, i: number) =>
          this.node(merged(rest, way, refuse), `${at}/${key}/${i}`)
        ),
      );
    }
    const types = typeof schema.type === "string"
      ? [schema.type]
      : Array.isArray(schema.type)
      ? schema.type as string[]
      : guessed(schema);
    return either(types.map((type) => this.#typed(type, schema, at)));
  }

  #typed(type: string, schema: Json, at: string): Node {
    switch (type) {
      case "null":
        return literal("null");
      case "boolean":
        return either([literal("true"), literal("false")]);
      case "integer":
      case "number":
        return this.#number(schema, type === "integer", at);
      case "string":
        return this.#string(schema, at);
      case "array":
        return this.#array(schema, at);
      case "object":
        return this.#object(schema, at);
      default:
        return this.#refuse(
          at,
          `there is no type ${JSON.stringify(type)}; types are ${TYPES.join(", ")}`,
        );
    }
  }

  #number(schema: Json, integer: boolean, at: string): Node {
    const { multipleOf } = schema;
    if (multipleOf !== undefined && multipleOf !== 1) {
      this.#refuse(at, `multipleOf ${String(multipleOf)} cannot be kept`);
    }
    const bound = (key: string) => typeof schema[key] === "number" ? schema[key] : undefined;
    const node = number({
      integer: integer || multipleOf === 1,
      least: bound("minimum"),
      most: bound("maximum"),
      above: bound("exclusiveMinimum"),
      below: bound("exclusiveMaximum"),
    });
    return node.shortest() === undefined
      ? this.#refuse(at, "no number is within its bounds")
      : node;
  }

  #string(schema: Json, at: string): Node {
    const { minLength, maxLength, format } = schema;
    const source = schema.pattern ?? (format === undefined ? undefined : FORMATS[String(format)]);
    if (format !== undefined && FORMATS[String(format)] === undefined) {
      return this.#refuse(
        at,
        `format ${JSON.stringify(format)} cannot be kept; ${Object.keys(FORMATS).join(", ")} can`,
      );
    }
    if (source === undefined) {
      const solid = schema.nonBlank === true;
      return string({
        least: Math.max(Number(minLength ?? 0), solid ? 1 : 0),
        most: maxLength === undefined ? undefined : Number(maxLength),
        solid,
      });
    }
    if (schema.pattern !== undefined && format !== undefined) {
      return this.#refuse(at, "pattern and format together cannot be kept");
    }
    if (minLength !== undefined || maxLength !== undefined) {
      return this.#refuse(
        at,
        "a length together with a pattern or format cannot be kept: say it in the pattern",
      );
    }
    const made = pattern(String(source));
    return "problem" in made ? this.#refuse(at, made.problem) : made.node;
  }

  #array(schema: Json, at: string): Node {
    const { prefixItems, items, uniqueItems } = schema;
    const least = Number(schema.minItems ?? 0);
    const most = schema.maxItems === undefined ? undefined : Number(schema.maxItems);
    if (uniqueItems === true) {
      const values = isObject(items) && !prefixItems
        ? Array.isArray(items.enum) ? items.enum : "const" in items ? [items.const] : undefined
        : undefined;
      if (!values || values.length > 52) {
        return this.#refuse(
          at,
          "uniqueItems can be kept where items are an enum of at most 52 values",
        );
      }
      return uniqueArray(values.map(value), least, Math.min(most ?? values.length, values.length));
    }
    const first = Array.isArray(prefixItems)
      ? prefixItems.map((item, i) => this.node(item, `${at}/prefixItems/${i}`))
      : [];
    const open = items !== false;
    return array(
      first,
      open ? this.node(items ?? true, `${at}/items`) : undefined,
      least,
      open ? most : Math.min(most ?? Infinity, first.length),
    );
  }

  #object(schema: Json, at: string): Node {
    const { properties = {}, required = [], additionalProperties } = schema;
    for (const key of ["minProperties", "maxProperties"]) {
      if (schema[key] !== undefined) this.#refuse(at, `"${key}" cannot be kept`);
    }
    const names = Object.keys(properties as Json);
    const needed = new Set(required as string[]);
    for (const name of needed) {
      if (!names.includes(name)) {
        this.#refuse(at, `"${name}" is required and has no schema in properties`);
      }
    }
    if (names.length === 0 && additionalProperties !== false) {
      return map(this.node(additionalProperties ?? true, `${at}/additionalProperties`));
    }
    if (names.length > 52) return this.#refuse(at, "more than 52 properties");
    return object(names.map((name) => ({
      key: literal(JSON.stringify(name)),
      value: this.node((properties as Json)[name], `${at}/properties/${name}`),
      required: needed.has(name),
    })));
  }

  #ref(ref: string, at: string): Node {
    if (!ref.startsWith("#")) {
      return this.#refuse(
        at,
        `$ref ${JSON.stringify(ref)}: only what is in the same file can be referred to`,
      );
    }
    this.#waiting.push(ref);
    return later(`${this.name} ${schemaKey(this.root)} ${ref}`, () => this.#target(ref));
  }

  #target(ref: string): Node {
    const known = this.#known.get(ref);
    if (known) return known;
    const found = this.#lookup(ref);
    if (found === undefined) return this.#refuse(ref, "nothing is there");
    const node = this.node(found, ref);
    this.#known.set(ref, node);
    return node;
  }

  #lookup(ref: string): unknown {
    return ref.slice(1).split("/").slice(1)
      .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"))
      .reduce<unknown>(
        (at, part) => isObject(at) || Array.isArray(at) ? (at as Json)[part] : undefined,
        this.root,
      );
  }

  /** A schema with all of its allOf in one, and what those refer to. */
  #flat(schema: unknown, at: string, depth = 0): unknown {
    if (!isObject(schema) || !Array.isArray(schema.allOf) || depth > 32) return schema;
    const { allOf, ...rest } = schema;
    const refuse = (why: string) => void this.#refuse(at, why);
    return allOf.reduce<unknown>((whole, part) => {
      const { $ref, ...own } = isObject(part) ? part : { $ref: undefined };
      const seen = typeof $ref === "string" ? merged(own, this.#lookup($ref), refuse) : part;
      return merged(whole as Json, this.#flat(seen, at, depth + 1), refuse);
    }, rest);
  }

  /** What a reference stands for. */
  #seen(schema: unknown): unknown {
    return isObject(schema) && typeof schema.$ref === "string" ? this.#lookup(schema.$ref) : schema;
  }

  /** Notes a problem; the node stands for what is never used. */
  #refuse(at: string, why: string): Node {
    this.problems.push(`${at}: ${why}`);
    return literal("null");
  }
}

let schemas = 0;
const keys = new WeakMap<object, number>();
/** Two schemas of one name are two. */
function schemaKey(root: unknown): number {
  if (!isObject(root)) return 0;
  if (!keys.has(root)) keys.set(root, ++schemas);
  return keys.get(root)!;
}

/** The types that keywords without a type speak of; all others are admitted by JSON Schema too. */
function guessed(schema: Json): string[] {
  const told = Object.keys(KEYWORDS).filter((type) => KEYWORDS[type]!.some((key) => key in schema));
  return told.length > 0 ? told : TYPES;
}

/** Both schemas at once, where that is plain. */
function merged(a: Json, b: unknown, refuse: (why: string) => void): unknown {
  if (b === true) return a;
  if (!isObject(b)) return b;
  const out: Record<string, unknown> = { ...a };
  for (const [key, value] of Object.entries(b)) {
    if (!(key in out) || NOTES.has(key) || Bun.deepEquals(out[key], value)) out[key] = value;
    else if (key === "properties") out[key] = { ...out[key] as Json, ...value as Json };
    else if (key === "required") {
      out[key] = [...new Set([...out[key] as string[], ...value as string[]])];
    } else if (key === "additionalProperties") out[key] = false;
    else refuse(`"${key}" is said twice, and both cannot be kept`);
  }
  return out;
}

/** Whether no value fits two of the schemas: they differ in type, or in a constant that both require. */
function disjoint(ways: readonly unknown[]): boolean {
  const differ = (a: Json, b: Json): boolean => {
    const types = ({ type }: Json) =>
      typeof type === "string" ? [type] : Array.isArray(type) ? type : TYPES;
    const numbers = (type: unknown) => type === "integer" ? "number" : type;
    if (!types(a).some((x) => types(b).some((y) => numbers(x) === numbers(y)))) return true;
    const constant = (
      { properties, required }: Json,
      name: string,
    ): readonly unknown[] | undefined => {
      const property = isObject(properties) ? properties[name] : undefined;
      if (!isObject(property) || !Array.isArray(required) || !required.includes(name)) {
        return undefined;
      }
      return "const" in property
        ? [property.const]
        : Array.isArray(property.enum)
        ? property.enum
        : undefined;
    };
    const values = (schema: Json) =>
      "const" in schema ? [schema.const] : Array.isArray(schema.enum) ? schema.enum : undefined;
    const apart = (x: readonly unknown[] | undefined, y: readonly unknown[] | undefined) =>
      x !== undefined && y !== undefined &&
      !x.some((one) => y.some((other) => Bun.deepEquals(one, other)));
    if (apart(values(a), values(b))) return true;
    return isObject(a.properties) &&
      Object.keys(a.properties).some((name) => apart(constant(a, name), constant(b, name)));
  };
  return ways.every((a, i) =>
    ways.slice(i + 1).every((b) => isObject(a) && isObject(b) && differ(a, b))
  );
}

/** A JSON value as JSON.stringify writes it, with spaces where they may stand. */
function value(it: unknown): Node {
  if (Array.isArray(it)) return array(it.map(value), undefined, it.length, it.length);
  if (!isObject(it)) return literal(JSON.stringify(it) ?? "null");
  return object(
    Object.entries(it).map(([name, one]) => ({
      key: literal(JSON.stringify(name)),
      value: value(one),
      required: true,
    })),
  );
}

interface Property {
  readonly key: Node;
  readonly value: Node;
  readonly required: boolean;
}

const comma = sequence([space, literal(","), space]);
const colon = sequence([space, literal(":"), space]);

let made = 0;

/** Each property once, in any order, the required ones all. */
function object(properties: readonly Property[]): Node {
  const key = `object ${made++}`;
  const has = (used: number, i: number) => Math.floor(used / 2 ** i) % 2 === 1;
  const rest = (used: number): Node =>
    later(`${key} ${used}`, () => {
      const missing = properties.some(({ required }, i) => required && !has(used, i));
      const ways = properties.flatMap(({ key, value }, i) =>
        has(used, i)
          ? []
          : [sequence([used === 0 ? space : comma, key, colon, value, rest(used + 2 ** i)])]
      );
      return either(missing ? ways : [sequence([space, literal("}")]), ...ways]);
    });
  return sequence([literal("{"), rest(0)]);
}

/** Any names, all with values of one kind. */
function map(of: Node): Node {
  const pair = sequence([string(), colon, of]);
  return sequence([
    literal("{"),
    space,
    repeat(sequence([pair, repeat(sequence([comma, pair]), 0, undefined)]), 0, 1),
    space,
    literal("}"),
  ]);
}

/** First the items of `first`, then any number of `rest`. */
function array(
  first: readonly Node[],
  rest: Node | undefined,
  least: number,
  most = Infinity,
): Node {
  const key = `array ${made++}`;
  const end = sequence([space, literal("]")]);
  // Beyond the last bound all counts are alike.
  const alike = Math.max(least, first.length, 1, Number.isFinite(most) ? most : 0);
  const from = (n: number): Node =>
    later(`${key} ${n}`, () => {
      const item = first[n] ?? rest;
      const more = item && n < most
        ? [
          sequence([
            n === 0 ? space : comma,
            item,
            from(Math.min(n + 1, Number.isFinite(most) ? n + 1 : alike)),
          ]),
        ]
        : [];
      return either(n >= least ? [end, ...more] : more);
    });
  return sequence([literal("["), from(0)]);
}

/** Some of the values, each at most once, in any order. */
function uniqueArray(values: readonly Node[], least: number, most: number): Node {
  const key = `unique ${made++}`;
  const end = sequence([space, literal("]")]);
  const from = (used: readonly number[]): Node =>
    later(`${key} ${used.join()}`, () => {
      const more = used.length >= most
        ? []
        : values.flatMap((item, i) =>
          used.includes(i) ? [] : [sequence([
            used.length === 0 ? space : comma,
            item,
            from([...used, i].sort((a, b) => a - b)),
          ])]
        );
      return either(used.length >= least ? [end, ...more] : more);
    });
  return sequence([literal("["), from([])]);
}

/** Any JSON. */
export function anything(): Node {
  const any = later("any JSON", anything);
  return either([
    literal("null"),
    literal("true"),
    literal("false"),
    number(),
    string(),
    array([], any, 0),
    map(any),
  ]);
}
