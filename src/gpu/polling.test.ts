// The wrapped setImmediate: gentle to Dawn's polling, invisible to everybody else.
import { expect, test } from "bun:test";
import { promisify } from "node:util";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Device } from "./device.ts";
import { pollGently } from "./polling.ts";
import type { Shader } from "./link.ts";

pollGently();
const turns = (n: number) => new Promise((go) => setTimeout(go, n));

test("callbacks run in order, after this turn, with their arguments", async () => {
  const seen: unknown[] = [];
  setImmediate((...args: unknown[]) => seen.push(args), 1, "two", undefined);
  setImmediate(() => {
    seen.push("second");
    setImmediate(() => seen.push("nested"));
  });
  setImmediate(function named() {
    seen.push("third");
  });
  Promise.resolve().then(() => seen.push("microtask"));
  seen.push("now");
  await turns(20);
  expect(seen).toEqual(["now", "microtask", [1, "two", undefined], "second", "third", "nested"]);
});

test("an immediate can be cleared, and is what it was: an object that can be unreferenced", async () => {
  let ran = 0;
  const cleared = setImmediate(() => ran++);
  const kept = setImmediate(() => ran++);
  clearImmediate(cleared);
  expect(kept.hasRef()).toBe(true);
  expect(kept.unref().hasRef()).toBe(false);
  kept.ref();
  await turns(20);
  expect(ran).toBe(1);
});

test("promises of it still resolve, with a value", async () => {
  expect(await promisify(setImmediate)("a")).toBe("a");
  expect(await nextTurn("b")).toBe("b");
});

test("installing it again changes nothing", () => {
  const { setImmediate: once } = globalThis;
  pollGently();
  expect(globalThis.setImmediate).toBe(once);
});

test("others' callbacks are never slept on, however many there are", async () => {
  const began = performance.now();
  let left = 5000;
  await new Promise<void>((done) => {
    const again = () => left-- > 0 ? setImmediate(again) : done();
    again();
  });
  // With the sleep between questions, 0.4 ms each, this would take two seconds.
  expect(performance.now() - began).toBeLessThan(1000);
});

/** CPU time of this thread alone, ms: a software adapter computes in threads of its own. */
function thisThread(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

test("waiting for a long kernel takes little of this thread", async () => {
  const device = await Device.open().catch((error) => console.log(`skipped: ${error.message}`));
  if (!device) return;
  const counter: Shader = {
    kernel: {
      file: "counter.wgsl",
      code: `@group(0) @binding(0) var<storage, read_write> n: array<atomic<u32>>;
@compute @workgroup_size(1) fn main() {
  for (var i = 0u; i < 200000000u; i++) { atomicAdd(&n[0], 1u); }
}`,
    },
  };
  const pipeline = await device.pipeline(counter), n = device.buffer("n", 16);
  const group = device.group(pipeline, [{ buffer: n }]);
  const count = () => {
    const encoder = device.gpu.createCommandEncoder({ label: "count" });
    const pass = encoder.beginComputePass({ label: "count" });
    pass.setPipeline(pipeline.gpu);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    device.submit("count", [encoder.finish()]);
  };
  count(); // the first dispatch compiles
  await device.done();
  const began = performance.now(), before = thisThread();
  count();
  let beats = 0;
  const heart = setInterval(() => beats++, 10);
  await device.done();
  clearInterval(heart);
  const wall = performance.now() - began, used = thisThread() - before;
  device.close();
  if (wall < 200) return console.log("skipped: this adapter is too quick to be waited for");
  // Polling without a sleep takes all of it.
  expect(used).toBeLessThan(0.5 * wall);
  expect(beats).toBeGreaterThan(2); // timers go on
}, 60_000);
