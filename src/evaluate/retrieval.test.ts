import { expect, test } from "bun:test";
import { found, searchMeasures, tripletAccuracy } from "./retrieval.ts";

const v = (...numbers: number[]) => Float32Array.from(numbers);

test("worked out by hand", () => {
  // Query 0 finds its two texts at ranks 1 and 3, query 1 its one text at rank 2.
  const queries = [v(1, 0), v(0, 1)];
  const corpus = [v(1, 0), v(0.9, 0.1), v(0.5, 0.5), v(0.1, 0.9)];
  const relevant = [[0, 2], [2]];
  const gain = (rank: number) => 1 / Math.log2(rank + 1);
  const got = searchMeasures({ queries, corpus, relevant });
  expect(got["recall@1"]).toBeCloseTo((1 / 2 + 0) / 2, 12);
  expect(got["recall@5"]).toBe(1);
  expect(got["mrr@10"]).toBeCloseTo((1 + 1 / 2) / 2, 12);
  const first = (gain(1) + gain(3)) / (gain(1) + gain(2));
  expect(got["ndcg@10"]).toBeCloseTo((first + gain(2)) / 2, 12);
});
test("embeddings that are all alike find nothing at once", () => {
  const same = Array.from({ length: 20 }, () => v(1, 2));
  const got = searchMeasures({ queries: [v(1, 2)], corpus: same, relevant: [[0]] });
  expect(got).toEqual({ "recall@1": 0, "recall@5": 0, "recall@10": 0, "mrr@10": 0, "ndcg@10": 0 });
  expect(tripletAccuracy([[v(1, 2), v(1, 2), v(1, 2)]])).toBe(0);
});
test("nearness by cosine, distance and product differ", () => {
  const triplet = [v(1, 0), v(1, 1), v(9, 0)] as const;
  expect(tripletAccuracy([triplet], "cosine")).toBe(0);
  expect(tripletAccuracy([triplet], "l2")).toBe(1);
  expect(tripletAccuracy([triplet], "dot")).toBe(0);
});

test("rows as places: an anchor with two positives, a negative that only stands in the way", () => {
  const made = [v(1, 0), v(0.9, 0.1), v(0.6, 0.4), v(0.8, 0.2), v(0, 1)];
  const got = found([[0, 1, 3], [0, 2, undefined], [4, undefined, 3]], made);
  // The anchor finds 1, then the negative 3, then 2.
  expect(got).toMatchObject({ "recall@1": 0.5, "recall@5": 1, "mrr@10": 1, accuracy: 1 });
  expect(found([[0, undefined, 1]], made)).toEqual({});
});
