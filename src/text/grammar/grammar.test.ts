import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { uniform } from "../../base/random.ts";
import { cliJsonSchema } from "../../settings/cli_json_schema.ts";
import { answerProblems, parseCliSchema } from "../../settings/cli_schema.ts";
import { loadTokenizer } from "../tokenizer.ts";
import { Automaton } from "./automaton.ts";
import { Grammar, inSections } from "./constraint.ts";
import { jsonSchema } from "./json_schema.ts";
import type { Node } from "./nodes.ts";
import { number } from "./numbers.ts";
import { Vocabulary } from "./vocabulary.ts";

const root = join(import.meta.dir, "../../..");
const micro = await loadTokenizer(join(root, "models/micro"));
const latin1 = (text: string) => String.fromCharCode(...new TextEncoder().encode(text));

/** Whether the whole text is one of the node's. */
function admits(node: Node, text: string): boolean {
  const automaton = new Automaton(node);
  return automaton.read(automaton.start, latin1(text))?.accepts === true;
}

/** An answer of tokens drawn evenly from what the mask admits: what a model of random weights says. */
function drawn(grammar: Grammar, most: number, seed: number): string {
  const constraint = grammar.begin(most), ids: number[] = [];
  for (let t = 0; !constraint.done; t++) {
    const mask = constraint.mask(), open: number[] = [];
    for (let id = 0; id < grammar.vocabulary.size; id++) {
      if (mask[id >>> 5]! >>> (id & 31) & 1) open.push(id);
    }
    expect(open.length).toBeGreaterThan(0);
    const id = constraint.take(open[Math.floor(uniform(seed, 7, t) * open.length)]!);
    if (!constraint.done) ids.push(id);
  }
  expect(ids.length).toBeLessThan(most);
  return micro.decode(ids, { skipSpecial: false });
}

const schemas = {
  everything: {
    type: "object",
    properties: {
      name: { type: "string", minLength: 2, maxLength: 12 },
      'a "b" \\ c': { type: ["integer", "null"], minimum: -3, maximum: 155 },
      share: { type: "number", minimum: 0, exclusiveMaximum: 1 },
      kind: { enum: ["x", "y", 3, null] },
      tags: { type: "array", items: { enum: ["a", "b", "c"] }, uniqueItems: true, minItems: 1 },
      point: {
        type: "array",
        prefixItems: [{ type: "number" }, { type: "boolean" }],
        items: false,
      },
      when: { type: "string", format: "date" },
      code: { type: "string", pattern: "^[A-Z]{2}-\\d{1,3}(x|y)?$" },
      other: { type: "object", additionalProperties: { type: "boolean" } },
    },
    required: ["name", "share", "kind", "code"],
    additionalProperties: false,
  },
  recursive: {
    $defs: {
      node: {
        type: "object",
        properties: {
          value: { type: "integer" },
          children: { type: "array", items: { $ref: "#/$defs/node" }, maxItems: 3 },
        },
        required: ["value", "children"],
        additionalProperties: false,
      },
    },
    $ref: "#/$defs/node",
  },
  union: {
    oneOf: [
      {
        type: "object",
        properties: { type: { const: "a" }, n: { type: "integer", exclusiveMinimum: 10 } },
        required: ["type", "n"],
        additionalProperties: false,
      },
      {
        allOf: [
          { type: "object", properties: { type: { const: "b" } }, required: ["type"] },
          { properties: { list: { type: "array", minItems: 2 } }, required: ["list"] },
        ],
      },
    ],
  },
};

describe("answers drawn at random under a JSON Schema are whole and fit it", () => {
  test.each(Object.keys(schemas) as (keyof typeof schemas)[])("%s", (name) => {
    const grammar = new Grammar(jsonSchema(schemas[name], name), micro);
    const check = z.fromJSONSchema(schemas[name] as never);
    for (let seed = 0; seed < 60; seed++) {
      // Some have little more room than the shortest answer needs.
      const text = drawn(grammar, seed % 4 === 0 ? 90 : 300, seed);
      const { error } = check.safeParse(JSON.parse(text));
      if (error) throw new Error(`${text}\n${z.prettifyError(error)}`);
    }
  });
});

test("answers drawn at random under a CLI schema have nothing wrong", () => {
  const file = join(root, "schemas/garden.yaml");
  const schema = parseCliSchema(readFileSync(file, "utf8"), file);
  const grammar = new Grammar(jsonSchema(cliJsonSchema(schema), "garden"), micro);
  const kinds = new Set<unknown>();
  for (let seed = 0; seed < 100; seed++) {
    const answer = JSON.parse(drawn(grammar, 200, seed));
    kinds.add(`${answer.type} ${answer.subcommand}`);
    expect(answerProblems(schema, answer)).toEqual([]);
  }
  expect(kinds.size).toBeGreaterThan(4);
});

test("every answer that the shipped schemas' templates write is admitted", async () => {
  const { teach } = await import("../../teachers/template.ts");
  for (const name of ["garden", "gh", "git"]) {
    const file = join(root, `schemas/${name}.yaml`);
    const schema = parseCliSchema(readFileSync(file, "utf8"), file);
    const automaton = new Automaton(jsonSchema(cliJsonSchema(schema), name));
    for (const { output } of teach(schema, { rows: 60, seed: 3, part: "train" })) {
      for (const text of [output, JSON.stringify(JSON.parse(output), null, 2)]) {
        if (automaton.read(automaton.start, latin1(text))?.accepts) continue;
        throw new Error(`${name}: ${text}`);
      }
    }
  }
});

test("a mask has the tokens that fit when each is tried alone, at every place of an answer", () => {
  const vocabulary = new Vocabulary(micro);
  const sections = inSections(["thinking", "answer"], jsonSchema(schemas.union, "union"));
  const nodes = [...Object.entries(schemas).map(([name, s]) => jsonSchema(s, name)), sections];
  for (const [seed, node] of nodes.entries()) {
    const automaton = new Automaton(node);
    let at = automaton.start;
    for (let t = 0; t < 60 && !(at.accepts && t > 40); t++) {
      const mask = vocabulary.mask(automaton, at), fits: number[] = [], has: number[] = [];
      for (let id = 0; id < micro.vocabSize; id++) {
        if (mask[id >>> 5]! >>> (id & 31) & 1) has.push(id);
        const bytes = micro.bytesOf(id);
        const after = micro.eosIds.includes(id)
          ? at.accepts
          : bytes && bytes.length > 0 && automaton.read(at, String.fromCharCode(...bytes));
        if (after) fits.push(id);
      }
      expect(has).toEqual(fits);
      const texts = fits.filter((id) => !micro.eosIds.includes(id));
      if (texts.length === 0) break;
      const id = texts[Math.floor(uniform(seed, 9, t) * texts.length)]!;
      at = automaton.read(at, String.fromCharCode(...micro.bytesOf(id)!))!;
    }
  }
});

test("tokens of the same bytes are all admitted, the first of them ends an answer", () => {
  const texts = ["<eos>", "{", "}", "{", "{}", '"'], utf8 = new TextEncoder();
  const tokens = {
    vocabSize: texts.length,
    eosIds: [0],
    bytesOf: (id: number) => utf8.encode(texts[id]!),
  };
  const grammar = new Grammar(jsonSchema({ const: {} }, "empty"), tokens);
  const constraint = grammar.begin(3);
  expect([...constraint.mask()]).toEqual([1 << 1 | 1 << 3 | 1 << 4]);
  expect([constraint.take(5), constraint.take(0)]).toEqual([4, 0]);
});

describe("numbers", () => {
  test.each(
    [
      [{ least: 0, most: 1 }, ["0", "1", "0.5", "1.0", "0.999999"], [
        "1.1",
        "-1",
        "2",
        "00",
        "1.",
        ".5",
        "1e3",
      ]],
      [{ integer: true, least: 7, most: 155 }, ["7", "70", "155", "99"], [
        "6",
        "156",
        "0",
        "1",
        "7.0",
      ]],
      [{ integer: true, least: -20, most: -3 }, ["-3", "-19"], ["-2", "3", "-21", "-"]],
      [{ above: 0.3, below: 0.35 }, ["0.31", "0.300001", "0.349999"], ["0.3", "0.35", "0.4"]],
      [{ least: 0.1 }, ["0.1", "1", "123456789012345"], [
        "0.0",
        "0.09",
        "-0.1",
        "1234567890123456",
      ]],
      [{ least: 1e-7, most: 2e-7 }, ["0.0000001", "0.00000015"], ["0", "0.0000003"]],
      [{}, ["-0", "0", "-12.5"], ["+1", "01", "--1", ""]],
    ] as const,
  )("%j", (limits, good, bad) => {
    const node = number(limits);
    for (const text of good) expect([text, admits(node, text)]).toEqual([text, true]);
    for (const text of bad) expect([text, admits(node, text)]).toEqual([text, false]);
  });

  test("whatever may be written can be finished", () => {
    for (let seed = 0; seed < 100; seed++) {
      const a = Math.round((uniform(seed, 1, 0) - 0.5) * 10 ** (seed % 7)) / 10 ** (seed % 4);
      const b = a + Math.round(uniform(seed, 1, 1) * 1000) / 10 ** (seed % 5);
      const automaton = new Automaton(number({ least: a, most: b }));
      let at = automaton.start, text = "";
      for (let t = 0; t < 30; t++) {
        const next = [..."-0123456789."].filter((c) => automaton.read(at, c));
        const end = automaton.ending(at);
        expect(end).toBeDefined();
        const value = Number(text + end);
        expect(value >= a && value <= b).toBe(true);
        if (next.length === 0) break;
        const c = next[Math.floor(uniform(seed, 2, t) * next.length)]!;
        text += c;
        at = automaton.read(at, c)!;
      }
    }
  });
});

describe("strings", () => {
  const node = jsonSchema({ type: "string", minLength: 1, maxLength: 3 }, "s");
  test.each([
    ['"a"', true],
    ['"äöü"', true],
    ['"\\n\\"\\u00e4"', true],
    ['"😀"', true],
    ['""', false],
    ['"abcd"', false],
    ['"a\nb"', false],
    ['"\\ud83d"', false],
    ['"\\x"', false],
    ['"a', false],
  ])("%s: %p", (text, good) => expect(admits(node, text)).toBe(good));

  test("bytes that are no UTF-8 are not admitted", () => {
    const automaton = new Automaton(jsonSchema({ type: "string" }, "s"));
    for (const bytes of ["\xc0\xaf", "\xed\xa0\x80", "\xff", "\xe0\x80\x80", "\xf4\x90\x80\x80"]) {
      expect(automaton.read(automaton.start, `"${bytes}`)).toBeUndefined();
    }
    expect(automaton.read(automaton.start, `"${latin1("😀é€")}"`)?.accepts).toBe(true);
  });
});

test("sections: free text, then JSON, tags as they are trained", () => {
  const node = inSections(["reasoning", "intent_ir"], jsonSchema({ type: "object" }, "ir"));
  const good =
    '<reasoning>\n- a < b </reason\n</reasoning>\n\n<intent_ir>\n{"a": [1, {}]}\n</intent_ir>';
  expect(admits(node, good)).toBe(true);
  expect(admits(node, good.replace("</intent_ir>", ""))).toBe(false);
  expect(admits(node, good.replace('{"a"', "{a"))).toBe(false);
  const grammar = new Grammar(node, micro);
  for (let seed = 0; seed < 20; seed++) {
    const text = drawn(grammar, 120, seed);
    expect(text).toMatch(
      /^<reasoning>\n[^]*\n<\/reasoning>\n\n<intent_ir>\n\{[^]*\}\n<\/intent_ir>$/,
    );
    JSON.parse(text.slice(text.lastIndexOf("<intent_ir>\n") + 12, -"\n</intent_ir>".length));
  }
});

describe("refused", () => {
  const problem = (schema: unknown) => {
    try {
      jsonSchema(schema, "s.json");
    } catch (error) {
      return (error as { why?: string }).why;
    }
    return undefined;
  };
  test.each([
    [{ type: "object", patternProperties: {} }, '#: "patternProperties" cannot be kept'],
    [{ properties: { a: { not: {} } } }, '#/properties/a: "not" cannot be kept'],
    [{ type: "string", format: "iri" }, 'format "iri" cannot be kept'],
    [{ type: "text" }, 'there is no type "text"'],
    [{ type: "array", minItems: 1e6 }, '"minItems" may be 4096 at most'],
    [{ type: "string", minLength: 1e7 }, '"minLength" may be 4096 at most'],
    [{ type: "number", multipleOf: 0.5 }, "multipleOf 0.5"],
    [{ type: "string", pattern: "^(?=a)b$" }, "looks around"],
    [{ type: "integer", minimum: 5, maximum: 4 }, "no number is within its bounds"],
    [{ $ref: "#/$defs/none" }, "nothing is there"],
    [{ $ref: "other.json" }, "only what is in the same file"],
    [{ type: "object", required: ["a"] }, '"a" is required and has no schema'],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, "oneOf"],
    [{ type: "array", uniqueItems: true, items: { type: "string" } }, "uniqueItems"],
  ])("%j", (schema, why) => expect(problem(schema)).toContain(why));

  test("a value or name that only looks like a count is none", () => {
    expect(problem({ properties: { maxItems: { const: { maxItems: 1e6 } } } })).toBeUndefined();
  });

  test("all of them at once, by their places", () => {
    const both = problem({ properties: { a: { not: {} }, b: { contains: {} } } });
    expect(both?.split("\n")).toHaveLength(2);
  });

  test("a limit that no answer can keep, with one that can", () => {
    const grammar = new Grammar(jsonSchema({ type: "string", minLength: 500 }, "s"), micro);
    expect(() => grammar.begin(40)).toThrow("has at least");
  });

  test("JSON without an end", () => {
    const endless = {
      $defs: { a: { type: "object", properties: { a: { $ref: "#/$defs/a" } }, required: ["a"] } },
      $ref: "#/$defs/a",
    };
    expect(() => new Grammar(jsonSchema(endless, "s"), micro).begin(100)).toThrow("no answer");
  });
});
