import { expect, test } from "bun:test";
import { philox } from "../../src/base/random.ts";
import type { Op } from "../../src/graph/graph.ts";
import { checkKernel, noise } from "../check.ts";
import code from "./philox.wgsl" with { type: "text" };

/** [key u32[N, 2], counter u32[N, 4]] -> [words u32[N, 4]] */
const words: Op<null> = {
  name: "philox",
  infer: ([, counter]) => [counter!],
  reference: ([key, counter]) => [
    counter!.map((_, i) => {
      const k = key!.subarray((i >> 2) * 2), c = counter!.subarray(i & ~3);
      return philox([k[0]!, k[1]!], [c[0]!, c[1]!, c[2]!, c[3]!])[i & 3]!;
    }),
  ],
  launch: ({ inputs, outputs }) => [{
    shader: {
      kernel: {
        file: "kernels/common/philox.test.ts",
        code: `
          @group(0) @binding(0) var<storage, read> key: array<vec2u>;
          @group(0) @binding(1) var<storage, read> counter: array<vec4u>;
          @group(0) @binding(2) var<storage, read_write> words: array<vec4u>;
          @compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3u) {
            words[group.x] = philox(key[group.x], counter[group.x]);
          }`,
      },
      parts: [{ file: "kernels/common/philox.wgsl", code }],
    },
    workgroups: [outputs[0]!.shape[0]!, 1, 1],
    bind: [...inputs, outputs[0]!],
  }],
};

test("philox: the same words as on the host, among them the published ones", async () => {
  const next = noise(1), N = 100, u32 = () => Math.floor((next() + 1) * 2 ** 31);
  const known = [[0, 0, 0, 0, 0, 0], [~0, ~0, ~0, ~0, ~0, ~0].map((v) => v >>> 0), [
    0xa4093822,
    0x299f31d0,
    0x243f6a88,
    0x85a308d3,
    0x13198a2e,
    0x03707344,
  ]];
  const draws = [...known, ...Array.from({ length: N - 3 }, () => Array.from({ length: 6 }, u32))];
  const { worst } = await checkKernel({
    op: words,
    attrs: null,
    inputs: [
      { shape: [N, 2], dtype: "u32", data: draws.flatMap((d) => d.slice(0, 2)) },
      { shape: [N, 4], dtype: "u32", data: draws.flatMap((d) => d.slice(2)) },
    ],
  }, { bound: () => 0.5 });
  expect(worst).toBe(0);
});
