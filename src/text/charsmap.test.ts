import { expect, test } from "bun:test";
import { readCharsMap } from "./charsmap.ts";

/** A compiled character map of some entries: a double array placed first-fit. */
function compile(entries: Readonly<Record<string, string>>): string {
  interface Node {
    readonly next: Map<number, Node>;
    text?: string;
  }
  const root: Node = { next: new Map() };
  for (const [from, to] of Object.entries(entries)) {
    let node = root;
    for (const byte of new TextEncoder().encode(from)) {
      if (!node.next.has(byte)) node.next.set(byte, { next: new Map() });
      node = node.next.get(byte)!;
    }
    node.text = to;
  }
  const texts: number[] = [];
  const units: number[] = [0];
  const used = new Set([0]);
  const place = (node: Node, at: number) => {
    const labels = [...(node.text === undefined ? [] : [0]), ...node.next.keys()];
    let base = 1;
    while (labels.some((label) => used.has(base ^ label))) base++;
    for (const label of labels) used.add(base ^ label);
    units[at] = (units[at] ?? 0) | ((at ^ base) << 10) | (node.text === undefined ? 0 : 0x100);
    if (node.text !== undefined) {
      units[base] = (0x80000000 | texts.length) >>> 0;
      texts.push(...new TextEncoder().encode(node.text), 0);
    }
    for (const [label, child] of node.next) {
      units[base ^ label] = label;
      place(child, base ^ label);
    }
  };
  place(root, 0);
  const length = (Math.ceil(Math.max(...used) / 256) + 1) * 256;
  const trie = Uint32Array.from({ length }, (_, i) => units[i] ?? 0);
  const bytes = [...new Uint8Array(Uint32Array.of(trie.byteLength).buffer)];
  return Buffer.from([...bytes, ...new Uint8Array(trie.buffer), ...texts]).toString("base64");
}

const map = compile({ "①": "1", "ﬁ": "fi", "Ａ": "A", "\u0001": "", "e\u0301": "é", "\t": " " });

test("characters and short graphemes are replaced, everything else stays", () => {
  const normalize = readCharsMap(map);
  const cases: [string, string][] = [
    ["", ""],
    ["plain text\r\n", "plain text\r\n"],
    ["①ﬁ Ａa\tb", "1fi Aa b"],
    ["cafe\u0301 \u0001x", "café x"],
    ["e\u0301\u0327", "é"],
    ["🙂①👨‍👩‍👧\0ﬁ", "🙂1👨‍👩‍👧\0fi"],
  ];
  for (const [text, wanted] of cases) expect(normalize(text)).toBe(wanted);
  expect(readCharsMap("")("①")).toBe("①");
});

test("a damaged map is refused or changes nothing, and never hangs", () => {
  for (
    const bytes of [[1], [8, 0, 0, 0], [3, 0, 0, 0, 1, 2, 3], [0, 0, 0, 0], [255, 255, 255, 255]]
  ) {
    expect(() => readCharsMap(Buffer.from(bytes).toString("base64"))).toThrow("damaged");
  }
  const whole = Buffer.from(map, "base64");
  for (let at = 4; at < whole.length; at += 3) {
    const changed = Buffer.from(whole);
    changed[at]! ^= 0xff;
    try {
      expect(typeof readCharsMap(changed.toString("base64"))("①ﬁ Ａ e\u0301")).toBe("string");
    } catch (error) {
      expect(String(error)).toContain("damaged");
    }
  }
});
