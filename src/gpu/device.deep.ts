import { afterAll, beforeAll, expect, test } from "bun:test";
import { Device, type Pipeline } from "./device.ts";

let device: Device;
let pipeline: Pipeline;
beforeAll(async () => {
  device = await Device.open();
  pipeline = await device.pipeline({
    kernel: {
      file: "count.wgsl",
      code: `@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(1) fn main() { x[0]++; x[arrayLength(&x) - 1u] = x[0]; }`,
    },
  });
});
afterAll(() => device.close());

function dispatch(buffer: GPUBuffer, bytes?: number): void {
  const encoder = device.gpu.createCommandEncoder({ label: "count" });
  const pass = encoder.beginComputePass({ label: "count" });
  pass.setPipeline(pipeline.gpu);
  pass.setBindGroup(0, device.group(pipeline, [{ buffer, bytes }]));
  pass.dispatchWorkgroups(1);
  pass.end();
  device.submit("count", [encoder.finish()]);
}

test("thousands of steps with the collector at work neither crash nor grow", async () => {
  const buffer = device.buffer("count", 2 ** 20);
  const step = async (n: number) => {
    dispatch(buffer);
    const bytes = await device.read(buffer, 2 ** 20 - 4, 4);
    expect(new Uint32Array(bytes.buffer)[0]).toBe(n);
    if (n % 10 === 0) Bun.gc(true);
    if (n % 100 === 0) {
      const short = device.buffer("short-lived", 8 * 2 ** 20);
      device.write(short, 0, new Uint8Array(8 * 2 ** 20));
      await device.read(short, 0, 8 * 2 ** 20);
      device.free(short);
    }
  };
  let n = 0;
  while (n < 1000) await step(++n);
  const before = process.memoryUsage().rss;
  while (n < 4000) await step(++n);
  const grown = process.memoryUsage().rss - before;
  expect(grown).toBeLessThan(48 * 2 ** 20);
  device.free(buffer);
});

test("the largest binding works to its last word, and not one more", async () => {
  const { maxBinding } = device.capabilities;
  if (maxBinding > 2 ** 28) return console.log(`skipped: a binding of ${maxBinding} bytes is much`);
  const buffer = device.buffer("largest", maxBinding + 16);
  const last = Math.floor(maxBinding / 4) * 4;
  dispatch(buffer, last);
  const [word] = new Uint32Array((await device.read(buffer, last - 4, 4)).buffer);
  expect(word).toBe(1);
  expect(() => dispatch(buffer, last + 4)).toThrow("largest");
  device.free(buffer);
  await device.done();
});
