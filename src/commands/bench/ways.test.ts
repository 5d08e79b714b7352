import { expect, test } from "bun:test";
import { fake, units } from "../../../kernels/matmul/matrix_cases.ts";
import { allCases, products } from "./cases.ts";
import { everyWay, fastest } from "./ways.ts";

const can = fake(units.apple);

test("a product is measured by every kernel that could do it", () => {
  const [one] = products({ M: 64, N: 64, K: 64 }, ["nt"], ["f32"]);
  const ways = everyWay(one!, can);
  expect(ways[0]!.name).toBe("matmul nt f32, matrix 16x32 2x2");
  expect(ways.map(({ choice }) => choice.way)).toContain("tile 8x8 16");
  expect(new Set(ways.map(({ name }) => name)).size).toBe(ways.length);
  for (const { work: { op, inputs, attrs }, can: chosen, choice } of ways) {
    expect(chosen.tuned).toEqual({ [choice.kind]: choice.way });
    expect([op, inputs, attrs]).toEqual([one!.work.op, one!.work.inputs, one!.work.attrs]);
  }
});

test("what only one kernel does is left out", () => {
  const other = [...allCases(true)].find(({ group }) => group === "norm")!;
  expect(everyWay(other, can)).toEqual([]);
});

test("the fastest over all cases of a kind is taken", () => {
  const time = (kind: string, way: string, seconds: number) => ({
    choice: { kind, ways: [], way },
    seconds,
  });
  expect(fastest([
    time("a", "x", 1),
    time("a", "y", 2),
    time("a", "x", 5),
    time("a", "y", 2),
    time("b", "x", 1),
  ])).toEqual({ a: "y", b: "x" });
});
