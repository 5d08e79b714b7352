import { expect, test } from "bun:test";
import { datasetHash, leaks, looseRowHash, rowHash, tokensHash } from "./hash.ts";
import type { SftExample } from "./rows.ts";

const row = (line: number, prompt: string, answer = "b"): SftExample => ({ line, prompt, answer });

test("a dataset's hash sees content and order, not lines or the order of keys", () => {
  const rows = [row(1, "x"), row(2, "y")];
  expect(datasetHash(rows)).toMatch(/^[0-9a-f]{64}$/);
  expect(datasetHash([row(5, "x"), { answer: "b", prompt: "y", line: 9 }])).toBe(datasetHash(rows));
  expect(datasetHash(rows.toReversed())).not.toBe(datasetHash(rows));
  expect(datasetHash([row(1, "x"), row(2, "z")])).not.toBe(datasetHash(rows));
  expect(datasetHash([{ line: 1, text: "xy" }])).not.toBe(datasetHash([{ line: 1, text: "x" }]));
  const ids = (label: number): SftExample => ({ line: 1, ids: [1, 2], labels: [-100, label] });
  expect(datasetHash([ids(2)])).not.toBe(datasetHash([ids(3)]));
});

test("the hash of tokens sees ids, labels, and where a row ends", () => {
  const rows = [{ ids: [1, 2], labels: [-100, 2] }, { ids: [3], labels: [3] }];
  expect(tokensHash(rows)).toBe(tokensHash(structuredClone(rows)));
  const others = [
    rows.toReversed(),
    [{ ids: [1, 2], labels: [1, 2] }, rows[1]!],
    [{ ids: [1], labels: [2] }, { ids: [-100], labels: [2] }, rows[1]!],
    [{ ids: [1, 2, 3], labels: [-100, 2, 3] }],
  ];
  expect(new Set([rows, ...others].map(tokensHash)).size).toBe(5);
});

test("near copies share the loose hash only", () => {
  const [a, b] = [row(1, "Add  the\tnote"), row(2, " add the note ")];
  expect(rowHash(a)).not.toBe(rowHash(b));
  expect(looseRowHash(a)).toBe(looseRowHash(b));
  expect(looseRowHash(a)).not.toBe(looseRowHash(row(3, "add a note")));
  const turn = (content: string): SftExample => ({
    line: 1,
    messages: [{ role: "user", content }],
  });
  expect(looseRowHash(turn("HI"))).toBe(looseRowHash(turn("hi ")));
});

test("leaks finds exact and near copies with their lines", () => {
  const train = Array.from({ length: 200 }, (_, i) => row(i + 1, `request ${i}`));
  const held = [row(1, "request 17"), row(2, "Request  30"), row(3, "another")];
  expect(leaks(train, held)).toEqual({ exact: [[18, 1]], near: [[31, 2]] });
});
