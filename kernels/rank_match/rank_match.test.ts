import { expect, test } from "bun:test";
import { checkKernel, noise } from "../check.ts";
import { rankMatchOp } from "./rank_match.ts";

for (const answers of [false, true]) {
  for (const P of [1, 2, 9, 65, 130]) {
    test(`rank_match: ${P} pairs${answers ? ", answers" : ""}`, async () => {
      const next = noise(P), none = (p: number) => p % 7 === 5;
      const data = (size: number) =>
        Array.from({ length: 2 * P }, (_, i) => {
          if (none(i >> 1)) return NaN;
          return i % 11 === 0 ? size : Math.fround(size + next()); // some are equal
        });
      await checkKernel({
        op: rankMatchOp,
        attrs: { answers },
        inputs: [
          { shape: [2 * P, 1], data: data(4) },
          { shape: [2 * P], data: data(-4) },
          { shape: [P], data: Array.from({ length: P }, (_, p) => none(p) ? 0 : 1 / P) },
        ],
      }, { bound: () => 0 });
    });
  }
}

test("rank_match: the lowest margin with the reference's lowest", () => {
  const [map, inverse] = rankMatchOp.reference(
    // margins 1, 3, 2 by the policy; 9, 8, 7 by the reference
    [[1, 2, 1, 4, 1, 3], [9, 0, 8, 0, 7, 0], [1, 1, 1]].map((x) => Float64Array.from(x)),
    { answers: false },
    undefined as never,
  );
  expect([...map!]).toEqual([4, 5, 0, 1, 2, 3]);
  expect([...inverse!]).toEqual([2, 3, 4, 5, 0, 1]);
});
