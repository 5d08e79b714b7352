import { test } from "bun:test";
import { checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { softcapOp } from "./softcap.ts";

const bound = (_o: number, _i: number, want: number) => 1e-6 * Math.abs(want) + 1e-30;
for (const n of [1, 3, 64, 65, 255, 1000, 4097]) {
  test(`softcap: ${n} elements`, async () => {
    for (const scale of [0.3, 60]) {
      const inputs = [{ shape: [n], scale }];
      await checkKernel({ op: softcapOp, attrs: { cap: 30 }, inputs }, { bound });
    }
  });
}
test("softcap: around zero, around the change of formula, and far out", async () => {
  const data = [1e-20, 1e-6, 0.1, 11.9, 11.99, 12, 12.01, 20, 100, 1e4, 1e30, 0];
  const inputs = [{ shape: [24], data: [...data, ...data.map((v) => -v)] }];
  await checkKernel({ op: softcapOp, attrs: { cap: 30 }, inputs }, { bound });
});
test("softcap: more workgroups than one dimension of a grid", async () => {
  const inputs = [{ shape: [1001], scale: 40 }];
  await checkKernel({ op: folded(softcapOp), attrs: { cap: 50 }, inputs }, { bound });
});
