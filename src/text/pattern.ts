import { Exit, Fail } from "../base/fail.ts";

/** White space as Unicode and Rust define it; JavaScript's \s has U+FEFF and lacks U+0085. */
const space = "\\p{White_Space}";
/** Oniguruma's word characters: of the other numbers only those of Latin-1 ("½"). */
const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\u00b2\u00b3\u00b9\u00bc-\u00be";
/** The \w of Rust's regular expressions, for the inside of a class. */
export const rustWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
/** What a letter after a backslash stands for inside a class. */
const classes: Readonly<Record<string, string>> = {
  s: space,
  S: "\\P{White_Space}",
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  w: word,
  h: "0-9A-Fa-f",
};
const controls = "tnrfv";
const names: Readonly<Record<string, string>> = {
  Alpha: "Alphabetic",
  Digit: "Nd",
  Punct: "P",
  Space: "White_Space",
  Upper: "Lu",
  Lower: "Ll",
};
const longest = 65_536;
const deepest = 64;

const refused = (pattern: string, why: string, cause?: unknown): Fail =>
  new Fail("a pattern of the tokenizer cannot be used", {
    why: `${why}, in ${JSON.stringify(pattern.slice(0, 120))}`,
    fix: "use the tokenizer files that belong to the model",
    exit: Exit.data,
    cause,
  });

/** A name inside \p{…}: scripts have to be called so in JavaScript. */
function property(name: string): string {
  const known = names[name] ?? name;
  try {
    new RegExp(`\\p{${known}}`, "u");
    return known;
  } catch {
    return `Script=${known}`;
  }
}

/**
 * A regular expression of the Oniguruma and Rust family, as tokenizer.json has them, for
 * JavaScript: white space, digits and words by Unicode, scripts by name, possessive quantifiers and
 * atomic groups (both as a lookahead that is taken over by reference).
 *
 * @throws Fail when it uses what JavaScript cannot do
 */
export function compilePattern(pattern: string): RegExp {
  if (pattern.length > longest) throw refused(pattern, "it is longer than 64 KiB");
  let at = 0;
  let atomics = 0;
  const atomic = (inner: string): string => {
    const name = `atomic${atomics++}`;
    return `(?:(?=(?<${name}>${inner}))\\k<${name}>)`;
  };

  const escape = (inClass: boolean): string => {
    const letter = pattern[at + 1];
    if (letter === undefined) throw refused(pattern, "it ends in a backslash");
    at += 2;
    if ((letter === "p" || letter === "P") && pattern[at] === "{") {
      const end = pattern.indexOf("}", at);
      if (end < 0) throw refused(pattern, "a property has no end");
      const written = pattern.slice(at + 1, end);
      at = end + 1;
      const negated = written.startsWith("^") !== (letter === "P");
      return `\\${negated ? "P" : "p"}{${property(written.replace(/^\^/, ""))}}`;
    }
    if (letter === "x") {
      const found = /^(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))/.exec(pattern.slice(at));
      if (found === null) throw refused(pattern, "a code after \\x is not hexadecimal");
      at += found[0].length;
      return `\\u{${found[1] ?? found[2]}}`;
    }
    if (letter === "u") {
      const found = /^[0-9A-Fa-f]{4}/.exec(pattern.slice(at));
      if (found === null) throw refused(pattern, "a code after \\u is not hexadecimal");
      at += 4;
      return `\\u${found[0]}`;
    }
    if (Object.hasOwn(classes, letter)) {
      const inside = classes[letter]!;
      return inClass || inside.startsWith("\\P") ? inside : `[${inside}]`;
    }
    if (letter === "W" && !inClass) return `[^${word}]`;
    if (controls.includes(letter)) return `\\${letter}`;
    if (!inClass && letter === "A") return "(?<![\\s\\S])";
    if (!inClass && letter === "z") return "(?![\\s\\S])";
    if (!inClass && letter === "b") {
      return `(?:(?<=[${word}])(?![${word}])|(?<![${word}])(?=[${word}]))`;
    }
    if (/[A-Za-z0-9]/.test(letter)) throw refused(pattern, `\\${letter} is not known`);
    return literal(letter);
  };

  const set = (depth: number): string => {
    if (depth > deepest) throw refused(pattern, "its classes are nested too deeply");
    let out = "[";
    at++;
    if (pattern[at] === "^") {
      out += "^";
      at++;
    }
    /** Whether a hyphen here would make a range with the character before it. */
    let open = false;
    for (let first = true;; first = false) {
      const char = pattern[at];
      if (char === undefined) throw refused(pattern, "a class has no end");
      if (char === "]" && !first) break;
      if (char === "&" && pattern[at + 1] === "&") throw refused(pattern, "it has an intersection");
      if (char === "[") {
        out += set(depth + 1);
        open = false;
      } else if (char === "\\") {
        const escaped = escape(true);
        out += escaped;
        open = !/^(?:\\[pP]|0-9)/.test(escaped);
      } else if (char === "-" && open && pattern[at + 1] !== "]") {
        out += "-";
        at++;
        open = false;
      } else {
        const point = String.fromCodePoint(pattern.codePointAt(at)!);
        out += literal(point);
        at += point.length;
        open = true;
      }
    }
    at++;
    return `${out}]`;
  };

  const quantifier = (): string => {
    const found = /^(?:[*+?]|\{\d*,?\d*\})/.exec(pattern.slice(at, at + 24))?.[0];
    if (found === undefined || found === "{}" || found === "{,}") return "";
    at += found.length;
    return found.replace(/^\{,/, "{0,");
  };

  const sequence = (depth: number): string => {
    if (depth > deepest) throw refused(pattern, "its groups are nested too deeply");
    let out = "";
    while (at < pattern.length && pattern[at] !== ")") {
      const char = pattern[at]!;
      let atom: string;
      if (char === "(") atom = group(depth);
      else if (char === "[") atom = set(depth);
      else if (char === "\\") atom = escape(false);
      else if ("*+?".includes(char)) throw refused(pattern, "it repeats nothing");
      else {
        const point = String.fromCodePoint(pattern.codePointAt(at)!);
        at += point.length;
        if (point === "^" || point === "$" || point === "|" || point === ".") {
          // In Oniguruma ^ and $ are about lines, and the dot is everything but a line feed.
          atom = { "^": "(?<![^\\n])", "$": "(?![^\\n])", "|": "|", ".": "[^\\n]" }[point];
          if (point === "|") {
            out += atom;
            continue;
          }
        } else atom = literal(point);
      }
      const times = quantifier();
      if (times !== "" && pattern[at] === "+" && !times.startsWith("{")) {
        at++;
        out += atomic(atom + times);
      } else if (times !== "" && pattern[at] === "?") {
        at++;
        out += `${atom}${times}?`;
      } else out += atom + times;
    }
    return out;
  };

  const group = (depth: number): string => {
    const opening =
      /^\((?:\?(?::|=|!|<=|<!|>|[imsx-]+:|<[A-Za-z]\w*>))?/.exec(pattern.slice(at))![0];
    if (opening === "(" && pattern[at + 1] === "?") throw refused(pattern, "a group is not known");
    if (/[mx]/.test(/^\(\?([imsx-]+):/.exec(opening)?.[1] ?? "")) {
      throw refused(pattern, "a group's options are not known");
    }
    at += opening.length;
    const inner = sequence(depth + 1);
    if (pattern[at] !== ")") throw refused(pattern, "a group has no end");
    at++;
    if (opening === "(?>") return atomic(inner);
    return `${
      opening === "(" || opening.startsWith("(?<") && !/[=!]$/.test(opening) ? "(?:" : opening
    }${inner})`;
  };

  const source = sequence(0);
  if (at < pattern.length) throw refused(pattern, "a group has no beginning");
  try {
    return new RegExp(source, "gv");
  } catch (cause) {
    throw refused(pattern, String(cause), cause);
  }
}

/** A character that stands for itself, inside a class and outside. */
function literal(char: string): string {
  return /^[\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]$/.test(char)
    ? `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`
    : char;
}

/** A pattern of tokenizer.json: {"String": "…"} or {"Regex": "…"}. */
export function patternOf(value: unknown): RegExp {
  const { String: text, Regex } = (value ?? {}) as { String?: unknown; Regex?: unknown };
  if (typeof Regex === "string") return compilePattern(Regex);
  const plain = typeof value === "string" ? value : text;
  if (typeof plain === "string") return new RegExp(Array.from(plain, literal).join(""), "gv");
  throw refused(JSON.stringify(value) ?? "nothing", "a pattern is neither String nor Regex");
}
