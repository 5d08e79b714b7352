/**
 * GFLOP/s of every matmul variant on this machine's adapter: of wall time, of CPU time (which other
 * work on the machine disturbs less, on a software adapter), and the time of the first dispatch, which
 * holds the driver's compilation. The best of `--rounds` dispatches counts.
 *
 *   bun bench/matmul.ts [--rounds 20] [--shapes 1024x1024x1024,512x448x160] [--forms nt,nn,tn]
 */
import { parseArgs } from "node:util";
import { noise } from "../kernels/check.ts";
import { isNf4, layNf4 } from "../kernels/common/nf4.ts";
import { type Form, matmulLaunch } from "../kernels/matmul/matmul.ts";
import { nest, quantise } from "../src/formats/nf4.ts";
import { type Capabilities, Device } from "../src/gpu/device.ts";
import { Graph } from "../src/graph/graph.ts";
import { bytesOf, count, type DType, type Tensor } from "../src/graph/tensor.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    shapes: {
      type: "string",
      default: "1024x1024x1024,512x448x160,512x160x448,512x8x576,512x576x8,1x1024x1024",
    },
    forms: { type: "string", default: "nt,nn,tn" },
    dtypes: { type: "string", default: "f32,f16,nf4,nf4_double" },
  },
});
const device = await Device.open();
const { capabilities } = device;
console.log(`${capabilities.adapter}, ${capabilities.driver}`);
console.log("M x N x K              form  b     GFLOP/s  a CPU second  first ms  kernel");

for (const shape of values.shapes.split(",")) {
  const [M, N, K] = shape.split("x").map(Number) as [number, number, number];
  for (const form of values.forms.split(",") as Form[]) {
    for (const dtype of values.dtypes.split(",") as DType[]) {
      if (form === "tn" && dtype !== "f32") continue;
      const seen = new Set<string>();
      for (
        const can of [capabilities, { ...capabilities, subgroups: false, subgroupSize: undefined }]
      ) {
        const { kernel, wall, cpu, first } = await measure({ M, N, K, form, dtype }, can, seen);
        if (!kernel) continue;
        const flops = 2 * M * N * K / 1e6;
        console.log(
          shape.padEnd(22),
          form.padEnd(5),
          dtype.padEnd(5),
          (flops / wall).toFixed(1).padStart(7),
          (flops / cpu).toFixed(1).padStart(13),
          first.toFixed(0).padStart(9),
          "",
          kernel,
        );
      }
    }
  }
}
device.close();

interface Product {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly form: Form;
  readonly dtype: DType;
}

/** Milliseconds of the best dispatch and of the first; no kernel when `seen` has it already. */
async function measure(
  { M, N, K, form, dtype }: Product,
  can: Capabilities,
  seen: Set<string>,
): Promise<{ kernel?: string; wall: number; cpu: number; first: number }> {
  const g = new Graph();
  const a = g.input("a", form === "tn" ? [K, M] : [M, K], "f32");
  const b = g.input("b", form === "nt" ? [N, K] : [K, N], dtype);
  const out = g.input("out", [M, N], "f32");
  const launch = matmulLaunch({ form, a, b, out }, can);
  const kernel = launch.shader.kernel.file;
  let wall = Infinity, cpu = Infinity, first = 0;
  if (seen.has(kernel)) return { wall, cpu, first };
  seen.add(kernel);

  const buffers = new Map([a, b, out].map((t) => [t, filled(t)]));
  await device.done();
  const pipeline = await device.pipeline(launch.shader);
  for (const t of launch.bind as Tensor[]) if (!buffers.has(t)) buffers.set(t, filled(t));
  const slices = launch.bind.map((t) => ({ buffer: buffers.get(t as Tensor)! }));
  const group = device.group(pipeline, slices);
  for (let round = 0; round <= Number(values.rounds); round++) {
    const encoder = device.gpu.createCommandEncoder(), pass = encoder.beginComputePass();
    pass.setPipeline(pipeline.gpu);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...launch.workgroups);
    pass.end();
    const commands = encoder.finish();
    const used = process.cpuUsage(), began = performance.now();
    device.submit(kernel, [commands]);
    await device.done();
    const ms = performance.now() - began, { user, system } = process.cpuUsage(used);
    if (round === 0) first = ms;
    else wall = Math.min(wall, ms), cpu = Math.min(cpu, (user + system) / 1000);
  }
  for (const buffer of buffers.values()) device.free(buffer);
  return { kernel, wall, cpu, first };
}

function filled(t: Tensor): GPUBuffer {
  const next = noise(t.id), buffer = device.buffer(t.name, bytesOf(t));
  const data = t.data ?? new Float32Array(count(t.shape)).map(next);
  if (isNf4(t.dtype)) {
    const q = quantise(data as Float32Array);
    device.write(buffer, 0, layNf4(q, t.shape, t.dtype === "nf4" ? undefined : nest(q.scales)));
    return buffer;
  }
  device.write(buffer, 0, t.dtype === "f16" ? Float16Array.from(data) : data);
  return buffer;
}
