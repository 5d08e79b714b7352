import { rustWord } from "./pattern.ts";
import type { AddedToken } from "./tokenizer_json.ts";

/** A stretch of a text: an added token, or text between them. */
export interface Stretch {
  readonly text: string;
  readonly start: number;
  readonly id?: number;
}

/** A range of a text in which special tokens are not looked for. */
export type Range = readonly [start: number, end: number];

interface Node {
  readonly next: Map<number, Node>;
  token?: AddedToken;
}

const wordStart = new RegExp(`^[${rustWord}]`, "u");
const wordEnd = new RegExp(`[${rustWord}]$`, "u");
const isSpace = (char: string | undefined) => char !== undefined && /\p{White_Space}/u.test(char);

/**
 * Finds added tokens in a text: the leftmost, of these the longest. Tokens with `single_word` need
 * no word characters around them; `lstrip` and `rstrip` take the white space beside them along.
 */
export function createFinder(
  tokens: readonly AddedToken[],
  contentOf: (token: AddedToken) => string,
): (text: string, plain?: readonly Range[]) => Stretch[] {
  const root: Node = { next: new Map() };
  const begins = new Uint8Array(65_536);
  for (const token of tokens) {
    const content = contentOf(token);
    if (content === "") continue;
    begins[content.charCodeAt(0)] = 1;
    let node = root;
    for (let i = 0; i < content.length; i++) {
      const unit = content.charCodeAt(i);
      let child = node.next.get(unit);
      if (child === undefined) node.next.set(unit, child = { next: new Map() });
      node = child;
    }
    node.token = token;
  }
  const longest = (text: string, at: number): [AddedToken, number] | undefined => {
    let node: Node | undefined = root;
    let found: [AddedToken, number] | undefined;
    for (let end = at; end < text.length;) {
      node = node.next.get(text.charCodeAt(end++));
      if (node === undefined) break;
      if (node.token !== undefined) found = [node.token, end];
    }
    return found;
  };

  return (text, plain = []) => {
    const out: Stretch[] = [];
    let done = 0;
    const upTo = (end: number) => {
      if (done < end) out.push({ text: text.slice(done, end), start: done });
    };
    for (let at = 0; at < text.length;) {
      const found = begins[text.charCodeAt(at)] === 1 ? longest(text, at) : undefined;
      if (found === undefined) {
        at++;
        continue;
      }
      let start = at;
      const token = found[0];
      let end = at = found[1];
      if (token.special && plain.some(([from, to]) => start < to && end > from)) continue;
      if (token.singleWord) {
        // Two units are enough to see a character beyond U+FFFF.
        const before = text.slice(Math.max(0, start - 2), start);
        if (wordEnd.test(before) || wordStart.test(text.slice(end, end + 2))) continue;
      }
      if (token.lstrip) { while (start > done && isSpace(text[start - 1])) start--; }
      if (token.rstrip) { while (isSpace(text[end])) end++; }
      upTo(start);
      out.push({ text: text.slice(start, end), start, id: token.id });
      done = end;
    }
    upTo(text.length);
    return out;
  };
}
