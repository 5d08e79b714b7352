/**
 * What one dispatch costs the host when a recorded step is replayed: pipelines and bind groups are
 * made once, and a step only sets and dispatches them.
 *
 *   bun bench/dispatch.ts [dispatches in a step] [steps]
 */
import { Device } from "../src/gpu/device.ts";
import type { Shader } from "../src/gpu/link.ts";

const count = Number(process.argv[2] ?? 1024);
const steps = Number(process.argv[3] ?? 100);
const perSubmit = 1024;

const kernel = (n: number): Shader => ({
  kernel: {
    file: "bench.wgsl",
    code: `override K: f32;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3u) {
  y[at.x] = a[at.x] + K * b[at.x];
}`,
  },
  constants: { K: n },
});

const device = await Device.open({ device: process.env.WHET_DEVICE });
const pipelines = await Promise.all([1, 2, 3, 4].map((n) => device.pipeline(kernel(n))));
const buffers = Array.from({ length: 64 }, (_, i) => device.buffer(`b${i}`, 4096));
const at = (i: number) => ({ buffer: buffers[i % buffers.length]! });
const groups = Array.from(
  { length: 256 },
  (_, i) => device.group(pipelines[i % 4]!, [at(i), at(i + 1), at(i + 2)]),
);

/** One step; µs on the host for encoding and for submitting, and until the GPU is done. */
async function step(): Promise<Record<"encode" | "submit" | "done", number>> {
  const began = performance.now();
  let encode = 0, submit = 0;
  for (let from = 0; from < count; from += perSubmit) {
    const start = performance.now();
    const encoder = device.gpu.createCommandEncoder({ label: "bench" });
    const pass = encoder.beginComputePass({ label: "bench" });
    for (let i = from; i < Math.min(from + perSubmit, count); i++) {
      pass.setPipeline(pipelines[i % 4]!.gpu);
      pass.setBindGroup(0, groups[i % 256]!);
      pass.dispatchWorkgroups(1, 1, 1);
    }
    pass.end();
    const commands = encoder.finish(), encoded = performance.now();
    device.submit("bench", [commands]);
    encode += encoded - start;
    submit += performance.now() - encoded;
  }
  await device.done();
  const done = performance.now() - began;
  return { encode: encode * 1000, submit: submit * 1000, done: done * 1000 };
}

await step();
const times: Awaited<ReturnType<typeof step>>[] = [];
for (let i = 0; i < steps; i++) times.push(await step());
const median = (key: "encode" | "submit" | "done") =>
  +(times.map((t) => t[key]).sort((a, b) => a - b)[steps >> 1]! / count).toFixed(2);
console.log(JSON.stringify({
  adapter: device.capabilities.adapter,
  dispatches: count,
  steps,
  encode_us_per_dispatch: median("encode"),
  submit_us_per_dispatch: median("submit"),
  done_us_per_dispatch: median("done"),
}));
device.close();
process.exit(0);
