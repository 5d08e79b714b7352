import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Tokenizer } from "../text/tokenizer.ts";
import { anyRow, kindOf } from "./kinds.ts";
import { prepareUnpaired, readUnpaired, type UnpairedExample } from "./unpaired.ts";

async function read(rows: readonly unknown[]) {
  const folder = mkdtempSync(join(tmpdir(), "whet-unpaired-")), path = join(folder, "rows.jsonl");
  writeFileSync(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  try {
    return await readUnpaired(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const talk = (role: string, content: string) => ({ role, content });

test("answers with a label, as texts, messages and ids; a pair is two of them", async () => {
  const { examples, identical } = await read([
    { prompt: "p", completion: "a", label: true },
    { prompt: [talk("user", "p")], completion: [talk("assistant", "b")], label: false },
    { prompt_ids: [1, 2], completion_ids: [3], label: true },
    { prompt: "p", chosen: "good", rejected: "bad" },
    { prompt: "p", chosen: "same", rejected: "same" },
  ]);
  expect(examples.map(({ line, wanted }) => [line, wanted])).toEqual([
    [1, true],
    [2, false],
    [3, true],
    [4, true],
    [4, false],
  ]);
  expect(examples[2]).toMatchObject({ ids: [1, 2, 3], labels: [-100, -100, 3] });
  expect(examples[4]).toMatchObject({ prompt: "p", answer: "bad" });
  expect(identical).toEqual(["Skipping identical pair at line 5"]);
});

test("what is no answer with a label is named", async () => {
  const bad = (row: unknown) => read([row]).then(() => "read", (error) => `${error.why}`);
  expect(await bad({ prompt: "p", completion: "a", label: 1 })).toContain("label must be true");
  expect(await bad({ prompt: "p", completion: " ", label: true })).toContain("completion is empty");
  expect(await bad({ prompt: "p", completion: "a" })).toContain(
    "missing required fields ['label']",
  );
  expect(await bad({ prompt_ids: [], completion_ids: [1], label: true })).toContain("prompt_ids");
});

test("each row gets the answer of the one before it, within a batch", () => {
  const example = (line: number, prompt: number[], answer: number[]): UnpairedExample => ({
    line,
    ids: [...prompt, ...answer],
    labels: [...prompt.map(() => -100), ...answer],
    wanted: line % 2 === 0,
  });
  const all = [
    example(0, [1, 2], [10]),
    example(1, [1, 3], [11, 12]),
    example(2, [1, 4, 5], [13]),
  ];
  const how = { name: "rows", maxSeq: 9, overlong: "error", share: false } as const;
  const none = undefined as unknown as Tokenizer;
  const { rows } = prepareUnpaired(all, none, { ...how, batch: 2 });
  expect(rows.map(({ ids }) => ids)).toEqual([
    [1, 2, 10, 1, 2, 11, 12],
    [1, 3, 11, 12, 1, 3, 10],
    [1, 4, 5, 13, 1, 4, 5, 13],
  ]);
  expect(rows.map(({ pair }) => pair.wanted)).toEqual([true, false, true]);
  expect(rows[0]!.labels).toEqual([-100, -100, 10, -100, -100, 11, 12]);
  const shared = prepareUnpaired(all, none, { ...how, share: true, batch: 2 }).rows;
  expect(shared[0]).toMatchObject({ ids: [1, 2, 10, 2, 11, 12], pair: { shared: 1, rejected: 3 } });
  const alone = prepareUnpaired(all, none, how).rows[1]!;
  expect(alone).toMatchObject({ ids: [1, 3, 11, 12], pair: { shared: 0, rejected: 4 } });
});

test("the data tools know such rows", () => {
  const row = { prompt: "p", completion: "a", label: false };
  expect(kindOf(row)).toBe("unpaired");
  expect(kindOf({ ...row, label: "x" })).toBe("sft");
  expect(anyRow({ value: row, line: 1, text: "" } as never, 0, "unpaired")).toMatchObject({
    kind: "unpaired",
    answer: "a",
  });
  const wrong = anyRow({ value: { ...row, label: 1 } } as never, 0, "unpaired");
  expect(wrong).toEqual({ problem: "label must be true or false" });
});
