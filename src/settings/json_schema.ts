import { isObject } from "../base/strict_json.ts";

/** Keywords that hold a schema, or a list of them. */
const SCHEMAS = new Set([
  ..."items prefixItems additionalItems unevaluatedItems contains additionalProperties".split(" "),
  ..."unevaluatedProperties propertyNames not allOf anyOf oneOf if then else".split(" "),
]);
/** Keywords that hold schemas by name. */
const BY_NAME = new Set(["properties", "patternProperties", "$defs", "definitions"]);
/** Keywords that say something of objects only. */
const OF_OBJECTS = new Set([
  ..."properties required additionalProperties patternProperties propertyNames".split(" "),
  ..."minProperties maxProperties".split(" "),
]);
const OTHER_TYPES = ["array", "boolean", "null", "number", "string"];

/**
 * A JSON Schema that means the same, with nothing left for a reader to assume: Zod passes over names
 * that are required and not described, and over what is said of objects without `type`; and it fills
 * defaults in, which are no part of validation (JSON Schema Validation 2020-12, 6.5.3 and 9.2).
 */
export function explicitSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(explicitSchema);
  if (!isObject(schema)) return schema;
  const entries = Object.entries(schema).filter(([key]) => key !== "default")
    .map(([key, value]): [string, unknown] => {
      if (SCHEMAS.has(key)) return [key, explicitSchema(value)];
      if (!BY_NAME.has(key) || !isObject(value)) return [key, value];
      const named = Object.entries(value).map(([name, one]) => [name, explicitSchema(one)]);
      return [key, Object.fromEntries(named)];
    });
  const made = described(Object.fromEntries(entries));
  const ofObjects = Object.entries(made).filter(([key]) => OF_OBJECTS.has(key));
  if ("type" in made || ofObjects.length === 0) return made;
  const objects = { type: "object", ...Object.fromEntries(ofObjects) };
  const either = { anyOf: [objects, { type: OTHER_TYPES }] };
  const rest = Object.fromEntries(Object.entries(made).filter(([key]) => !OF_OBJECTS.has(key)));
  return { ...rest, allOf: [...(Array.isArray(rest.allOf) ? rest.allOf : []), either] };
}

type Schema = Readonly<Record<string, unknown>>;

/** With a description for every name that is required. */
function described(schema: Schema): Schema {
  const { required, properties, additionalProperties, patternProperties } = schema;
  if (!Array.isArray(required)) return schema;
  const known = isObject(properties) ? properties : {};
  const missing = required.filter((name) =>
    typeof name === "string" && !Object.hasOwn(known, name)
  );
  if (missing.length === 0) return schema;
  const other = patternProperties === undefined ? additionalProperties ?? {} : {};
  const added = Object.fromEntries(missing.map((name) => [name, other]));
  return { ...schema, properties: { ...known, ...added } };
}
