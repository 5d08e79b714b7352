import { expect, test } from "bun:test";
import { parseAnswerSchema } from "./answer_schema.ts";

const A = { type: "object", properties: { a: { type: "number" } } };

// Values that fit, and values that do not, as JSON Schema 2020-12 has it.
const cases: readonly (readonly [schema: object, fit: unknown[], unfit: unknown[]])[] = [
  [{ type: "object", required: ["a"] }, [{ a: 1 }, { a: null, b: 2 }], [{}, { b: 1 }, 5]],
  [{ required: ["a"] }, [{ a: 1 }, 5, "a", null, []], [{}]],
  [{ properties: { a: { type: "number" } } }, [{}, { a: 1 }, 5], [{ a: "x" }]],
  [
    { type: "object", properties: { b: { type: "string" } }, required: ["a"] },
    [{ a: 1 }, { a: 1, b: "x" }],
    [{}, { b: "x" }, { a: 1, b: 2 }],
  ],
  [
    { type: "object", additionalProperties: { type: "number" }, required: ["a"] },
    [{ a: 1 }, { a: 1, b: 2 }],
    [{}, { a: "x" }, { a: 1, b: "x" }],
  ],
  [{ type: "object", additionalProperties: false, required: ["a"] }, [], [{}, { a: 1 }]],
  [
    { type: "object", additionalProperties: false, properties: { a: {} }, required: ["a"] },
    [{ a: 1 }],
    [{}, { a: 1, b: 2 }],
  ],
  [{ allOf: [A, { required: ["a"] }] }, [{ a: 1 }], [{}, { a: "x" }, 5]],
  [{ ...A, anyOf: [{ required: ["a"] }, { required: ["b"] }] }, [{ a: 1 }, { b: 1 }], [{}]],
  [
    { type: "object", properties: { x: { type: "object", required: ["a"] } } },
    [{}, { x: { a: 1 } }],
    [{ x: {} }],
  ],
  [{ type: ["object", "null"], required: ["a"] }, [{ a: 1 }, null], [{}, 5]],
  [{ ...A, properties: { a: { default: 1 } }, required: ["a"] }, [{ a: 2 }], [{}]],
  [{ type: "object", properties: { default: { type: "number" } } }, [{}], [{ default: "x" }]],
  [
    { type: "object", patternProperties: { "^x": { type: "number" } }, required: ["a", "x"] },
    [{ a: "s", x: 1 }],
    [{ a: 1 }, { a: 1, x: "s" }],
  ],
  [{ type: "array", items: { required: ["a"] } }, [[], [{ a: 1 }], [5]], [[{}]]],
  [
    { $ref: "#/$defs/t", $defs: { t: { type: "object", required: ["a"] } } },
    [{ a: 1 }],
    [{}],
  ],
  [{ enum: ["required", 1] }, ["required", 1], ["other", { a: 1 }, 2]],
];

test.each(cases)("%j", (schema, fit, unfit) => {
  const { problems } = parseAnswerSchema(JSON.stringify(schema), "s.json");
  expect(fit.filter((value) => problems(value).length > 0)).toEqual([]);
  expect(unfit.filter((value) => problems(value).length === 0)).toEqual([]);
});
