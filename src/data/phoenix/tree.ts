/**
 * Attributes of a span as one tree. They come as flat keys with dots and indices
 * ("llm.input_messages.0.message.role"), as columns of a table, as nested objects, as JSON in a text, and
 * as mixtures of all of these.
 */
export type Tree = { readonly [key: string]: unknown };

/** Keys with more parts than this, or values nested deeper, are not taken apart. */
const DEEPEST = 40;

/** What stands at a key that is a branch too. */
const OWN = "";

type Branch = Record<string, unknown>;
const branch = (): Branch => Object.create(null);
const isBranch = (value: unknown): value is Branch =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The value with dotted keys taken apart and nothings left out. */
export function treeOf(value: unknown, depth = 0): unknown {
  if (depth > DEEPEST) return undefined;
  if (Array.isArray(value)) return value.map((one) => treeOf(one, depth + 1));
  if (typeof value !== "object" || value === null) return value;
  const tree = branch();
  for (const [key, inner] of Object.entries(value)) {
    if (inner === null || inner === undefined) continue;
    const parts = key.split(".");
    put(tree, parts.length > DEEPEST ? [key] : parts, treeOf(inner, depth + parts.length));
  }
  return tree;
}

/** Puts a value into a tree; branches are joined, and what is there first stays. */
function put(tree: Branch, [key, ...rest]: string[], value: unknown) {
  const there = tree[key!];
  if (rest.length > 0) {
    const inner = isBranch(there) ? there : branch();
    if (there !== undefined && !isBranch(there)) inner[OWN] = there;
    tree[key!] = inner;
    put(inner, rest, value);
  } else if (isBranch(there)) {
    if (!isBranch(value)) there[OWN] ??= value;
    else for (const [name, inner] of Object.entries(value)) put(there, [name], inner);
  } else tree[key!] ??= value;
}

/** The value at a path such as "input.value" or "metadata.output"; JSON in a text on the way is read. */
export function at(tree: unknown, path: string): unknown {
  let value = tree;
  for (const part of path.split(".")) {
    const inside = typeof value === "string" ? jsonIn(value) : value;
    if (typeof inside !== "object" || inside === null) return undefined;
    value = (inside as Branch)[part];
  }
  return isBranch(value) && OWN in value ? value[OWN] : value;
}

/** The elements of a list: an array, numbered keys, or JSON of an array. */
export function listAt(tree: unknown, path: string): readonly unknown[] | undefined {
  const value = at(tree, path);
  return listOf(typeof value === "string" ? jsonIn(value) : value);
}

export function listOf(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (!isBranch(value)) return undefined;
  const keys = Object.keys(value);
  if (keys.length === 0 || !keys.every((key) => /^\d+$/.test(key))) return undefined;
  return keys.sort((a, b) => Number(a) - Number(b)).map((key) => value[key]);
}

/** JSON that a text holds, as a tree; undefined where it is just a text. */
export function jsonIn(text: string): unknown {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    return treeOf(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** A value as text: texts as they are, all else as JSON; undefined where nothing is there. */
export function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.trim() === "" ? undefined : text;
}

/** A text at a path that names something: an id, a name, a label. */
export function nameAt(tree: unknown, path: string): string | undefined {
  const value = at(tree, path);
  return typeof value === "string" && value !== ""
    ? value
    : typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : undefined;
}

/** A finite number at a path, also where it is written as a text. */
export function numberAt(tree: unknown, path: string): number | undefined {
  const value = at(tree, path);
  const number = typeof value === "boolean"
    ? Number(value)
    : typeof value === "string" && value.trim() !== ""
    ? Number(value)
    : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}
