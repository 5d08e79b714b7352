import { layInt8 } from "../../../kernels/common/int8.ts";
import { layNf4 } from "../../../kernels/common/nf4.ts";
import { fromF32 } from "../../base/bits.ts";
import { uniformFill } from "../../base/random.ts";
import { quantiseRows } from "../../formats/int8.ts";
import { nest, quantise } from "../../formats/nf4.ts";
import type { Capabilities, Device } from "../../gpu/device.ts";
import { Timer } from "../../gpu/timer.ts";
import { Graph, type Launch, type Node, type Op } from "../../graph/graph.ts";
import {
  bytesOf,
  count,
  type DType,
  type Shape,
  storageOf,
  type Tensor,
} from "../../graph/tensor.ts";
import { type Summary, summary } from "./statistics.ts";

/** An operand of an op to be measured: random numbers in [-1, 1) unless it says which. */
export interface Operand {
  readonly shape: Shape;
  readonly dtype?: DType;
  /** As the device holds it. */
  readonly data?: Float32Array | Uint32Array;
  /** Numbers to be rounded to the type. */
  readonly values?: Float32Array;
}

/** One op on operands of given shapes. */
export interface Work<A = unknown> {
  readonly op: Op<A>;
  readonly attrs: A;
  readonly inputs: readonly Operand[];
}

/** How one op did. Times in seconds a run. */
export interface Timing extends Summary {
  /** Files of the kernels that ran. */
  readonly kernels: readonly string[];
  /** Until the first run was done: it holds the driver's compilation. */
  readonly first: number;
  /** Processor seconds of the best run, on a software adapter: what else the machine does disturbs them less. */
  readonly cpu?: number;
  /** Arithmetic of one run, where the op counts it. */
  readonly flops: number;
  /** Bytes of its operands and results, each counted once. */
  readonly bytes: number;
}

/** When one measurement ends. */
export interface Patience {
  /** Most samples. */
  readonly rounds: number;
  /** Seconds after which no further sample is begun, once there are three. */
  readonly seconds: number;
}

interface Dispatch {
  readonly gpu: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: Launch["workgroups"];
}

/** Shortest sample, seconds: clocks tick too coarsely for less. */
const SAMPLE = 0.02;

/** One op on the device with its operands, ready to run any number of times. */
export interface Replay {
  readonly kernels: readonly string[];
  readonly flops: number;
  readonly bytes: number;
  /** Seconds of one of `repeats` runs in a row: from submit to done, and by the GPU's clock where it has one. */
  run(repeats: number): Promise<{ readonly wall: number; readonly gpu?: number }>;
  /** The first output's bytes. */
  result(): Promise<Uint8Array>;
  free(): void;
}

/**
 * Puts an op on the device.
 * @param can what its kernels are chosen by
 * @throws Fail as Device does
 */
export async function replay<A>(
  device: Device,
  work: Work<A>,
  can: Capabilities = device.capabilities,
): Promise<Replay> {
  const g = new Graph(), { op } = work;
  const inputs = work.inputs.map(({ shape, dtype = "f32" }, i) => g.input(`in${i}`, shape, dtype));
  const outputs = g.add(op, inputs, work.attrs);
  const node = g.nodes[0] as Node<A>;
  const launches = op.launch(node, can);
  const timer = device.capabilities.timestamps ? new Timer(device) : undefined;
  const buffers = new Map<Tensor, GPUBuffer>();
  const place = (t: Tensor, content?: ArrayBufferView) => {
    const buffer = device.buffer(`bench ${op.name} ${t.name}`, bytesOf(t));
    buffers.set(t, buffer);
    if (content) device.write(buffer, 0, content);
  };
  const free = () => {
    timer?.close();
    for (const buffer of buffers.values()) device.free(buffer);
  };
  try {
    inputs.forEach((t, i) => place(t, content(t, work.inputs[i]!, i)));
    for (const t of outputs) if (!t.storage) place(t);
    const dispatches: Dispatch[] = [];
    for (const { shader, bind, workgroups } of launches) {
      const pipeline = await device.pipeline(shader);
      device.checkWorkgroups(op.name, workgroups);
      const slices = bind.map((bound) => {
        const view = "tensor" in bound ? bound : { tensor: bound, offset: 0, shape: bound.shape };
        const t = storageOf(view.tensor), { dtype } = view.tensor;
        if (!buffers.has(t)) place(t, t.data);
        const word = dtype === "f32" || dtype === "u32" ? 4 : 2;
        const bytes = bytesOf({ shape: view.shape, dtype });
        return { buffer: buffers.get(t)!, offset: view.offset * word, bytes };
      });
      dispatches.push({
        gpu: pipeline.gpu,
        group: device.group(pipeline, slices),
        workgroups,
      });
    }
    await device.done();
    const distinct = new Set([...inputs, ...outputs].map(storageOf));
    return {
      kernels: [...new Set(launches.map(({ shader }) => shader.kernel.file))],
      flops: op.flops?.(node) ?? 0,
      bytes: [...distinct].reduce((sum, t) => sum + bytesOf(t), 0),
      async run(repeats) {
        const began = performance.now();
        const encoder = device.gpu.createCommandEncoder({ label: op.name });
        const pass = timer?.pass(encoder, op.name) ??
          encoder.beginComputePass();
        for (let i = 0; i < repeats; i++) {
          for (const { gpu, group, workgroups: [x, y, z] } of dispatches) {
            pass.setPipeline(gpu);
            pass.setBindGroup(0, group);
            pass.dispatchWorkgroups(x, y, z);
          }
        }
        pass.end();
        device.submit(`bench ${op.name}`, [encoder.finish()]);
        await device.done();
        const wall = (performance.now() - began) / 1000 / repeats;
        const ns = (await timer?.collect())?.get(op.name)?.ns;
        // A clock that ticks more coarsely than the run takes says nothing.
        return ns ? { wall, gpu: ns / 1e9 / repeats } : { wall };
      },
      result() {
        const t = storageOf(outputs[0]!);
        return device.read(buffers.get(t)!, 0, bytesOf(t));
      },
      free,
    };
  } catch (error) {
    free();
    throw error;
  }
}

/**
 * Runs one op again and again on the device: once to compile, once to see how long it takes, then
 * samples of as many runs as make 20 ms. Timed by the GPU's clock where it has one, else from submit
 * to done.
 * @throws Fail as Device does
 */
export async function timeOp<A>(
  device: Device,
  work: Work<A>,
  patience: Patience,
  can?: Capabilities,
): Promise<Timing> {
  const { run: once, free, ...facts } = await replay(device, work, can);
  try {
    const run = async (repeats: number) => {
      const { wall, gpu = wall } = await once(repeats);
      return gpu;
    };
    const began = performance.now();
    const compiled = await run(1), first = (performance.now() - began) / 1000;
    const repeats = Math.ceil(SAMPLE / Math.min(compiled, await run(1)));
    const often = Math.min(1000, Math.max(1, repeats));
    const samples: number[] = [];
    let cpu = Infinity;
    for (const start = performance.now(); samples.length < patience.rounds;) {
      const enough = performance.now() - start > patience.seconds * 1000;
      if (samples.length >= 3 && enough) break;
      const before = process.cpuUsage();
      samples.push(await run(often));
      const { user, system } = process.cpuUsage(before);
      cpu = Math.min(cpu, (user + system) / 1e6 / often);
    }
    return {
      ...summary(samples),
      kernels: facts.kernels,
      first,
      ...(device.capabilities.software ? { cpu } : {}),
      flops: facts.flops,
      bytes: facts.bytes,
    };
  } finally {
    free();
  }
}

function content(t: Tensor, { data, values }: Operand, seed: number): ArrayBufferView {
  return data ?? encoded(t, values ?? random(t, seed));
}

/** A short stretch of random numbers, again and again: drawing them takes longer than the kernel. */
function random(t: Tensor, seed: number): Float32Array {
  const numbers = new Float32Array(count(t.shape));
  const drawn = uniformFill(1, seed, Math.min(numbers.length, 2 ** 16), -1, 1);
  for (let at = 0; at < numbers.length; at += drawn.length) {
    numbers.set(drawn.subarray(0, numbers.length - at), at);
  }
  return numbers;
}

function encoded(t: Tensor, numbers: Float32Array): ArrayBufferView {
  switch (t.dtype) {
    case "int8":
      return layInt8(quantiseRows(numbers, t.shape[1]!), t.shape);
    case "nf4":
      return layNf4(quantise(numbers), t.shape);
    case "nf4_double": {
      const q = quantise(numbers);
      return layNf4(q, t.shape, nest(q.scales));
    }
    case "f16":
      return fromF32(numbers, "F16");
    case "bf16":
      return fromF32(numbers, "BF16");
    case "u32":
      return new Uint32Array(numbers.length);
    default:
      return numbers;
  }
}
