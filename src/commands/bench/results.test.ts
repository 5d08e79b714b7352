import { expect, test } from "bun:test";
import { compare, deviceSlug, type KernelResult, type Saved } from "./results.ts";
import { allCases, parseProduct } from "./cases.ts";

test("a device and its driver as a file name", () => {
  const slug = (adapter: string, driver: string) => deviceSlug({ adapter, driver });
  expect(slug("llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe: Mesa 25.0.7-2 (LLVM 15.0.6) 0.0.1"))
    .toBe("llvmpipe-25.0.7");
  expect(slug("NVIDIA GeForce RTX 4090", "NVIDIA: 580.82.07 580.328.448.0"))
    .toBe("nvidia-geforce-rtx-4090-580.82.07");
  expect(slug("(?)", "")).toBe("adapter-unknown");
});

test("ratios are of what both results have", () => {
  const kernel = (name: string, shape: string, median_s: number) =>
    ({ name, shape, median_s }) as KernelResult;
  const then: Saved = {
    file: "old.json",
    format: 1,
    date: "2026-01-02",
    device: { adapter: "then" },
    kernels: [kernel("add", "1", 4), kernel("add", "2", 4), kernel("gone", "1", 1)],
    generation: { prefill_tokens_s: 10, decode_tokens_s: 20 },
  };
  const now = {
    kernels: [kernel("add", "1", 2), kernel("add", "2", 8), kernel("new", "1", 1)],
    generation: { prefill_tokens_s: 30, decode_tokens_s: 10 },
  };
  expect(compare(now as never, then).ratios).toEqual([
    { name: "add  1", ratio: 2 },
    { name: "add  2", ratio: 0.5 },
    { name: "prefill tokens/s", ratio: 3 },
    { name: "decode tokens/s", ratio: 0.5 },
  ]);
});

test("every case can be recorded, under a name and shape of its own, for both kinds of device", () => {
  for (const software of [true, false]) {
    const cases = [...allCases(software)];
    const keys = cases.map(({ name, shape }) => `${name} ${shape}`);
    expect(new Set(keys).size).toBe(keys.length);
    for (const { work: { op, attrs, inputs } } of cases) {
      const tensors = inputs.map(({ shape, dtype = "f32" }) => ({ shape, dtype }));
      expect(op.infer(tensors as never, attrs).length).toBeGreaterThan(0);
    }
  }
});

test("sizes of products are read strictly", () => {
  expect(parseProduct("8x16x32")).toEqual({ M: 8, N: 16, K: 32 });
  for (const wrong of ["8x16", "8x16x0", "8x16x3.5", "-1x2x3", "8x16x9999999", "axbxc"]) {
    expect(parseProduct(wrong)).toBeUndefined();
  }
});
