import type { Capabilities, MatrixConfig } from "../../src/gpu/device.ts";
import type { Launch } from "../../src/graph/graph.ts";
import { type Case, checkKernel, testDevice } from "../check.ts";
import { matrixUnits, tilingName, tilings } from "./by_matrix.ts";
import { bound, type MatmulCase } from "./cases.ts";
import { type MatmulAttrs, matmulOp } from "./matmul.ts";
import emulated from "./matrix_emulated.wgsl" with { type: "text" };

/** The matrix units that exist. */
export const units = {
  apple: { component: "f32", result: "f32", M: 8, N: 8, K: 8 },
  nvidia: { component: "f16", result: "f32", M: 16, N: 16, K: 16 },
  intel: { component: "f16", result: "f32", M: 8, N: 16, K: 16 },
} as const satisfies Record<string, MatrixConfig>;

/** What a GPU with these matrix units and subgroups of 32 would say. */
export const fake = (config: MatrixConfig): Capabilities => ({
  f16: true,
  compute: config.component,
  subgroups: true,
  subgroupSize: 32,
  subgroupMost: 32,
  matrices: [config],
  tuned: {},
  maxBinding: 2 ** 31,
  maxBuffer: 2 ** 31,
  maxWorkgroupSize: 1024,
  maxWorkgroupStorage: 32768,
  maxWorkgroups: 65535,
  maxStorageBuffers: 10,
  timestamps: false,
  adapter: "fake",
  vendor: "",
  architecture: "",
  driver: "",
  backend: "null",
  software: false,
});

export const matrixCases: readonly MatmulCase[] = [
  { form: "nt", M: 64, N: 64, K: 64 },
  { form: "nt", M: 33, N: 45, K: 37, bias: true },
  { form: "nn", M: 130, N: 67, K: 12, add: true },
  { form: "tn", M: 71, N: 132, K: 68 },
  { form: "tn", M: 72, N: 40, K: 32, bias: true, add: true },
  { form: "nt", M: 70, N: 52, K: 36, dtype: "f16" },
  { form: "nn", M: 35, N: 50, K: 39, dtype: "bf16" },
  { form: "nt", M: 65, N: 68, K: 128, dtype: "nf4", bias: true },
  { form: "nn", M: 34, N: 64, K: 36, dtype: "nf4" },
  { form: "nt", M: 36, N: 37, K: 35, dtype: "int8", low: 5, bias: true },
  { form: "nn", M: 34, N: 64, K: 36, dtype: "nf4_double", low: 8 },
];

/**
 * What the machine's device can do, with the given matrix units emulated, or its own where none are
 * given; undefined where that is not possible. More lanes than the subgroups of a tile have are welcome:
 * fewer cells for each, which software compiles faster.
 */
async function capable(config?: MatrixConfig): Promise<Capabilities | undefined> {
  const device = await testDevice();
  if (!device) return undefined;
  const { capabilities } = device;
  const can: Capabilities = config
    ? { ...capabilities, software: false, matrices: [config], compute: config.component }
    : { ...capabilities, software: false, compute: "f16" };
  return { ...can, subgroupMost: Math.max(32, can.subgroupMost ?? 0) };
}

const told = new Set<string>();

/** The tilings that the machine's device can compute, the smallest first: they compile fastest. */
export async function matrixWays(config?: MatrixConfig): Promise<string[]> {
  const can = await capable(config), found = can && matrixUnits(can);
  if (!found || (config && found !== config)) {
    const lacking = config ? config.component : "matrix units";
    if (!told.has(lacking)) console.warn(`SKIPPED: no ${lacking} on this device`);
    told.add(lacking);
    return [];
  }
  return tilings(found, can).sort((a, b) => a.rows * a.cols - b.rows * b.cols).map(tilingName);
}

/** Compares a product by one tiling with float64. */
export async function checkMatrix(
  c: Case<MatmulAttrs>,
  config: MatrixConfig | undefined,
  way: string,
) {
  const can = (await capable(config))!, { component } = matrixUnits(can)!;
  const launch: typeof matmulOp.launch = (node) => {
    const { kind } = matmulOp.launch(node, can)[0]!.choice!;
    const [made] = matmulOp.launch(node, { ...can, tuned: { [kind]: way } }) as [Launch];
    if (made.choice!.way !== way) throw new Error(`${way} was not taken`);
    return [config ? emulate(made) : made];
  };
  await checkKernel({ ...c, op: { ...matmulOp, launch } }, { bound: errors(c, component) });
}

const emulate = ({ shader, ...rest }: Launch): Launch => ({
  ...rest,
  shader: {
    ...shader,
    kernel: { file: "kernels/matmul/matrix_emulated.wgsl", code: emulated },
    constants: { ...shader.constants, WIDTH: 8 },
  },
});

/** In f32 as every matmul. In f16 each operand is rounded to 11 bits, which is up to 2^-11 of it. */
function errors(c: Case<MatmulAttrs>, component: MatrixConfig["component"]) {
  const exact = bound(c);
  const [rows, cols] = c.inputs[0]!.shape as [number, number];
  const K = (c.attrs.form === "tn" ? rows : cols) + (c.attrs.low ? c.inputs[2]!.shape[1]! : 0);
  const rounded = 2 ** -10 / (1.01 * (2 * Math.sqrt(K) + 8) * 2 ** -24);
  return (o: number, i: number) => exact(o, i) * (component === "f16" ? 1 + rounded : 1);
}
