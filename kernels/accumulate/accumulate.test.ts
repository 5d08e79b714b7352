import { test } from "bun:test";
import { checkKernel } from "../check.ts";
import { accumulateOp } from "./accumulate.ts";

for (const n of [1, 3, 64, 65, 255, 1000, 4097, 65_535 * 64 + 1]) {
  test(`accumulate: ${n} elements`, async () => {
    const inputs = [{ shape: [n] }, { shape: [n] }];
    const bound = (_o: number, _i: number, want: number) => Math.abs(want) * 2 ** -24 + 1e-12;
    await checkKernel({ op: accumulateOp, attrs: null, inputs }, { bound });
  });
}
