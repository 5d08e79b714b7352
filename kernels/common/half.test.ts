import { test } from "bun:test";
import type { Op } from "../../src/graph/graph.ts";
import { count } from "../../src/graph/tensor.ts";
import { checkKernel, noise } from "../check.ts";
import { half, MOST_F16 } from "./stored.ts";

/** What half.wgsl makes of a number: exact, so that every adapter stores the same bits. */
const store = (v: number) =>
  Number.isFinite(v) ? Math.min(Math.max(Math.f16round(v), -MOST_F16), MOST_F16) : NaN;

/** [x f32[N]] -> [y]: to f16 and back */
const there: Op<null> = {
  name: "half",
  infer: ([x]) => [{ shape: x!.shape, dtype: "f32" }],
  reference: ([x]) => [x!.map(store)],
  launch: ({ inputs: [x], outputs: [y] }) => [{
    shader: {
      kernel: {
        file: "kernels/common/half.test.ts",
        code: `
          @group(0) @binding(0) var<storage, read> x: array<vec4f>;
          @group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
          @compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3u) {
            y[group.x] = from_half(to_half(x[group.x]));
          }`,
      },
      parts: [half],
    },
    workgroups: [count(y!.shape) / 4, 1, 1],
    bind: [x!, y!],
  }],
};

// pack2x16float may round toward zero; half.wgsl must not, wherever it runs.
test("half: nearest f16, ties to even, and never an infinity of a finite number", async () => {
  const next = noise(8), data: number[] = [];
  for (let e = -14; e <= 15; e++) {
    for (const digits of [0, 1, 2, 511, 1022, 1023]) {
      const v = 2 ** e * (1 + digits / 1024), ulp = 2 ** (e - 10);
      data.push(
        v,
        v + ulp / 2,
        v + ulp / 2 * (1 + 2 ** -9),
        v + ulp / 2 * (1 - 2 ** -9),
        -v - ulp / 2,
      );
    }
  }
  data.push(65504, 65519, 65520, 65536, 7e4, -7e4, 1e30, -1e30, 3.4028234e38, -3.4028234e38, 0, -0);
  while (data.length < 2048) {
    data.push((next() < 0 ? -1 : 1) * (1.5 + next() / 2) * 2 ** Math.floor(14 * next()));
  }
  await checkKernel({ op: there, attrs: null, inputs: [{ shape: [data.length], data }] }, {
    bound: () => 1e-30,
  });
});

test("half: below 2^-14 the error stays below the smallest f16", async () => {
  const next = noise(9), data = Array.from({ length: 512 }, () => next() * 2 ** -14);
  await checkKernel({ op: there, attrs: null, inputs: [{ shape: [512], data }] }, {
    bound: () => 2 ** -24,
  });
});

test("half: what is not finite becomes a NaN, and its neighbour is not touched", async () => {
  const data = [Infinity, 1, 2, NaN, -Infinity, -3, 4, 70_000];
  await checkKernel({ op: there, attrs: null, inputs: [{ shape: [8], data }] }, {
    bound: () => 1e-30,
  });
});
