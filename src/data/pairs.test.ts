import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { truncated } from "../architectures/packed.ts";
import { encodeExample } from "../text/prompt.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { joined, preparePairs, readPairs } from "./pairs.ts";

const tokenizer = await loadTokenizer(join(import.meta.dir, "../../models/micro"));
const folder = mkdtempSync(join(tmpdir(), "whet-pairs-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function pairs(...rows: object[]) {
  const path = join(folder, "pairs.jsonl");
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  return (await readPairs(path)).examples;
}
const options = { name: "pairs", maxSeq: 64, overlong: "error" as const, share: false };
const row = { prompt: "water bed 3", chosen: " yes, bed 3", rejected: " no" };

test("each answer is tokenised as a supervised row, with its end token", async () => {
  const { rows: [made] } = preparePairs(await pairs(row), tokenizer, options);
  const [chosen, rejected] = [row.chosen, row.rejected].map((answer) =>
    encodeExample(tokenizer, { prompt: row.prompt, answer })
  );
  expect(made!.ids).toEqual([...chosen!.ids, ...rejected!.ids]);
  expect(made!.pair).toEqual({ shared: 0, rejected: chosen!.ids.length });
  expect(made!.targets).toBe(chosen!.supervised + rejected!.supervised);
  expect(made!.ids.at(-1)).toBe(tokenizer.eos!);
});

test("all of the prompt but its last token is shared", async () => {
  const examples = await pairs(row);
  const { rows: [once] } = preparePairs(examples, tokenizer, { ...options, share: true });
  const { rows: [twice] } = preparePairs(examples, tokenizer, options);
  const prompt = tokenizer.encode(row.prompt).length, { shared, rejected } = once!.pair;
  expect(shared).toBe(prompt - 1);
  expect(once!.targets).toBe(twice!.targets);
  expect([...once!.ids.slice(0, shared), ...once!.ids.slice(rejected)])
    .toEqual(twice!.ids.slice(rejected));
  expect(once!.labels[rejected]).toBe(-100);
});

test("the limit holds for each sequence: refused, left out or cut", async () => {
  const long = { ...row, chosen: row.chosen.repeat(8) }, examples = await pairs(row, long);
  const limit = { ...options, maxSeq: 24 };
  expect(() => preparePairs(examples, tokenizer, limit)).toThrow("1 of 2 rows");
  const dropped = preparePairs(examples, tokenizer, { ...limit, overlong: "drop" });
  expect(dropped.rows.map(({ line }) => line)).toEqual([1]);
  expect(dropped.report).toMatchObject({ overlong: 1, dropped: 1 });
  const cut = preparePairs(examples, tokenizer, { ...limit, overlong: "truncate" });
  expect(cut.rows[1]!.pair.rejected).toBe(24);
  expect(cut.report).toMatchObject({ overlong: 1, dropped: 0, endsLost: 1 });
});

test("a row cut afterwards is the row of the cut answers", () => {
  const one = (n: number, from: number) => ({
    ids: [1, 2, 3, 4, ...Array.from({ length: n }, (_, i) => from + i)],
    labels: [-100, -100, -100, -100, ...Array.from({ length: n }, (_, i) => from + i)],
  });
  const short = ({ ids, labels }: ReturnType<typeof one>, n: number) => ({
    ids: ids.slice(0, n),
    labels: labels.slice(0, n),
  });
  for (const share of [false, true]) {
    for (const most of [5, 7, 9, 20]) {
      const [a, b] = [one(6, 10), one(4, 30)], whole = joined(1, a, b, share);
      const { ids, labels, pair } = truncated(whole, most);
      const want = joined(1, short(a, most), short(b, most), share);
      expect({ ids, labels, pair })
        .toEqual({ ids: [...want.ids], labels: [...want.labels], pair: want.pair });
    }
  }
});

test("forms are told apart, and broken rows refused by line", async () => {
  const ids = { prompt_ids: [5, 6], chosen_ids: [7], rejected_ids: [8, 9] };
  const [example] = await pairs(ids);
  expect(example).toMatchObject({ ids: [5, 6, 7], labels: [-100, -100, 7] });
  expect(example!.rejected).toEqual({ ids: [5, 6, 8, 9], labels: [-100, -100, 8, 9] });
  expect(pairs({ ...ids, chosen_ids: [] })).rejects.toThrow("1 of 1 rows");
  expect(pairs({ chosen: [{ role: "user", content: "a" }], rejected: [] })).rejects.toThrow();
  expect(pairs({ ...row, rejected: row.chosen })).rejects.toThrow("Insufficient preference pairs");
});
