/**
 * What a constrained answer is made of. A node is a language over bytes; those that consume bytes are
 * leaves, the rest expands into sequences of others. All are immutable, and equal ones are one object, so
 * that states of an automaton can be compared by identity.
 */

/** What must still come: a node, then the rest. Undefined: nothing, the answer may end. */
export interface Cont {
  readonly id: number;
  readonly node: Node;
  readonly next: Cont | undefined;
}

export interface Node {
  readonly id: number;
  /** For a leaf: what a byte makes of it, undefined where it does not fit; `null` where it is complete. */
  step?(byte: number): Node | null | undefined;
  /** A leaf that may end without another byte. */
  readonly nullable?: boolean;
  /** For the others: the sequences that it may be. */
  expand?(): readonly (readonly Node[])[];
  /** Shortest text that completes it; undefined where none is finite. */
  shortest(): string | undefined;
}

let count = 0;
// Held weakly: nodes of a schema that nobody uses any more are given back.
const interned = new Map<string, WeakRef<Node>>();
const gone = new FinalizationRegistry<string>((key) => {
  if (!interned.get(key)?.deref()) interned.delete(key);
});

/** One object for equal nodes. */
export function intern(key: string, make: () => Omit<Node, "id">): Node {
  const found = interned.get(key)?.deref();
  if (found) return found;
  const node = Object.assign(make(), { id: ++count }) as Node;
  interned.set(key, new WeakRef(node));
  gone.register(node, key);
  return node;
}

/** What the shortest text of a node is while it is being found: a node inside itself has none. */
const inside = new Set<string>();
function guarded(key: string, find: () => string | undefined): () => string | undefined {
  let found: { text: string | undefined } | undefined;
  return () => {
    if (found) return found.text;
    if (inside.has(key)) return undefined;
    inside.add(key);
    const text = find();
    inside.delete(key);
    // What was not found inside another search may be found alone.
    if (text !== undefined || inside.size === 0) found = { text };
    return text;
  };
}

const together = (nodes: readonly Node[]): string | undefined => {
  let text = "";
  for (const node of nodes) {
    const part = node.shortest();
    if (part === undefined) return undefined;
    text += part;
  }
  return text;
};

/** The shortest of some sequences. */
export function shortestOf(ways: readonly (readonly Node[])[]): string | undefined {
  return ways.map(together).filter((text) => text !== undefined)
    .sort((a, b) => a.length - b.length)[0];
}

const composite = (key: string, ways: () => readonly (readonly Node[])[]): Node =>
  intern(key, () => {
    let made: readonly (readonly Node[])[] | undefined;
    const expand = () => made ??= ways();
    return { expand, shortest: guarded(key, () => shortestOf(expand())) };
  });

const utf8 = new TextEncoder();
const latin1 = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const ids = (nodes: readonly Node[]) => nodes.map(({ id }) => id).join();

/** Exactly these bytes, given as text. */
export function literal(text: string): Node {
  return bytesFrom(latin1(utf8.encode(text)));
}

/** The same, a character a byte. Texts of nodes are kept so until they are read. */
function bytesFrom(text: string): Node {
  return intern(`l${text}`, () => ({
    step: (byte) => {
      if (byte !== text.charCodeAt(0)) return undefined;
      return text.length === 1 ? null : bytesFrom(text.slice(1));
    },
    nullable: text.length === 0,
    shortest: () => text,
  }));
}

/** One after the other. */
export const sequence = (nodes: readonly Node[]): Node =>
  nodes.length === 1 ? nodes[0]! : composite(`s${ids(nodes)}`, () => [nodes]);

/** Any one of them. */
export function either(nodes: readonly Node[]): Node {
  const all = [...new Set(nodes)];
  return all.length === 1 ? all[0]! : composite(`e${ids(all)}`, () => all.map((node) => [node]));
}

/** One ASCII byte of a set, as a string of its characters. */
export function oneOf(characters: string): Node {
  const set = [...new Set(characters)].sort().join("");
  return intern(`c${set}`, () => ({
    step: (byte) => set.includes(String.fromCharCode(byte)) && byte < 128 ? null : undefined,
    shortest: () => set[0],
  }));
}

/** From `least` to `most` times, `most` undefined for any number. */
export function repeat(node: Node, least: number, most: number | undefined): Node {
  if (most === 0) return literal("");
  return composite(`r${node.id},${least},${most}`, () => {
    const rest = repeat(node, Math.max(0, least - 1), most === undefined ? undefined : most - 1);
    return least > 0 ? [[node, rest]] : [[], [node, rest]];
  });
}

/** A node that is made when it is needed: what refers to itself. */
export function later(name: string, get: () => Node): Node {
  return composite(`later ${name}`, () => [[get()]]);
}

/** Longest run of spaces and line ends between parts of JSON. */
const SPACES = 64;

/** Spaces and line ends as printers of JSON write them, or none. */
export const space: Node = spaces(0);

function spaces(taken: number): Node {
  return intern(`w${taken}`, () => ({
    nullable: true,
    step: (byte) =>
      taken < SPACES && (byte === 0x20 || byte === 0x0a || (byte === 0x09 && taken < 16))
        ? spaces(taken + 1)
        : undefined,
    shortest: () => "",
  }));
}

/** How a JSON string may be. Lengths are code points, as JSON Schema counts. */
export interface StringLimits {
  readonly least?: number;
  readonly most?: number;
  /** The first character is no space. */
  readonly solid?: boolean;
}

/** A JSON string with its quotes: UTF-8, escapes but no lone surrogates. */
export const string = ({ least = 0, most, solid = false }: StringLimits = {}): Node =>
  sequence([literal('"'), body(least, most === undefined ? -1 : most, solid, "")]);

/**
 * Inside a string: how many characters must and may come (-1: any number), and where in a character we
 * are: "" between two, "e" after a backslash, "u…" in the digits of \u, a digit for the bytes that are
 * missing of a UTF-8 character, with a letter where the first of them is limited.
 */
function body(least: number, most: number, solid: boolean, at: string): Node {
  const key = `b${least},${most},${solid ? 1 : 0},${at}`;
  const to = (next: string) => body(least, most, solid, next);
  // One character is complete.
  const one = () => body(Math.max(0, least - 1), most < 0 ? most : most - 1, false, "");
  const room = most !== 0;
  return intern(key, () => ({
    step(byte) {
      if (at === "e") {
        if (byte === 0x75) return to("u");
        return '"\\/bfnrt'.includes(String.fromCharCode(byte)) && byte < 128 ? one() : undefined;
      }
      if (at[0] === "u") {
        const digit = String.fromCharCode(byte).toLowerCase();
        if (!/^[0-9a-f]$/.test(digit)) return undefined;
        const digits = at.slice(1) + digit;
        if (digits.length === 2 && /^d[89a-f]$/.test(digits)) return undefined; // half of a pair
        // What the digits were matters no more.
        return digits.length === 4
          ? one()
          : to(`u${digits.length === 1 ? digits : digits.replace(/./g, "0")}`);
      }
      if (at !== "") return continued(byte, at, to, one);
      if (byte === 0x22) return least === 0 ? null : undefined;
      if (!room) return undefined;
      if (solid) {
        return byte <= 0x20 || byte === 0x5c || byte === 0x7f
          ? undefined
          : begun(byte, SOLID, to, one);
      }
      if (byte === 0x5c) return to("e");
      return begun(byte, ANY, to, one);
    },
    shortest: () => closing(at) + "a".repeat(at === "" ? least : Math.max(0, least - 1)) + '"',
  }));
}

/** How many bytes follow a first byte of UTF-8, and limits on the first of them, by RFC 3629. */
const ANY = (byte: number): string | undefined => {
  if (byte >= 0xc2 && byte <= 0xdf) return "1";
  if (byte === 0xe0) return "2a";
  if (byte === 0xed) return "2b";
  if (byte >= 0xe1 && byte <= 0xef) return "2";
  if (byte === 0xf0) return "3c";
  if (byte === 0xf4) return "3d";
  return byte >= 0xf1 && byte <= 0xf3 ? "3" : undefined;
};
/** Without the blocks in which Unicode has spaces. */
const SOLID = (byte: number): string | undefined =>
  [0xc2, 0xe1, 0xe2, 0xe3, 0xef].includes(byte) ? undefined : ANY(byte);
const LIMITS: Readonly<Record<string, readonly [number, number]>> = {
  a: [0xa0, 0xbf],
  b: [0x80, 0x9f],
  c: [0x90, 0xbf],
  d: [0x80, 0x8f],
};

function begun(
  byte: number,
  lead: (byte: number) => string | undefined,
  to: (at: string) => Node,
  one: () => Node,
): Node | undefined {
  if (byte < 0x20) return undefined;
  if (byte < 0x80) return one();
  const missing = lead(byte);
  return missing === undefined ? undefined : to(missing);
}

function continued(byte: number, at: string, to: (at: string) => Node, one: () => Node) {
  const [low, high] = LIMITS[at[1]!] ?? [0x80, 0xbf];
  if (byte < low! || byte > high!) return undefined;
  const missing = Number(at[0]) - 1;
  return missing === 0 ? one() : to(String(missing));
}

/** What ends the character that was begun. */
function closing(at: string): string {
  if (at === "e") return "n";
  if (at[0] === "u") return "0".repeat(5 - at.length);
  if (at === "") return "";
  const first = LIMITS[at[1]!]?.[0] ?? 0x80;
  return String.fromCharCode(first) + "\x80".repeat(Number(at[0]) - 1);
}

/** Free text up to and with `end`, as sections have it. */
export function until(end: string): Node {
  const bytes = latin1(utf8.encode(end));
  return matched(bytes, 0, "");
}

/** `seen` bytes of `end` stand before; `at` as in strings, for characters of several bytes. */
function matched(end: string, seen: number, at: string): Node {
  return intern(`t${seen},${at},${end}`, () => ({
    step(byte) {
      if (at !== "") {
        return continued(byte, at, (next) => matched(end, 0, next), () => matched(end, 0, ""));
      }
      const text = end.slice(0, seen) + String.fromCharCode(byte);
      let most = Math.min(text.length, end.length);
      while (!text.endsWith(end.slice(0, most))) most--;
      if (most === end.length) return null;
      if (byte < 0x80) {
        return byte >= 0x20 || byte === 0x0a || byte === 0x09 ? matched(end, most, "") : undefined;
      }
      const missing = ANY(byte);
      return missing === undefined ? undefined : matched(end, 0, missing);
    },
    shortest: () => closing(at) + end.slice(seen),
  }));
}
