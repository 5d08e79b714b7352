import { expect, test } from "bun:test";
import { readTriplet } from "./triplets.ts";

test("every form of a row", () => {
  const texts = { anchor: "a", positive: "p", negative: "n" };
  expect(readTriplet(texts, "triplet")).toEqual(texts);
  expect(readTriplet({ anchor: "a", positive: "p" }, "mnr")).toMatchObject({ positive: "p" });
  const ids = { anchor_ids: [1], positive_ids: [2, 3], negative_ids: [4] };
  expect(readTriplet(ids, "triplet")).toEqual({ anchor: [1], positive: [2, 3], negative: [4] });
  const pair = { sentence1: "a", sentence2: "b" };
  expect(readTriplet({ ...pair, label: 1 }, "contrastive")).toEqual({ anchor: "a", positive: "b" });
  expect(readTriplet({ ...pair, label: 0 }, "contrastive")).toEqual({ anchor: "a", negative: "b" });
});
test("what is wrong with a row is said", () => {
  const wrong = (row: unknown, loss: "triplet" | "mnr" | "contrastive" = "triplet") =>
    readTriplet(row, loss) as string;
  expect(wrong({ anchor: "a", positive: "p ", negative: "p" })).toContain("equals the negative");
  expect(wrong({ anchor_ids: [1], positive_ids: [2], negative_ids: [2] })).toContain("equals");
  expect(wrong({ anchor: "a", positive: "p" })).toContain("no negative");
  expect(wrong({ sentence1: "a", sentence2: "b", label: 0 }, "mnr")).toContain("no positive");
  expect(wrong({ sentence1: "a", sentence2: "b", label: "x" }, "contrastive")).toContain("0 or 1");
  expect(wrong({ anchor: "", positive: "p", negative: "n" })).toContain("anchor is empty");
  expect(wrong({ anchor_ids: [1.5], positive_ids: [2], negative_ids: [3] })).toContain("token ids");
  expect(wrong({ positive: "p", negative: "n" })).toContain("missing required fields anchor;");
  expect(wrong({ anchor: "a" })).toContain("missing required fields positive;");
  expect(wrong([1])).toContain("not an object");
});
