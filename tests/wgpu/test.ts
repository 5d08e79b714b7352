/**
 * The kernels' own tests run here on wgpu (see bun_test.ts); these make sure that they do run, and
 * that wgpu says so when a kernel is wrong.
 */
import { expect, test } from "bun:test";
import { checkKernel, testDevice } from "../../kernels/check.ts";
import type { Op } from "../../src/graph/graph.ts";

/** y = x + 1, computed on the device by `expression`. */
function successor(expression: string): Op<null> {
  const code = `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
  if (i < arrayLength(&y)) { y[i] = ${expression}; }
}`;
  return {
    name: "successor",
    infer: ([x]) => [x!],
    reference: ([x]) => [x!.map((value) => value + 1)],
    launch: ({ inputs, outputs }) => [{
      shader: { kernel: { file: "successor.wgsl", code } },
      workgroups: [1, 1, 1],
      bind: [inputs[0]!, outputs[0]!],
    }],
  };
}

/** What is wrong with the kernel, "" when nothing is. */
function wrong(expression: string): Promise<string> {
  return checkKernel({
    op: successor(expression),
    attrs: null,
    inputs: [{ shape: [7] }],
  })
    .then(({ variants }) => variants > 0 ? "" : "it did not run", String);
}

test("wgpu offers an adapter", async () => {
  const device = await testDevice();
  expect(device).toBeDefined();
  expect(device!.capabilities.backend).toBe("wgpu");
});

test("a right kernel passes", async () => {
  expect(await wrong("x[i] + 1.0")).toBe("");
});

test("a wrong kernel is found", async () => {
  expect(await wrong("x[i] + 1.001")).toMatch(/successor\.wgsl/);
});

test("a kernel that does not compile is refused", async () => {
  expect(await wrong("x[i] + z")).toMatch(/successor\.wgsl/);
});
