/**
 * The kernels' own tests run here on wgpu (see bun_test.ts); these make sure that they do run, and
 * that wgpu says so when a kernel is wrong.
 */
import { expect, test } from "bun:test";
import { checkKernel, testDevice } from "../../kernels/check.ts";
import { add } from "../../kernels/add/add.ts";
import type { Shader } from "../../src/gpu/link.ts";

test("wgpu offers an adapter", async () => {
  const device = await testDevice();
  expect(device).toBeDefined();
  expect(device!.capabilities.backend).toBe("wgpu");
});

test("a kernel runs on it", async () => {
  const { variants } = await checkKernel({
    op: add,
    attrs: null,
    inputs: [{ shape: [7] }, { shape: [7] }],
  });
  expect(variants).toBeGreaterThan(0);
});

test("a wrong kernel is found", async () => {
  const wrong = {
    ...add,
    launch: (...args: Parameters<typeof add.launch>) =>
      add.launch(...args).map((launch) => ({
        ...launch,
        shader: {
          ...launch.shader,
          kernel: {
            file: "wrong.wgsl",
            code: launch.shader.kernel.code.replace(
              "a[i] + b[i]",
              "a[i] - b[i]",
            ),
          },
        } satisfies Shader,
      })),
  };
  const inputs = [{ shape: [7] }, { shape: [7] }];
  const error = await checkKernel({ op: wrong, attrs: null, inputs }).then(
    () => "",
    String,
  );
  expect(error).toMatch(/wrong\.wgsl/);
});

test("a kernel that does not compile is refused", async () => {
  const device = await testDevice();
  const kernel = {
    file: "broken.wgsl",
    code: "@compute @workgroup_size(1) fn main() { x = 1; }",
  };
  const error = await device!.pipeline({ kernel }).then(() => "", String);
  expect(error).toMatch(/broken\.wgsl/);
});
