import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Exit, Fail } from "../base/fail.ts";
import { Device, type OpenOptions, type Pipeline } from "./device.ts";
import type { Faults } from "./faults.ts";
import type { Shader } from "./link.ts";
import { Timer } from "./timer.ts";

const scale: Shader = {
  kernel: {
    file: "scale.wgsl",
    code: `override K: f32;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x < arrayLength(&y)) { y[at.x] = K * x[at.x]; }
}`,
  },
  constants: { K: 2 },
};

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Records and submits y = K x. */
function dispatch(device: Device, pipeline: Pipeline, x: GPUBuffer, y: GPUBuffer, groups: number) {
  const encoder = device.gpu.createCommandEncoder({ label: "scale" });
  const pass = encoder.beginComputePass({ label: "scale" });
  pass.setPipeline(pipeline.gpu);
  pass.setBindGroup(0, device.group(pipeline, [{ buffer: x }, { buffer: y }]));
  pass.dispatchWorkgroups(groups);
  pass.end();
  device.submit("scale", [encoder.finish()]);
}

async function failure(action: () => unknown): Promise<Fail> {
  try {
    await action();
  } catch (error) {
    if (error instanceof Fail) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

async function using<T>(options: OpenOptions, body: (device: Device) => Promise<T>): Promise<T> {
  const device = await Device.open(options);
  try {
    return await body(device);
  } finally {
    device.close();
  }
}

const withFaults = <T>(faults: Faults, body: (device: Device) => Promise<T>) =>
  using({ faults }, body);

describe("a device", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open();
  });
  afterAll(() => device.close());

  test("tells what its adapter can do", () => {
    const { capabilities } = device;
    expect(capabilities.adapter).not.toBe("");
    expect(capabilities.maxBinding).toBeGreaterThanOrEqual(128 * 2 ** 20);
    expect(capabilities.maxBuffer).toBeGreaterThanOrEqual(capabilities.maxBinding);
    expect(capabilities.maxWorkgroups).toBe(65535);
    expect(capabilities.maxWorkgroupSize).toBe(device.gpu.limits.maxComputeInvocationsPerWorkgroup);
  });

  test("runs a kernel", async () => {
    const x = device.buffer("x", 1000 * 4);
    const y = device.buffer("y", 1000 * 4);
    device.write(x, 0, Float32Array.from({ length: 1000 }, (_, i) => i));
    dispatch(device, await device.pipeline(scale), x, y, 16);
    const result = floats(await device.read(y, 0, 4000));
    expect(result.every((value, i) => value === 2 * i)).toBe(true);
    device.free(x);
    device.free(y);
  });

  test("compiles a kernel once for each text", async () => {
    const again = device.pipeline({ ...scale });
    expect(again).toBe(device.pipeline({ ...scale }));
    const other = await device.pipeline({ ...scale, constants: { K: 3 } });
    expect(other.key).not.toBe((await again).key);
    expect(other.layout).toBe((await again).layout);
  });

  test("names file, line and source of a compile error, and goes on", async () => {
    const kernel = { file: "bad.wgsl", code: scale.kernel.code.replace("K * x", "K * z") };
    const fail = await failure(() => device.pipeline({ ...scale, kernel }));
    expect(fail.message).toStartWith("bad.wgsl:5:");
    expect(fail.why).toContain("K * z");
    expect(fail.exit).toBe(Exit.gpu);
    const missing = await failure(() => device.pipeline({ ...scale, entry: "nothing" }));
    expect(missing.message + missing.why).toContain("nothing");
    device.check();
  });

  test("counts bytes; new buffers are zero", async () => {
    const before = device.bytes;
    const buffer = device.buffer("odd", 33);
    expect(buffer.size).toBe(48);
    expect(device.bytes - before).toBe(48);
    expect(device.peakBytes).toBeGreaterThanOrEqual(device.bytes);
    expect((await device.read(buffer, 0, 33)).every((byte) => byte === 0)).toBe(true);
    device.free(buffer);
    expect(device.bytes).toBe(before);
    expect((await failure(() => device.free(buffer))).message).toContain("odd");
    expect((await failure(() => device.read(buffer, 0, 4))).message).toContain("odd");
  });

  test("moves any number of bytes both ways", async () => {
    const bytes = Uint8Array.from({ length: 17 * 2 ** 20 + 7 }, (_, i) => (i * 2654435761) >>> 13);
    const buffer = device.buffer("large", bytes.length + 8);
    device.write(buffer, 8, bytes);
    const [whole, part] = await Promise.all([
      device.read(buffer, 8, bytes.length),
      device.read(buffer, 1008, 5),
    ]);
    expect(Buffer.compare(whole, bytes)).toBe(0);
    expect(part).toEqual(bytes.slice(1000, 1005));
    expect((await device.read(buffer, 0, 8)).every((byte) => byte === 0)).toBe(true);
    expect(await device.read(buffer, 0, 0)).toEqual(new Uint8Array(0));
    device.free(buffer);
  });

  test("takes every kind of view, f16 too", async () => {
    const buffer = device.buffer("views", 64);
    device.write(buffer, 0, Float16Array.of(1, -2, 0.5));
    expect([...await device.read(buffer, 0, 8)]).toEqual([0, 0x3c, 0, 0xc0, 0, 0x38, 0, 0]);
    device.write(buffer, 4, new DataView(Uint8Array.of(9, 9, 1, 2, 3, 4).buffer, 2));
    expect([...await device.read(buffer, 4, 4)]).toEqual([1, 2, 3, 4]);
    device.free(buffer);
  });

  test("refuses what WebGPU would answer with zeros", async () => {
    const { maxBuffer, maxBinding } = device.capabilities;
    const large = await failure(() => device.buffer("huge", maxBuffer + 1));
    expect(large.exit).toBe(Exit.memory);
    expect(large.message).toContain("huge");
    const pipeline = await device.pipeline(scale);
    const small = device.buffer("small", 512);
    for (const slice of [{ offset: 4 }, { offset: 256, bytes: 260 }, { offset: 512 }]) {
      const slices = [{ buffer: small, ...slice }, { buffer: small }];
      expect((await failure(() => device.group(pipeline, slices))).message).toContain("small");
    }
    if (maxBinding + 16 <= maxBuffer) {
      const wide = device.buffer("wide", maxBinding + 16);
      const slices = [{ buffer: wide }, { buffer: small }];
      expect((await failure(() => device.group(pipeline, slices))).message).toContain("wide");
      device.free(wide);
    }
    device.checkWorkgroups("fits", [65535, 1, 1]);
    expect(() => device.checkWorkgroups("grows", [65536, 1, 1])).toThrow("grows");
    expect((await failure(() => device.write(small, 2, new Uint8Array(4)))).message)
      .toContain("small");
    expect((await failure(() => device.write(small, 508, new Uint8Array(5)))).message)
      .toContain("small");
    device.free(small);
    device.check();
  });

  test("measures passes", async () => {
    if (!device.capabilities.timestamps) return console.log("skipped: no timestamp-query");
    const timer = new Timer(device);
    const spin = (turns: number): Shader => ({
      kernel: {
        file: "spin.wgsl",
        code: `override TURNS: u32;
@group(0) @binding(0) var<storage, read_write> n: array<atomic<u32>>;
@compute @workgroup_size(1) fn main() {
  for (var i = 0u; i < TURNS; i++) { atomicAdd(&n[0], 1u); }
}`,
      },
      constants: { TURNS: turns },
    });
    const n = device.buffer("n", 16);
    const encoder = device.gpu.createCommandEncoder({ label: "timed" });
    for (const [label, turns] of [["much", 2_000_000], ["little", 1], ["much", 2]] as const) {
      const pipeline = await device.pipeline(spin(turns));
      const pass = timer.pass(encoder, label);
      pass.setPipeline(pipeline.gpu);
      pass.setBindGroup(0, device.group(pipeline, [{ buffer: n }]));
      pass.dispatchWorkgroups(1);
      pass.end();
    }
    device.submit("timed", [encoder.finish()]);
    const times = await timer.collect();
    expect([...times.keys()]).toEqual(["much", "little"]);
    expect(times.get("much")!.passes).toBe(2);
    expect(times.get("much")!.ns).toBeGreaterThan(100_000); // 20 G additions a second is beyond any
    expect(times.get("little")!.ns).toBeGreaterThanOrEqual(0);
    expect((await timer.collect()).size).toBe(0);
    timer.close();
    device.free(n);
    await device.done();
  });
});

describe("choosing a device", () => {
  test("an unknown name lists what there is", async () => {
    const fail = await failure(() => Device.open({ device: "no such adapter" }));
    expect(fail.exit).toBe(Exit.gpu);
    expect(fail.why).toContain("0: ");
  });

  test("an index and part of a name give that adapter", async () => {
    const name = await using({ device: "0" }, (device) => {
      return Promise.resolve(device.capabilities.adapter);
    });
    const part = name.slice(1, 6).toUpperCase();
    await using({ device: part }, (device) => {
      expect(device.capabilities.adapter).toContain(name.slice(1, 6));
      return Promise.resolve();
    });
  });
});

describe("errors end the run", () => {
  test("an invalid dispatch names its launch", async () => {
    await using({}, async (device) => {
      const buffer = device.buffer("x", 256);
      const other = device.buffer("y", 256);
      const pipeline = await device.pipeline(scale);
      const fail = await failure(() => {
        dispatch(device, pipeline, buffer, other, 65536);
        return device.read(other, 0, 4);
      });
      expect(fail.message).toContain("scale");
      expect(fail.why).toContain("65536");
      expect(fail.exit).toBe(Exit.gpu);
      expect(() => device.buffer("later", 16)).toThrow(fail);
      expect(await failure(() => device.done())).toBe(fail);
    });
  });

  test("a failing submit names its label", async () => {
    await using({}, async (device) => {
      const encoder = device.gpu.createCommandEncoder({ label: "twice" });
      const commands = encoder.finish();
      device.submit("once", [commands]);
      device.submit("twice", [commands]);
      expect((await failure(() => device.done())).message).toBe("The GPU refused twice");
    });
  });

  test("a device lost by destroy() is noticed by everything that waits", async () => {
    for (const wait of ["done", "read"] as const) {
      await using({}, async (device) => {
        const buffer = device.buffer("x", 16);
        const waiting = wait === "done" ? device.done() : device.read(buffer, 0, 16);
        device.gpu.destroy();
        expect((await failure(() => waiting)).message).toContain("lost");
        expect(() => device.submit("later", [])).toThrow("lost");
        expect((await failure(() => device.pipeline(scale))).message).toContain("lost");
      });
    }
  });

  test("a silent queue is given up", async () => {
    const endless: Shader = {
      kernel: {
        file: "endless.wgsl",
        code: `@group(0) @binding(0) var<storage, read_write> n: array<atomic<u32>>;
@compute @workgroup_size(1) fn main() { for (var i = 0u; i < 1000000000u; i++) { atomicAdd(&n[0], 1u); } }`,
      },
    };
    await using({ patience: 100 }, async (device) => {
      const pipeline = await device.pipeline(endless);
      const encoder = device.gpu.createCommandEncoder({ label: "endless" });
      const pass = encoder.beginComputePass({ label: "endless" });
      pass.setPipeline(pipeline.gpu);
      pass.setBindGroup(0, device.group(pipeline, [{ buffer: device.buffer("n", 16) }]));
      pass.dispatchWorkgroups(1);
      pass.end();
      device.submit("endless", [encoder.finish()]);
      const began = performance.now();
      const fail = await failure(() => device.done());
      expect(fail.message).toContain("after endless");
      expect(device.close()).toBeUndefined();
      expect(performance.now() - began).toBeLessThan(2000);
    });
  });
});

describe("faults", () => {
  /** Three submits and a read: the work that a lost device interrupts. */
  async function work(device: Device): Promise<Float32Array> {
    const pipeline = await device.pipeline(scale);
    const x = device.buffer("x", 64);
    const y = device.buffer("y", 64);
    device.write(x, 0, new Float32Array(16).fill(1));
    dispatch(device, pipeline, x, y, 1);
    dispatch(device, pipeline, y, x, 1);
    dispatch(device, pipeline, x, y, 1);
    await device.done();
    return floats(await device.read(y, 0, 64));
  }

  test("the device is lost at every submit in turn, until none is left", async () => {
    let n = 1;
    for (;; n++) {
      const result = await withFaults(
        { loseAtSubmit: n },
        (device) => work(device).catch((e) => e),
      );
      if (!(result instanceof Error)) {
        expect(result).toEqual(new Float32Array(16).fill(8));
        break;
      }
      expect(result).toBeInstanceOf(Fail);
      expect((result as Fail).exit).toBe(Exit.gpu);
      expect(result.message).toContain("lost");
    }
    expect(n).toBe(5);
  });

  test("every allocation fails in turn, until none is left", async () => {
    let n = 1;
    for (;; n++) {
      const result = await withFaults(
        { failAllocation: n },
        (device) => work(device).catch((e) => e),
      );
      if (!(result instanceof Error)) break;
      expect((result as Fail).exit).toBe(Exit.memory);
    }
    expect(n).toBe(3);
  });

  test("a byte budget holds to the byte", async () => {
    await withFaults({ budget: 128 }, work);
    const fail = await failure(() => withFaults({ budget: 127 }, work));
    expect(fail.exit).toBe(Exit.memory);
    expect(fail.message).toContain("y");
  });

  test("a poisoned buffer is NaN", async () => {
    const result = await withFaults({ poison: "x" }, work);
    expect(result.every((value) => Number.isNaN(value))).toBe(true);
    expect(new Float16Array(Uint32Array.of(0x7fc07fc0).buffer).every(Number.isNaN)).toBe(true);
  });

  test("reads can lie", async () => {
    expect(await withFaults({ zero: "y" }, work)).toEqual(new Float32Array(16));
    const flipped = await withFaults({ flip: "y" }, work);
    expect(flipped.filter((value) => value !== 8).length).toBe(1);
    await withFaults({ stale: "x" }, async (device) => {
      const x = device.buffer("x", 16);
      await device.read(x, 0, 16);
      device.write(x, 0, Uint8Array.of(1, 2, 3, 4));
      expect(await device.read(x, 0, 16)).toEqual(new Uint8Array(16));
    });
  });
});

describe("an attempt", () => {
  test("that memory ends leaves the device as it was, also where the driver says so late", async () => {
    await using({}, async (device) => {
      const kept = device.buffer("kept", 64);
      device.write(kept, 0, Float32Array.of(7));
      const { gpu } = device, before = device.bytes;
      const failed = await failure(() =>
        device.attempt(async () => {
          device.buffer("first", 4096);
          const pop = gpu.popErrorScope;
          gpu.popErrorScope = async () => {
            await pop.call(gpu);
            return { message: "VK_ERROR_OUT_OF_DEVICE_MEMORY" } as GPUError;
          };
          device.buffer("second", 4096);
          gpu.popErrorScope = pop;
          await device.read(kept, 0, 4);
        })
      );
      expect(failed.exit).toBe(Exit.memory);
      expect(failed.message).toContain("no room for second");
      expect(device.bytes).toBe(before);
      expect(device.peakBytes).toBe(before + 8192);
      device.check();
      const less = await device.attempt(() => Promise.resolve(device.buffer("less", 16)));
      expect(device.bytes).toBe(before + 16);
      expect(floats(await device.read(kept, 0, 4))).toEqual(Float32Array.of(7));
      device.free(less);
    });
  });
  test("that fails otherwise keeps what it made, for whoever asks why", async () => {
    await using({}, async (device) => {
      const work = () => {
        device.buffer("made", 16);
        return Promise.reject(new Fail("a bad row", { exit: Exit.data }));
      };
      expect((await failure(() => device.attempt(work))).exit).toBe(Exit.data);
      expect(device.bytes).toBe(16);
    });
  });
});

test("dispatches that take too long are remembered by their kernel", async () => {
  await using({}, (device) => {
    for (const ms of [50, 80, 70]) device.dispatched("long.wgsl#main", ms);
    device.dispatched("short.wgsl#main", 49);
    expect([...device.slow]).toEqual([["long.wgsl#main", 80]]);
    return Promise.resolve();
  });
});
