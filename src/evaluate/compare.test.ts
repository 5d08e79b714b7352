import { expect, test } from "bun:test";
import { compare, verdict } from "./compare.ts";
import { judge } from "./judge.ts";

const how = { sections: [], thresholds: [0.9, 0.7, 0.5] as const };
/** One row for each letter: right where it is R. */
const rows = (right: string, slice = (_: number) => "all") =>
  [...right].map((one, i) =>
    judge({
      line: i,
      prompt: "",
      predicted: one === "R" ? '{"a":1,"b":1}' : '{"a":1,"b":2}',
      expected: '{"b":1,"a":1}',
      slices: { part: slice(i) },
    }, how)
  );

test("wins, ties, losses, and the tests of them", () => {
  const got = compare(rows("RRWWWWWWWW".repeat(10)), rows("RWRRRWWWWW".repeat(10)), 3);
  expect(got).toMatchObject({ n: 100, wins: 30, ties: 60, losses: 10 });
  expect(got.measures.exact_match).toMatchObject({ first: 0.2, second: 0.4 });
  expect(got.measures.exact_match!.mean).toBeCloseTo(0.2, 12);
  expect(got.measures.slot_f1!.mean).toBeCloseTo(0.1, 12);
  expect(got.measures.json_valid).toMatchObject({ mean: 0, interval: [0, 0], p: 1 });
  expect(got.measures.schema_valid).toBeUndefined();
  // Two-sided binomial: 2 P(X ≤ 10 | 40, 1/2), from tables.
  expect(got.p).toBeCloseTo(0.002221, 5);
  expect(got.slices.part!.all!.n).toBe(100);
  const said = verdict(got, ["A", "B"]);
  expect(said[0]).toMatch(
    /^B is better: 40\.0 % of the answers right, A 20\.0 %: \+20\.0 points \(95 % interval \+\d/,
  );
  expect(said[1]).toBe("B alone is right in 30, A alone in 10, both alike in 60.");
  expect(said).toHaveLength(2);
  const back = verdict(compare(rows("RWRRRWWWWW".repeat(10)), rows("RRWWWWWWWW".repeat(10))), [
    "A",
    "B",
  ]);
  expect(back[0]).toStartWith("A is better: 40.0 % of the answers right, B 20.0 %: −20.0 points");
});

test("few rows say that they are few, and how many would do", () => {
  const said = verdict(compare(rows("RRRRRWWWWW"), rows("RRRRRRWWWW")), ["A", "B"]);
  expect(said[0]).toContain("10 rows cannot tell them apart");
  expect(said[0]).toContain("p = 1 by McNemar");
  expect(said[2]).toContain("10 rows are few");
  // Deviation of the differences √0.1, so (1.96 + 0.8416) √(0.1/10) = 28 points, and (0.28/0.05)² · 10.
  expect(said[3]).toContain("28 points");
  expect(said[3]).toContain("about 314 rows");
});

test("no difference, nothing right at all, only slots", () => {
  expect(verdict(compare(rows("RRW"), rows("RRW")), ["A", "B"])[0])
    .toBe("Both have the same 2 rows of 3 right.");
  expect(verdict(compare(rows("WW"), rows("WW")), ["A", "B"])[0])
    .toBe("Neither gives one right answer to 2 rows.");
  const worse = rows("W".repeat(40)).map((row) => ({ ...row, f1: 0.1 }));
  expect(verdict(compare(worse, rows("W".repeat(40))), ["A", "B"])[0])
    .toContain("No answer is right as a whole; B has 50.0 % of the slots (F1) right, A 10.0 %");
});

test("no difference in a few rows promises little", () => {
  const said = verdict(compare(rows("R".repeat(20)), rows("R".repeat(20))), ["the base", "B"]);
  // 0.861^20 = 0.05
  expect(said).toContain("They may still differ in up to 13.9 % of all rows (95 %).");
});

test("a slice that goes the other way is named", () => {
  const part = (i: number) => i < 40 ? "most" : "some";
  const a = rows("W".repeat(40) + "R".repeat(12), part),
    b = rows("R".repeat(40) + "W".repeat(12), part);
  const said = verdict(compare(a, b), ["A", "B"]);
  expect(said[0]).toContain("B is better");
  expect(said.at(-1)).toContain("The other way round in part some (−100.0 points");
});
