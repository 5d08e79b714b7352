import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { joinColumnsOp, splitColumnsOp } from "./columns.ts";

const bound = () => 0;
test("split_columns: derivative", () => {
  const attrs = { widths: [2, 3, 1] };
  checkDerivative({ op: splitColumnsOp, attrs, inputs: [{ shape: [4, 6] }] }, [0, 1, 2]);
});
for (
  const [T, widths, dtype] of [
    [1, [1]],
    [5, [3, 1, 2]],
    [65, [64, 32, 32]],
    [63, [4, 8], "f16"],
    [7, [8, 5]],
    [130, [33, 67, 1]],
  ] as [number, number[], "f16" | undefined][]
) {
  test(`split_columns and back: ${T} rows of ${widths.join(" + ")} ${dtype ?? ""}`, async () => {
    const N = widths.reduce((a, b) => a + b), attrs = { widths };
    const inputs = [{ shape: [T, N], dtype }];
    await checkKernel({ op: splitColumnsOp, attrs, inputs }, { bound });
    await checkKernel({ op: folded(splitColumnsOp), attrs, inputs }, { bound });
    const parts = widths.map((width) => ({ shape: [T, width] }));
    await checkKernel({ op: joinColumnsOp, attrs, inputs: parts }, { bound });
    await checkKernel({ op: folded(joinColumnsOp), attrs, inputs: parts }, { bound });
  });
}
test("split_columns: widths that do not add up, or f16 parts of no whole fours, are refused", () => {
  const of = (widths: number[], dtype?: "f16") => () =>
    checkDerivative({ op: splitColumnsOp, attrs: { widths }, inputs: [{ shape: [2, 8], dtype }] });
  expect(of([4, 3])).toThrow("has other columns than 4 + 3");
  expect(of([8, 0])).toThrow("has other columns");
  expect(of([6, 2], "f16")).toThrow("whole fours, found 6, 2");
});
