import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { gatherRowsOp } from "./gather_rows.ts";

const NONE = 0xffffffff;
/** Takes every third row of T, backwards, then two empty places. */
function of(T: number, C: number, dtype: "f32" | "f16" = "f32") {
  const map: number[] = [], inverse = new Array<number>(T).fill(NONE);
  for (let t = T - 1; t >= 0; t -= 3) inverse[t] = map.push(t) - 1;
  map.push(NONE, T);
  return {
    op: gatherRowsOp,
    attrs: null,
    inputs: [
      { shape: [T, C], dtype },
      { shape: [map.length], dtype: "u32" as const, data: map },
      { shape: [T], dtype: "u32" as const, data: inverse },
    ],
  };
}

test("gather_rows: derivative", () => {
  expect(checkDerivative(of(7, 3))).toBeLessThan(1e-6);
  expect(checkDerivative(of(7, 4, "f16"))).toBeLessThan(1e-6);
});
for (const [T, C] of [[1, 1], [7, 5], [64, 64], [9, 12], [65, 63], [2001, 64]] as const) {
  test(`gather_rows: [${T}, ${C}]`, async () => {
    await checkKernel(of(T, C), { bound: () => 1e-30 });
    if (C % 4 === 0) await checkKernel(of(T, C, "f16"), { bound: () => 1e-30 });
  });
}
