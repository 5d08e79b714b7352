import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { windowOp } from "./window.ts";

const exact = () => 0;
const spans = [0, 1, 0, 16, 0, 17, 5, 40, 7, 7, 0, 0, 3, 2_000_000_000, 90, 91];
for (const keep of ["last", "first"] as const) {
  for (const size of [1, 16, 3_000_000_000]) {
    test(`window: the ${keep} ${size}`, async () => {
      const inputs = [{ shape: [8, 2], dtype: "u32" as const, data: spans }];
      await checkKernel({ op: windowOp, attrs: { size, keep }, inputs }, { bound: exact });
    });
  }
  for (const n of [1, 63, 64, 65, 1001]) {
    test(`window: the ${keep} 7 of ${n} spans`, async () => {
      const data = Array.from({ length: n }, (_, i) => [i % 40, i % 40 + i % 13]).flat();
      const inputs = [{ shape: [n, 2], dtype: "u32" as const, data }];
      const attrs = { size: 7, keep };
      await checkKernel({ op: windowOp, attrs, inputs }, { bound: exact });
      await checkKernel({ op: folded(windowOp), attrs, inputs }, { bound: exact });
    });
  }
}
test("window: what a row sees and who sees a key say the same", () => {
  const n = 50, size = 16, all = Array.from({ length: n }, (_, i) => i);
  const cut = (keep: "last" | "first", data: number[]) =>
    windowOp.reference([Float64Array.from(data)], { size, keep }, {} as never)[0]!;
  const seen = cut("last", all.flatMap((t) => [0, t + 1]));
  const reach = cut("first", all.flatMap((s) => [s, n]));
  for (const t of all) {
    for (const s of all) {
      const visible = s <= t && t - s < size;
      expect(seen[2 * t]! <= s && s < seen[2 * t + 1]!).toBe(visible);
      expect(reach[2 * s]! <= t && t < reach[2 * s + 1]!).toBe(visible);
    }
  }
});
test("window: other than pairs, and a window of nothing, are refused", () => {
  const of = (shape: number[], size: number) => () =>
    checkDerivative({
      op: windowOp,
      attrs: { size, keep: "last" },
      inputs: [{ shape, dtype: "u32", data: new Array(shape[0]! * shape[1]!).fill(1) }],
    });
  expect(of([4, 3], 2)).toThrow("window: expected pairs");
  expect(of([4, 2], 0)).toThrow("a size above 0");
});
