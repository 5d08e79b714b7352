import { describe, expect, test } from "bun:test";
import {
  beside,
  columns,
  editDistance,
  excerpt,
  humanBytes,
  humanSeconds,
  parseBytes,
  progressBar,
  short,
  sparkline,
  suggest,
  thousands,
  wrap,
} from "./text.ts";

describe("suggest", () => {
  const flags = ["--rank", "--alpha", "--learning-rate", "--lr", "--max-seq"];
  test.each([
    ["--rnak", "--rank"],
    ["--alhpa", "--alpha"],
    ["--learning-rte", "--learning-rate"],
    ["--max_seq", "--max-seq"],
  ])("%s is meant to be %s", (typed, meant) => expect(suggest(typed, flags)).toBe(meant));
  test("says nothing where nothing is near", () => {
    expect(suggest("--banana", flags)).toBeUndefined();
    expect(suggest("zz", ["ab"])).toBeUndefined();
  });
  test("a swap of neighbours is one edit", () => expect(editDistance("ab", "ba")).toBe(1));
  test("distance of unlike words", () => expect(editDistance("kitten", "sitting")).toBe(3));
});

test("sizes as they are typed", () => {
  expect(
    ["16GB", "16 gb", "16G", "16GiB", "1.5GiB", "8e9", "8000000000", "900 MB", "3MB"].map(
      parseBytes,
    ),
  )
    .toEqual([16e9, 16e9, 16e9, 2 ** 34, 1.5 * 2 ** 30, 8e9, 8e9, 9e8, 3e6]);
  for (
    const none of ["banana", "", "0", "0GB", "16", "-3GB", "GB", "1e99", "16GBB", "NaN", "3XB"]
  ) {
    expect(parseBytes(none)).toBeUndefined();
  }
});

test("sizes and times", () => {
  expect([0, 17, 1023, 1024, 1536, 320_000, 1.5 * 2 ** 30, 100 * 2 ** 20].map(humanBytes)).toEqual([
    "0 B",
    "17 B",
    "1023 B",
    "1.00 KiB",
    "1.50 KiB",
    "313 KiB",
    "1.50 GiB",
    "100 MiB",
  ]);
  expect([0.84, 42, 59.7, 185, 3599.6, 7630, 97_200].map(humanSeconds)).toEqual([
    "0.8 s",
    "42 s",
    "1 min 00 s",
    "3 min 05 s",
    "1 h 00 min",
    "2 h 07 min",
    "1 d 3 h",
  ]);
  expect(humanSeconds(Infinity)).toBe("?");
  expect(thousands(12_345_678)).toBe("12,345,678");
  expect([2e-4, 1.25, 0.05, 1e6, 123456, NaN].map(short)).toEqual([
    "2e-4",
    "1.25",
    "0.05",
    "1e6",
    "123500",
    "NaN",
  ]);
});

test("sparkline and bar", () => {
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7])).toBe("▁▂▃▄▅▆▇█");
  expect(sparkline([3, 3, 3])).toBe("▁▁▁");
  expect(sparkline([])).toBe("");
  expect(sparkline([1, NaN, 2], 8, true)).toBe("_@");
  expect(sparkline(Array.from({ length: 100 }, (_, i) => -i), 4)).toHaveLength(4);
  expect(progressBar(0.5, 4)).toBe("██░░");
  expect(progressBar(7, 4, true)).toBe("####");
});

test("lines", () => {
  expect(excerpt("a\n\tb\u0000c", 80)).toBe("a b c");
  expect(excerpt("x".repeat(100), 10)).toBe("xxxxxxxxx…");
  expect(columns([["a", "1"], ["long", "22"]], [1])).toBe("a      1\nlong  22");
  expect(wrap("one two three", 7)).toEqual(["one two", "three"]);
});

test("two texts beside each other keep their lines and indents; wide characters count twice", () => {
  expect(beside("one two three\n  in", "日本語 four\nabcdefghij", 19).split("\n")).toEqual([
    "one two  │ 日本語",
    "three    │ four",
    "  in     │ abcdefgh",
    "         │ ij",
  ]);
  expect(beside("", "a", 19)).toBe("         │ a");
});
