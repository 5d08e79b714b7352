import { expect, test } from "bun:test";
import { instance } from "../../src/gpu/dawn.ts";
import type { Capabilities, MatrixConfig, Tuned } from "../../src/gpu/device.ts";
import { link, type Shader } from "../../src/gpu/link.ts";
import { Graph, type Launch, type Node } from "../../src/graph/graph.ts";
import { matrixUnits, tilings } from "./by_matrix.ts";
import { type MatmulCase, matmulCase } from "./cases.ts";
import { type Form, type MatmulAttrs, matmulLaunch, matmulOp } from "./matmul.ts";
import { checkMatrix, fake, matrixCases, matrixWays, units } from "./matrix_cases.ts";

const { apple, nvidia } = units;

test("matrix units are used for what they are good for", () => {
  const can = fake(nvidia);
  expect(matrixUnits(can)).toEqual(nvidia);
  expect(matrixUnits({ ...can, compute: "f32" })).toBeUndefined();
  expect(matrixUnits({ ...can, f16: false })).toBeUndefined();
  expect(matrixUnits({ ...can, software: true })).toBeUndefined();
  expect(matrixUnits({ ...can, matrices: [] })).toBeUndefined();
  expect(matrixUnits(fake({ ...nvidia, result: "f16" }))).toBeUndefined();
  expect(matrixUnits(fake(apple))).toEqual(apple);
  const several = { ...can, matrices: [{ ...nvidia, N: 8 }, nvidia, { ...nvidia, K: 8 }, apple] };
  expect(matrixUnits(several)).toEqual(nvidia);
  expect(matrixUnits({ ...several, compute: "f32" })).toEqual(apple);
});

test("tilings stay inside what the device gives a workgroup", () => {
  const can = fake(nvidia);
  expect(tilings(nvidia, can).length).toBeGreaterThan(4);
  expect(tilings(nvidia, { ...can, maxWorkgroupStorage: 16384 }).length).toBeGreaterThan(0);
  expect(tilings(nvidia, { ...can, maxWorkgroupStorage: 1024 })).toEqual([]);
  for (const { down, wide } of tilings(nvidia, { ...can, maxWorkgroupSize: 128 })) {
    expect(down * wide).toBeLessThanOrEqual(4);
  }
});

/** The launch of a product by the given way. */
function launched(form: Form, M: number, N: number, K: number, can: Capabilities): Launch {
  const g = new Graph();
  const a = g.input("a", form === "tn" ? [K, M] : [M, K], "f32");
  const b = g.input("b", form === "nt" ? [N, K] : [K, N], "f32");
  return matmulLaunch({ form, a, b, out: g.input("y", [M, N], "f32") }, can);
}

test("a product takes them when it is large, or when it was measured", () => {
  const can = fake(nvidia),
    way = (M: number, N: number, tuned = {}) =>
      launched("nt", M, N, 64, { ...can, tuned }).choice!.way;
  expect(way(512, 512)).toBe("matrix 64x64 2x2");
  expect(way(512, 8)).toBe("tile 4x4 32");
  expect(way(1, 512)).toBe("few");
  const { kind, ways } = launched("nt", 512, 512, 64, can).choice!;
  for (const name of ways) expect(way(512, 512, { [kind]: name })).toBe(name);
  expect(way(512, 512, { [kind]: "of another device" })).toBe(ways[0]!);
  expect(way(500, 530, { [kind]: "tile 8x8 16" })).toBe("tile 8x8 16");
});

test("every matrix kernel is accepted by the compiler", async () => {
  const adapter = await instance(["backend=null", "enable-dawn-features=allow_unsafe_apis"])
    .requestAdapter();
  const gpu = await adapter!.requestDevice({
    requiredFeatures: [
      "chromium-experimental-subgroup-matrix" as GPUFeatureName,
      "subgroups" as GPUFeatureName,
      "shader-f16",
    ],
  });
  const shaders = new Map<string, Shader>();
  const add = (c: MatmulCase, config: MatrixConfig, most?: number) => {
    for (const shader of variants(c, config).slice(0, most)) shaders.set(link(shader).key, shader);
  };
  for (const config of Object.values(units)) {
    for (const form of ["nt", "nn", "tn"] as const) {
      add({ form, M: 256, N: 256, K: 256 }, config);
      for (const dtype of ["f32", "f16", "bf16", "int8", "nf4", "nf4_double"] as const) {
        if (form === "tn" && dtype !== "f32") continue;
        for (const size of [256, 255]) {
          const c = { form, M: size, N: size, K: size, dtype };
          add({ ...c, bias: true, add: true }, config, 1);
          if (form !== "tn") add({ ...c, bias: true, low: size / 16 | 0 }, config, 1);
        }
      }
    }
  }
  expect(shaders.size).toBeGreaterThan(80);
  for (const shader of shaders.values()) {
    const { code, locate } = link(shader);
    const { messages } = await gpu.createShaderModule({ code }).getCompilationInfo();
    const said = messages.map(({ message, lineNum }) => ({ message, ...locate(lineNum) }));
    expect(said).toEqual([]);
  }
  gpu.destroy();
});

function variants(c: MatmulCase, config: MatrixConfig): Shader[] {
  const { inputs, attrs } = matmulCase({ ...c, dtype: "f32" }), g = new Graph();
  const tensors = inputs.map(({ shape }, i) =>
    g.input(`in${i}`, shape, i === 1 ? c.dtype ?? "f32" : "f32")
  );
  g.add(matmulOp, tensors, attrs);
  const at = (tuned: Tuned) =>
    matmulOp.launch(g.nodes[0] as Node<MatmulAttrs>, { ...fake(config), tuned })[0]!;
  const { kind, ways } = at({}).choice!;
  return ways.filter((way) => way.startsWith("matrix"))
    .map((way) => at({ [kind]: way }).shader);
}

// The rest of the kernel, all but the few calls of matrix.wgsl, computes on any device; and all of it on
// one that has matrix units, be it in software.
for (const [name, config] of Object.entries({ ...units, own: undefined })) {
  // Layouts and edges are the same for all: those that are emulated take turns.
  const turn = Object.keys(units).indexOf(name);
  for (const [i, c] of matrixCases.entries()) {
    if (config && i % 3 !== turn && c !== matrixCases[0]) continue;
    const finish = `${c.low ? " low" : ""}${c.bias ? " bias" : ""}${c.add ? " add" : ""}`;
    test(`${name}: ${c.form} ${c.M}x${c.N}x${c.K} ${c.dtype ?? "f32"}${finish}`, async () => {
      for (const way of await smallest(config)) await checkMatrix(matmulCase(c), config, way);
    });
  }
}
const smallest = async (config?: MatrixConfig) => (await matrixWays(config)).slice(0, 1);

/** A product in f16 whose operands are what `left` and `right` make of noise, row, column and k. */
async function checkRange(
  left: (v: number, r: number, k: number) => number,
  right: (v: number, k: number, c: number) => number,
) {
  for (const config of [nvidia, undefined]) {
    const made = matmulCase({ form: "nt", M: 40, N: 36, K: 100 });
    const [a, b] = made.inputs.map(({ data }) => data!);
    const inputs = [
      {
        ...made.inputs[0]!,
        data: Float64Array.from(a!, (v, i) => left(v, Math.floor(i / 100), i % 100)),
      },
      {
        ...made.inputs[1]!,
        data: Float64Array.from(b!, (v, i) => right(v, i % 100, Math.floor(i / 100))),
      },
    ];
    for (const way of await smallest(config)) await checkMatrix({ ...made, inputs }, config, way);
  }
}

test("f16: operands far beyond its range", () =>
  checkRange((v) => v * 2 ** 90, (v) => v * 2 ** 20));
test("f16: operands far below its range", () =>
  checkRange((v) => v * 2 ** -70, (v) => v * 2 ** -40));
test("f16: operands that grow from slice to slice", () =>
  checkRange((v, _, k) => v * 2 ** (k / 4), (v, k) => v * 2 ** (k / 8 - 60)));
test("f16: operands that shrink from slice to slice", () =>
  checkRange((v, _, k) => v * 2 ** (40 - k / 4), (v) => v));
test("f16: an infinity stays in its row", () =>
  checkRange((v, r, k) => r === 7 && k === 50 ? Infinity : v, (v) => Math.abs(v) + 0.1));
test("f16: zeros", () => checkRange((v, _, k) => k < 64 ? 0 : v, () => 0));
