/** A small program for the test of the compiled form: what is inside, and does the GPU answer? */
import { assetFolder, assetNames, commit } from "../../src/base/assets.ts";
import { Fail } from "../../src/base/fail.ts";
import type { Looks, LookTask } from "../../src/data/look.ts";

if (process.argv.includes("--nothing")) process.exit(0);
if (process.argv.includes("--threads")) {
  const { createQuantizer } = await import("../../src/export/quantizer.ts");
  const { blockType } = await import("../../src/formats/gguf_blocks.ts");
  const quantizer = createQuantizer(2);
  const { length } = await quantizer.quantize(blockType("q4_K"), new Float32Array(1 << 19));
  const { createThreads, threadProgram } = await import("../../src/base/threads.ts");
  const bytes = new TextEncoder().encode('{"text":"a row"}');
  const lookers = createThreads<LookTask, Looks>(1, threadProgram("src/data/look_worker.ts"));
  const looks = await lookers.run({
    ...{ first: 1, bytes, ends: Uint32Array.of(bytes.length), length: bytes.length, ended: true },
    ...{ kind: "sft", options: {} },
  });
  console.log(JSON.stringify({ threads: quantizer.running, length, forms: looks?.forms }));
  process.exit(0);
}
try {
  const { Device } = await import("../../src/gpu/device.ts");
  const device = await Device.open();
  const pipeline = await device.pipeline({
    kernel: {
      file: "square.wgsl",
      code: `@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { x[i] = i * i; }`,
    },
  });
  const x = device.buffer("x", 16);
  const encoder = device.gpu.createCommandEncoder({ label: "square" });
  const pass = encoder.beginComputePass({ label: "square" });
  pass.setPipeline(pipeline.gpu);
  pass.setBindGroup(0, device.group(pipeline, [{ buffer: x }]));
  pass.dispatchWorkgroups(1);
  pass.end();
  device.submit("square", [encoder.finish()]);
  const squares = [...new Uint32Array((await device.read(x, 0, 16)).buffer)];
  const schemas = { names: assetNames("schemas"), folder: assetFolder("schemas") };
  console.log(JSON.stringify({ squares, schemas, commit: commit() }));
  device.close();
  process.exit(0);
} catch (error) {
  if (!(error instanceof Fail)) throw error;
  console.log(JSON.stringify({ exit: error.exit, message: error.message, why: error.why }));
  process.exit(error.exit);
}
