import { either, literal, type Node, oneOf, repeat, sequence } from "./nodes.ts";

const PRINTABLE = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join("");
const CLASSES: Readonly<Record<string, string>> = {
  d: "0123456789",
  w: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz",
  s: " ",
};
const SPECIAL = "\\^$.|?*+()[]{}";

/**
 * A JSON string that matches a regular expression, with its quotes: alternatives, groups, classes,
 * repetition, `^` at the beginning and `$` at the end; characters of sets are printable ASCII.
 */
export function pattern(source: string): { node: Node } | { problem: string } {
  try {
    const open = !source.startsWith("^"), free = !/(^|[^\\])(\\\\)*\$$/.test(source);
    const inner = source.slice(open ? 0 : 1, free ? undefined : -1);
    const reader = new Reader(inner);
    const body = reader.alternatives();
    if (reader.left !== "") {
      throw new Unread(`")" at ${JSON.stringify(reader.left.slice(0, 12))} closes nothing`);
    }
    const any = repeat(characters(PRINTABLE), 0, undefined);
    return {
      node: sequence([
        literal('"'),
        ...open ? [any] : [],
        body,
        ...free ? [any] : [],
        literal('"'),
      ]),
    };
  } catch (error) {
    if (error instanceof Unread) {
      return { problem: `pattern ${JSON.stringify(source)} cannot be kept: ${error.message}` };
    }
    throw error;
  }
}

class Unread extends Error {}

/** One of some characters, as JSON writes them in a string. */
function characters(set: string): Node {
  const plain = set.replace(/["\\]/g, "");
  return either([
    ...plain === "" ? [] : [oneOf(plain)],
    ...[...'"\\'].filter((c) => set.includes(c)).map((c) =>
      literal(JSON.stringify(c).slice(1, -1))
    ),
  ]);
}

class Reader {
  #at = 0;

  constructor(readonly source: string) {}

  get left(): string {
    return this.source.slice(this.#at);
  }

  alternatives(): Node {
    const ways = [this.#terms()];
    while (this.#eat("|")) ways.push(this.#terms());
    return either(ways);
  }

  #eat(text: string): boolean {
    if (!this.source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #terms(): Node {
    const parts: Node[] = [];
    while (this.#at < this.source.length && !"|)".includes(this.source[this.#at]!)) {
      parts.push(this.#repeated(this.#one()));
    }
    return parts.length === 0 ? literal("") : sequence(parts);
  }

  #repeated(node: Node): Node {
    const many = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})/.exec(this.left);
    if (!many) return node;
    this.#at += many[0].length;
    if (this.#eat("?") || this.#eat("+")) {
      // Lazy or not, the same texts match.
    }
    const [, sign, least, comma, most] = many;
    if (sign) return repeat(node, sign === "+" ? 1 : 0, sign === "?" ? 1 : undefined);
    const from = Number(least), to = comma === "" ? from : most === "" ? undefined : Number(most);
    if (from > 1000 || (to ?? 0) > 1000) throw new Unread("it repeats more than 1000 times");
    return repeat(node, from, to);
  }

  #one(): Node {
    if (this.#eat("(?:") || (!this.source.startsWith("(?", this.#at) && this.#eat("("))) {
      const inside = this.alternatives();
      if (!this.#eat(")")) throw new Unread("a group is not closed");
      return inside;
    }
    if (this.source.startsWith("(?", this.#at)) {
      throw new Unread(`${this.left.slice(0, 3)} looks around or names a group`);
    }
    if (this.#eat("[")) return characters(this.#set());
    if (this.#eat(".")) return characters(PRINTABLE);
    const c = String.fromCodePoint(this.source.codePointAt(this.#at)!);
    if (c === "\\") {
      this.#at++;
      return characters(this.#escape());
    }
    if ("^$*+?{}]".includes(c)) throw new Unread(`${c} in the middle`);
    this.#at += c.length;
    return literal(JSON.stringify(c).slice(1, -1));
  }

  /** The characters of a class escape or an escaped character. */
  #escape(): string {
    const c = this.source[this.#at++];
    if (c === undefined) throw new Unread("it ends in a backslash");
    if (CLASSES[c]) return CLASSES[c]!;
    const lower = c.toLowerCase();
    if (c !== lower && CLASSES[lower]) return without(CLASSES[lower]!);
    if (SPECIAL.includes(c) || "/-\"'@:,;#&=!<>%~` ".includes(c)) return c;
    throw new Unread(`\\${c}`);
  }

  #set(): string {
    const negative = this.#eat("^");
    let set = "";
    while (!this.#eat("]")) {
      const first = this.#member();
      if (
        first.length === 1 && this.source[this.#at] === "-" && this.source[this.#at + 1] !== "]"
      ) {
        this.#at++;
        const last = this.#member();
        if (last.length !== 1 || last < first) throw new Unread(`the range ${first}-${last}`);
        for (let code = first.charCodeAt(0); code <= last.charCodeAt(0); code++) {
          set += String.fromCharCode(code);
        }
      } else set += first;
    }
    if (/[^ -~]/.test(set)) throw new Unread("a set with characters outside printable ASCII");
    const chosen = negative ? without(set) : set;
    if (chosen === "") throw new Unread("an empty set");
    return chosen;
  }

  #member(): string {
    const c = this.source[this.#at];
    if (c === undefined) throw new Unread("a set is not closed");
    this.#at++;
    return c === "\\" ? this.#escape() : c;
  }
}

const without = (set: string) => [...PRINTABLE].filter((c) => !set.includes(c)).join("");
