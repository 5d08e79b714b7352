import type { Choice, Device, Slice, Tuned } from "../src/gpu/device.ts";
import { Timer } from "../src/gpu/timer.ts";
import type { Launch, Node } from "../src/graph/graph.ts";
import { bytesOf, type Tensor, type View } from "../src/graph/tensor.ts";

/** A kind of work among recorded ops: how often it occurs, and where it does first. */
export interface Found {
  readonly choice: Choice;
  readonly node: Node;
  /** Which of the node's launches. */
  readonly index: number;
  readonly times: number;
}

/** What one kernel took for one kind of work. */
export interface Timing {
  readonly kind: string;
  readonly way: string;
  /** Of one dispatch, the best of three rounds. */
  readonly ns: number;
}

/** The kinds of work among recorded ops that several kernels could do, and what is taken for each. */
export function choicesOf(nodes: readonly Node[], can: Device["capabilities"]): Map<string, Found> {
  const found = new Map<string, Found>();
  for (const node of nodes) {
    node.op.launch(node, can).forEach(({ choice }, index) => {
      if (!choice) return;
      const known = found.get(choice.kind);
      found.set(
        choice.kind,
        known ? { ...known, times: known.times + 1 } : { choice, node, index, times: 1 },
      );
    });
  }
  return found;
}

/** A kernel must be this much faster than the default to be preferred: less is noise. */
const GAIN = 1.03;
/** Milliseconds of work in a round: enough for the coarsest clock. */
const ROUND = 2;
/** Most bytes that one measurement may take. */
const MOST = 2 ** 30;

/**
 * Measures the kernels that could do recorded work on this device: first the defaults, then for the
 * kinds that cost most the others, until the time is up. What was not measured keeps its default, and
 * what the device's table knows already is passed over.
 * @param seconds after which nothing new is begun; compiling counts
 * @param told called before every measurement
 * @returns the fastest kernel of every kind that was compared, and all measurements
 * @throws Fail (gpu)
 */
export async function tune(
  device: Device,
  nodes: readonly Node[],
  { seconds = 4, told }: { seconds?: number; told?: (measured: number, of: number) => void } = {},
): Promise<{ tuned: Tuned; timings: readonly Timing[] }> {
  const until = performance.now() + 1000 * seconds, timings: Timing[] = [];
  const { tuned: known } = device.capabilities;
  const kinds = [...choicesOf(nodes, device.capabilities).values()]
    .filter(({ choice }) => known[choice.kind] === undefined);
  const of = kinds.reduce((sum, { choice }) => sum + choice.ways.length, 0);
  const clock = device.capabilities.timestamps ? new Timer(device) : undefined;
  /** Nanoseconds of each way that there was time for. */
  const compare = async ({ choice: { kind }, node, index }: Found, ways: readonly string[]) => {
    const buffers = new Map<Tensor, GPUBuffer>(), found: number[] = [];
    try {
      for (const way of ways) {
        if (performance.now() > until) break;
        told?.(timings.length, of);
        const can = { ...device.capabilities, tuned: { [kind]: way } };
        const launch = node.op.launch(node, can)[index]!;
        if (bytesBound(launch) > MOST) break;
        const ns = await timed(device, launch, buffers, clock, Math.min(...found));
        found.push(ns);
        timings.push({ kind, way, ns });
      }
    } finally {
      for (const buffer of buffers.values()) device.free(buffer);
    }
    return found;
  };

  try {
    const first: { found: Found; ns: number }[] = [];
    for (const found of kinds) {
      const [ns] = await compare(found, found.choice.ways.slice(0, 1));
      if (ns !== undefined) first.push({ found, ns });
    }
    first.sort((a, b) => b.ns * b.found.times - a.ns * a.found.times);
    const tuned: Record<string, string> = {};
    for (const { found, ns } of first) {
      const { kind, ways: [usual, ...others] } = found.choice;
      const times = await compare(found, others);
      if (times.length < others.length) continue;
      const best = Math.min(...times);
      tuned[kind] = best * GAIN < ns ? others[times.indexOf(best)]! : usual!;
    }
    return { tuned, timings };
  } finally {
    clock?.close();
  }
}

/** Nanoseconds of one dispatch: the best of three rounds, or the first when it is far above `best`. */
async function timed(
  device: Device,
  launch: Launch,
  buffers: Map<Tensor, GPUBuffer>,
  clock: Timer | undefined,
  best: number,
): Promise<number> {
  const pipeline = await device.pipeline(launch.shader);
  const slices = launch.bind.map((bound) => slice(device, bound, buffers));
  const group = device.group(pipeline, slices);
  const round = async (repeats: number) => {
    const began = performance.now();
    const encoder = device.gpu.createCommandEncoder({ label: "tune" });
    const pass = clock?.pass(encoder, "tune") ?? encoder.beginComputePass();
    pass.setPipeline(pipeline.gpu);
    pass.setBindGroup(0, group);
    for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(...launch.workgroups);
    pass.end();
    device.submit(`tune ${pipeline.label}`, [encoder.finish()]);
    await device.done();
    const wall = 1e6 * (performance.now() - began);
    // A clock that ticks more coarsely than the work takes says nothing.
    return ((await clock?.collect())?.get("tune")?.ns || wall) / repeats;
  };
  await round(1); // drivers compile only now
  const once = await round(1);
  if (once > 3 * best) return once;
  const repeats = Math.min(1000, Math.ceil(1e6 * ROUND / once));
  return Math.min(once, await round(repeats), await round(repeats), await round(repeats));
}

const specOf = (bound: Tensor | View) =>
  "tensor" in bound ? { shape: bound.shape, dtype: bound.tensor.dtype } : bound;
const bytesBound = ({ bind }: Launch) => bind.reduce((sum, b) => sum + bytesOf(specOf(b)), 0);

/** A buffer of a binding's size, its content or noise in it; equal bindings share it. */
function slice(device: Device, bound: Tensor | View, buffers: Map<Tensor, GPUBuffer>): Slice {
  const tensor = "tensor" in bound ? bound.tensor : bound, bytes = bytesOf(specOf(bound));
  let buffer = buffers.get(tensor);
  if (!buffer) {
    buffer = device.buffer(`tune ${tensor.name}`, bytes);
    buffers.set(tensor, buffer);
    if (tensor.data) device.write(buffer, 0, tensor.data);
    else {for (let at = 0; at < bytes; at += noise.byteLength) {
        device.write(
          buffer,
          at,
          new Uint8Array(noise.buffer, 0, Math.min(noise.byteLength, bytes - at)),
        );
      }}
  }
  return { buffer, bytes };
}

/** Numbers whose halves are finite as f16 and bf16 too: the speed of a GPU depends on what it multiplies. */
const noise = Uint32Array.from({ length: 2 ** 18 }, (_, i) => {
  const half = (n: number) => 0x3000 + (Math.imul(n, 0x9e3779b1) >>> 20);
  return half(2 * i) << 16 | half(2 * i + 1);
});
