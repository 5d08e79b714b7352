import { test } from "bun:test";
import { checkKernel } from "../check.ts";
import { scaleRowsOp } from "./scale_rows.ts";

for (const [T, C] of [[1, 1], [3, 5], [64, 64], [65, 63], [100, 128]] as const) {
  test(`scale_rows: [${T}, ${C}]`, async () => {
    const inputs = [{ shape: [T, C] }, { shape: [T] }];
    const bound = (_o: number, _i: number, want: number) => Math.abs(want) * 2 ** -23;
    await checkKernel({ op: scaleRowsOp, attrs: null, inputs }, { bound });
  });
}
