import { expect, test } from "bun:test";
import { noise } from "../../kernels/check.ts";
import { Checker } from "./check.ts";
import { Lengths } from "./lengths.ts";
import { BINS, hashOf, SeenTexts, sign, similarity, SimilarRows } from "./similar.ts";
import { splitGroups } from "./split_groups.ts";

const next = noise(5);
const below = (n: number) => Math.floor((next() + 1) / 2 * n);
const vocabulary = Array.from(
  { length: 500 },
  () => Array.from({ length: 3 + below(6) }, () => String.fromCharCode(97 + below(26))).join(""),
);
const words = (n: number) => Array.from({ length: n }, () => vocabulary[below(500)]!);
const signature = (text: string) => {
  const out = new Uint8Array(BINS);
  sign(text, out);
  return out;
};

/** The share of runs of five characters that two texts have in common, counted. */
function jaccard(a: string, b: string): number {
  const runs = (t: string) =>
    new Set(Array.from({ length: t.length - 4 }, (_, i) => t.slice(i, i + 5)));
  const [x, y] = [runs(a), runs(b)];
  const common = [...x].filter((run) => y.has(run)).length;
  return common / (x.size + y.size - common);
}

test("signatures estimate the share of common runs: no bias, error about 0.05", () => {
  let [sum, squares, n] = [0, 0, 0];
  for (let i = 0; i < 400; i++) {
    const one = words(60);
    const other = one.map((word) => below(20) < i % 8 ? vocabulary[below(500)]! : word);
    const [a, b] = [one.join(" "), other.join(" ")];
    const error = similarity(signature(a), 0, signature(b), 0) - jaccard(a, b);
    [sum, squares, n] = [sum + error, squares + error * error, n + 1];
  }
  expect(Math.abs(sum / n)).toBeLessThan(0.015);
  expect(Math.sqrt(squares / n)).toBeLessThan(0.07);
});

test("case and spaces make no difference, other words do", () => {
  const text = words(40).join(" ");
  expect(
    similarity(signature(text), 0, signature(`  ${text.toUpperCase().replace(/ /g, " \t\n")} `), 0),
  ).toBe(1);
  expect(similarity(signature("Über Äpfel"), 0, signature("über äpfel"), 0)).toBe(1);
  expect(similarity(signature(text), 0, signature(words(40).join(" ")), 0)).toBeLessThan(0.4);
  for (const short of ["", "a", "abcd", "abcde"]) expect(signature(short)).toHaveLength(BINS);
});

test("of copies with two words in a hundred changed nearly all are found, of others none", () => {
  const rows = new SimilarRows(0.8, 1e6);
  const originals = Array.from({ length: 3000 }, () => words(100));
  originals.forEach((row, i) => rows.add(signature(row.join(" ")), i + 1));
  let found = 0;
  for (let i = 0; i < 500; i++) {
    const copy = [...originals[i * 6]!];
    copy[10] = copy[70] = "changed";
    if (rows.find(signature(copy.join(" "))) === i * 6 + 1) found++;
    expect(rows.find(signature(words(100).join(" ")))).toBeUndefined();
  }
  expect(found).toBeGreaterThan(490);
});

test("texts seen are known by the line they first stood on, up to the limit", () => {
  const seen = new SeenTexts(10_000);
  for (let i = 1; i <= 10_000; i++) expect(seen.seen(hashOf(`text ${i}`), i)).toBeUndefined();
  for (let i = 1; i <= 10_000; i += 7) expect(seen.seen(hashOf(`text ${i}`), 99_999)).toBe(i);
  expect(seen.full).toBe(true);
  expect(seen.seen(hashOf("new"), 1)).toBeUndefined();
  expect(seen.lineOf(hashOf("new"))).toBeUndefined();
});

test("a checker tells copies, near copies, contradictions and leaks apart", () => {
  const checker = new Checker();
  const [a, b] = [words(60), words(60)];
  const row = (prompt: string, completion: string, line: number) =>
    checker.row({ line, text: "", value: { prompt, completion } });
  expect(row(a.join(" "), "yes", 1).copyOf).toBeUndefined();
  expect(row(b.join(" "), "yes", 2).nearTo).toBeUndefined();
  expect(row(a.join(" "), "yes", 3)).toMatchObject({ copyOf: 1 });
  expect(row([...a.slice(0, 59), "other"].join(" "), "yes", 4)).toMatchObject({ nearTo: 1 });
  expect(row(b.join(" "), "no", 5)).toMatchObject({ nearTo: 2, contradicts: 2 });
  expect(checker.report().counts).toEqual({
    bad: 0,
    copies: 1,
    near: 2,
    contradictions: 1,
    leaked: 0,
  });
});

test("diversity is 0 for copies, and falls as rows resemble each other", () => {
  const of = (texts: string[]) => {
    const checker = new Checker();
    texts.forEach((text, i) => checker.row({ line: i + 1, text: "", value: { text } }));
    return checker.report().diversity!;
  };
  expect(of(Array<string>(50).fill("the same text"))).toBe(0);
  const free = of(Array.from({ length: 50 }, () => words(20).join(" ")));
  const moulded = of(
    Array.from({ length: 50 }, () => `please tell me now about ${words(1)} at once, will you`),
  );
  expect(free).toBeGreaterThan(0.75);
  expect(moulded).toBeLessThan(0.5);
});

test("lengths: quantiles, rows above a limit, bins that hold every row once", () => {
  const lengths = new Lengths();
  for (let i = 1; i <= 100; i++) lengths.add(i);
  expect([lengths.quantile(0.5), lengths.quantile(0.95), lengths.longest]).toEqual([50, 95, 100]);
  expect(lengths.over(90)).toBe(10);
  expect(lengths.bins().reduce((sum, { count }) => sum + count, 0)).toBe(100);
  expect(lengths.bins(10)[0]).toEqual({ from: 0, to: 10, count: 10 });
});

test("equal rows are on one side of a split, every row on exactly one", () => {
  const keys = Array.from({ length: 200 }, (_, i) => `${i % 150}`);
  for (const tail of [false, true]) {
    const { train, val, moved } = splitGroups(keys, 0.1, { seed: 3, tail });
    expect([...train, ...val].sort((a, b) => a - b)).toEqual([...keys.keys()]);
    const trained = new Set(train.map((row) => keys[row]));
    expect(val.some((row) => trained.has(keys[row]!))).toBe(false);
    expect([val.length, moved]).toEqual(tail ? [0, 20] : [20, 0]);
  }
  const plain = Array.from({ length: 100 }, (_, i) => `${i}`);
  expect(splitGroups(plain, 0.1, { seed: 1, tail: true }).val).toEqual([
    90,
    91,
    92,
    93,
    94,
    95,
    96,
    97,
    98,
    99,
  ]);
  expect(splitGroups(plain, 0.1, { seed: 1 })).toEqual(splitGroups(plain, 0.1, { seed: 1 }));
  expect(splitGroups(plain, 0.1, { seed: 1 }).val).not.toEqual(
    splitGroups(plain, 0.1, { seed: 2 }).val,
  );
});
