import type { Capabilities } from "../src/gpu/device.ts";
import { Device } from "../src/gpu/device.ts";
import { Graph, type Node, type Op } from "../src/graph/graph.ts";
import { inPlace } from "../src/graph/runner.ts";
import { backward } from "../src/graph/backward.ts";
import { runReference } from "./reference.ts";
import {
  bytesOf,
  count,
  type DType,
  type Shape,
  show,
  storageOf,
  type Tensor,
  type View,
} from "../src/graph/tensor.ts";
import { isBlocks } from "../src/formats/gguf_planes.ts";
import { quantiseRows } from "../src/formats/int8.ts";
import { add } from "./add/add.ts";
import { blockWords, roundToBlocks } from "./common/gguf.ts";
import { layInt8, roundToInt8 } from "./common/int8.ts";
import { isNf4, nf4Words, roundToNf4 } from "./common/nf4.ts";
import { MOST_F16 } from "./common/stored.ts";

/** One operand of a case. Floats are drawn from [-1, 1) · scale unless `data` is given. */
export interface Operand {
  readonly shape: Shape;
  readonly dtype?: DType;
  readonly data?: ArrayLike<number>;
  readonly scale?: number;
  /** Has no derivative to check: masks, indices, targets. f16 has one: it may be an activation. */
  readonly grad?: false;
}

export interface Case<A> {
  readonly op: Op<A>;
  readonly attrs: A;
  readonly inputs: readonly Operand[];
  readonly seed?: number;
}

/** A small generator for test data (splitmix32): the same numbers on every machine, in [-1, 1). */
export function noise(seed: number): () => number {
  return () => {
    seed = (seed + 0x9e3779b9) | 0;
    let z = seed ^ (seed >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 31 - 1;
  };
}

/** The operand's numbers, rounded to what its dtype can hold. */
function values(operand: Operand, next: () => number): Float64Array {
  const { shape, dtype = "f32", scale = 1 } = operand, n = count(shape);
  const raw = operand.data
    ? Float64Array.from(operand.data)
    : Float64Array.from({ length: n }, () => next() * scale);
  if (raw.length !== n) {
    throw new Error(`operand of shape [${shape}] was given ${raw.length} numbers`);
  }
  if (dtype === "f32") return raw.map(Math.fround);
  if (dtype === "f16") return raw.map(Math.f16round);
  if (dtype === "bf16") return raw.map((v) => widen(bf16Bits(v)));
  if (dtype === "int8") return roundToInt8(raw, shape);
  if (isNf4(dtype)) return roundToNf4(raw, { shape, dtype });
  if (isBlocks(dtype)) return roundToBlocks(raw, shape, dtype);
  return raw;
}
function bf16Bits(v: number): number {
  const bits = new Uint32Array(Float32Array.of(v).buffer)[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
const widen = (bits: number) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;

/** The bytes a device holds for these numbers. */
function encode(numbers: Float64Array, { shape, dtype }: Tensor): Uint8Array {
  if (dtype === "int8") {
    const coded = quantiseRows(Float32Array.from(numbers), count(shape) / shape[0]!);
    return new Uint8Array(layInt8(coded, shape).buffer);
  }
  if (isNf4(dtype)) return new Uint8Array(nf4Words(numbers).buffer);
  if (isBlocks(dtype)) return new Uint8Array(blockWords(numbers).buffer);
  const array = dtype === "f32"
    ? Float32Array.from(numbers)
    : dtype === "u32"
    ? Uint32Array.from(numbers)
    : dtype === "f16"
    ? Float16Array.from(numbers)
    : Uint16Array.from(numbers, bf16Bits);
  return new Uint8Array(array.buffer);
}

/** Makes an activation stored in f16 of a tensor that learns, so that its gradient can be asked for. */
const store: Op<null> = {
  name: "store",
  infer: ([x]) => [{ shape: x!.shape, dtype: "f16" }],
  reference: ([x]) => [x!],
  launch: () => [],
  backward: (_g, { inputs: [x] }, [d]) => {
    if (d!.dtype !== "f32") throw new Error(`the gradient of ${show(x!)} in f16 is ${show(d!)}`);
    return [d];
  },
};

function record<A>({ op, attrs, inputs, seed = 1 }: Case<A>, stores = false) {
  const g = new Graph(), next = noise(seed), given = new Map<Tensor, Float64Array>();
  const tensors = inputs.map((operand, i) => {
    const { shape, dtype = "f32", grad } = operand;
    const stored = stores && dtype === "f16";
    const learns = grad !== false && (dtype === "f32" || stored) && op.backward !== undefined;
    const t = learns ? g.trained(`in${i}`, shape) : g.input(`in${i}`, shape, dtype);
    given.set(t, values(operand, next));
    return t;
  });
  const operands = tensors.map((t, i) =>
    t.dtype === (inputs[i]!.dtype ?? "f32") ? t : g.add(store, [t], null)[0]!
  );
  const outputs = g.add(op, operands, attrs);
  return { g, given, tensors, outputs, node: g.nodes.at(-1) as Node<A> };
}

/**
 * Compares the recorded derivative with central differences of the reference, both in float64, without
 * a GPU. Every differentiable output is weighted with fixed random numbers to make one scalar.
 * @param outputs which outputs carry gradient (default: the first)
 * @throws Error naming the worst element when it is off by more than `tolerance`, relative
 * @returns the worst relative error
 */
export function checkDerivative<A>(
  c: Case<A>,
  outputs: readonly number[] = [0],
  tolerance = 1e-6,
): number {
  const { g, given, tensors, outputs: made } = record(c, true);
  const next = noise(77);
  const weights = outputs.map((o) => Float64Array.from({ length: count(made[o]!.shape) }, next));
  const scalar = (vs: Map<Tensor, Float64Array>) => {
    let total = 0;
    outputs.forEach((o, k) => vs.get(made[o]!)!.forEach((v, i) => total += v * weights[k]![i]!));
    return total;
  };
  let loss: Tensor | undefined;
  outputs.forEach((o, k) => {
    const w = g.input(`weight${k}`, made[o]!.shape, "f32");
    given.set(w, weights[k]!);
    const part = g.add(dot, [made[o]!, w], null)[0]!;
    loss = loss ? g.add(add, [loss, part], null)[0]! : part;
  });
  const forward = g.nodes.slice();
  const grads = new Map<Tensor, Tensor>();
  backward(g, loss!, {
    sum: add,
    trained: (t, grad) =>
      grads.set(t, grads.has(t) ? g.add(add, [grads.get(t)!, grad], null)[0]! : grad),
  });
  const after = runReference(g.nodes, given);
  let worst = 0;
  for (const t of tensors.filter((t) => t.needsGrad)) {
    const got = grads.has(t) ? after.get(grads.get(t)!)! : new Float64Array(count(t.shape));
    const at = given.get(t)!;
    // All elements of small tensors; a fixed spread of the larger ones.
    const stride = Math.max(1, Math.floor(at.length / 64));
    for (let i = 0; i < at.length; i += stride) {
      const keep = at[i]!, h = 1e-5;
      const moved = (v: number) => (at[i] = v, scalar(runReference(forward, given)));
      const numeric = (moved(keep + h) - moved(keep - h)) / (2 * h);
      at[i] = keep;
      const error = Math.abs(numeric - got[i]!) /
        Math.max(1e-3, Math.abs(numeric) + Math.abs(got[i]!));
      if (!(error <= tolerance)) {
        throw new Error(
          `d ${c.op.name} / d ${t.name}[${i}]: recorded ${got[i]}, differences ${numeric}`,
        );
      }
      worst = Math.max(worst, error);
    }
  }
  return worst;
}

/** sum(a · b), for weighting outputs in `checkDerivative`; has no kernel. */
const dot: Op<null> = {
  name: "dot",
  infer: () => [{ shape: [1], dtype: "f32" }],
  reference: ([a, b]) => [Float64Array.of(a!.reduce((s, v, i) => s + v * b![i]!, 0))],
  launch: () => [],
  backward: (g, { inputs: [a, b] }, [d], wants) => [
    wants[0] ? g.add(spread, [d!, b!], null)[0] : undefined,
    wants[1] ? g.add(spread, [d!, a!], null)[0] : undefined,
  ],
};
const spread: Op<null> = {
  name: "spread",
  infer: ([, b]) => [b!],
  reference: ([d, b]) => [b!.map((v) => v * d![0]!)],
  launch: () => [],
};

let opened: Promise<Device | undefined> | undefined;
/** The machine's adapter, opened once for all tests; undefined, with a printed reason, where there is none. */
export function testDevice(): Promise<Device | undefined> {
  return opened ??= Device.open().catch((error) => {
    console.warn(`SKIPPED on the GPU: ${error.message}`);
    return undefined;
  });
}

export interface Tolerance {
  /** Largest allowed |got - want| of element i of output o. Default: 2e-6 · |want| + 1e-6. */
  readonly bound?: (o: number, i: number, want: number) => number;
  /** Outputs not compared (scratch). */
  readonly skip?: readonly number[];
}

const GUARD = 256; // bytes before and after every tensor
const SENTINEL = 0x7fc0dead; // a NaN that no kernel writes

/**
 * Runs every variant of the op on the device and compares it with the float64 reference: guard zones
 * around all buffers, outputs filled with a sentinel first, twice with equal bits.
 * @throws Error naming variant, output and element
 * @returns the number of variants that ran (0 without a device), and the worst |error| / bound
 */
export async function checkKernel<A>(
  c: Case<A>,
  tolerance: Tolerance = {},
): Promise<{ variants: number; worst: number }> {
  const device = await testDevice();
  if (!device) return { variants: 0, worst: 0 };
  const { given, node } = record(c);
  const want = runReference([node as Node], given);
  const bound = tolerance.bound ?? ((_o, _i, w) => 2e-6 * Math.abs(w) + 1e-6);
  const seen = new Set<string>();
  let worst = 0;
  const ways = variantsOf(device.capabilities).flatMap((can) =>
    [undefined, ...placesOf(node)].map((over) => ({ can, over }))
  );
  for (const { can, over } of ways) {
    const launches = node.op.launch(node, can);
    const key = (await Promise.all(launches.map(async (l) =>
      (await device.pipeline(l.shader)).key
    ))).join() + String(over);
    if (seen.has(key)) continue;
    seen.add(key);
    const files = launches.map((l) => l.shader.kernel.file).join(" ") +
      (over ? ` in the place of input ${over[1]}` : "");
    const first = await runLaunches(device, node, given, can, over),
      second = await runLaunches(device, node, given, can, over);
    node.outputs.forEach((t, o) => {
      if (tolerance.skip?.includes(o)) return;
      const got = first[o]!, expected = want.get(t)!;
      const words = new Uint32Array(got.buffer, GUARD),
        again = new Uint32Array(second[o]!.buffer, GUARD);
      const half = t.dtype === "f16" ? 2 : 1; // numbers in a word
      for (let i = 0; i < expected.length; i++) {
        const where = `${c.op.name} (${files}) output ${o} [${t.shape}] element ${i}`;
        const word = Math.floor(i / half);
        if (words[word] === SENTINEL) throw new Error(`${where} was not written`);
        if (words[word] !== again[word]) throw new Error(`${where} differs between two runs`);
        const value = got[i]!, want = half === 2 ? stored(expected[i]!) : expected[i]!;
        if (Object.is(value, want) || value === want) continue;
        const allowed = bound(o, i, want) + (half === 2 ? rounding(want) : 0);
        const error = Math.abs(value - want) / allowed;
        if (!(error <= 1)) {
          throw new Error(
            `${where}: got ${value}, want ${want}, ${error.toPrecision(3)} × the bound`,
          );
        }
        worst = Math.max(worst, error);
      }
    });
  }
  return { variants: seen.size, worst };
}

/** What f16 makes of numbers that are too large for it. */
const stored = (want: number) => Math.min(Math.max(want, -MOST_F16), MOST_F16);

/** Half a unit in the last of f16's 11 digits; a whole one of its smallest number. */
const rounding = (want: number) => 2 ** -11 * 1.001 * Math.abs(want) + 2 ** -24;

function variantsOf(can: Capabilities): Capabilities[] {
  return [can, { ...can, subgroups: false, subgroupSize: undefined }, { ...can, f16: false }];
}

/** Pairs of an output and an input in whose place it may lie. */
function placesOf<A>({ op, inputs, outputs, attrs }: Node<A>): (readonly [number, number])[] {
  return (op.inPlace?.(attrs) ?? []).filter(([o, i]) => {
    const x = inputs[i], y = outputs[o];
    return x && y && x.dtype === y.dtype && bytesOf(x) === bytesOf(y);
  });
}

/** @param over an output, by number, and the input that it takes the place of */
async function runLaunches<A>(
  device: Device,
  node: Node<A>,
  given: Map<Tensor, Float64Array>,
  can: Capabilities,
  over?: readonly [number, number],
): Promise<(Float32Array | Uint32Array | Float16Array)[]> {
  const buffers = new Map<Tensor, GPUBuffer>();
  const padded = (t: Tensor) => Math.ceil(bytesOf(t) / 256) * 256;
  for (const t of [...node.inputs, ...node.outputs]) {
    const home = storageOf(t);
    if (buffers.has(home)) continue;
    const words = new Uint32Array((GUARD * 2 + padded(home)) / 4).fill(SENTINEL);
    const content = given.get(home) ?? (home.data && Float64Array.from(home.data));
    if (content) new Uint8Array(words.buffer).set(encode(content, home), GUARD);
    const buffer = device.buffer(`${node.op.name} ${t.name}`, words.byteLength);
    device.write(buffer, 0, words);
    buffers.set(home, buffer);
    const [y, x] = over ? [node.outputs[over[0]]!, node.inputs[over[1]]!] : [];
    if (y && home === x) buffers.set(y, buffer);
  }
  // Sizes that a launch binds beside the op's own tensors.
  const constant = (t: Tensor) => {
    if (!t.data) return undefined;
    const buffer = device.buffer(t.name, GUARD + bytesOf(t));
    device.write(buffer, GUARD, t.data);
    buffers.set(t, buffer);
    return buffer;
  };
  const place = (bound: Tensor | View) => {
    const view = "tensor" in bound ? bound : { tensor: bound, offset: 0, shape: bound.shape };
    const word = view.tensor.dtype === "f32" || view.tensor.dtype === "u32" ? 4 : 2;
    const size = bytesOf({ shape: view.shape, dtype: view.tensor.dtype });
    const buffer = buffers.get(storageOf(view.tensor)) ?? constant(view.tensor);
    if (!buffer) {
      throw new Error(`${node.op.name} binds ${show(view.tensor)}, which is not its own`);
    }
    return { buffer, offset: GUARD + view.offset * word, size };
  };
  for (const made of node.op.launch(node, can)) {
    const launch = inPlace(made, place);
    const { gpu, layout } = await device.pipeline(launch.shader);
    const entries = launch.bind.map((bound, binding) => ({ binding, resource: place(bound) }));
    const encoder = device.gpu.createCommandEncoder(), pass = encoder.beginComputePass();
    pass.setPipeline(gpu);
    pass.setBindGroup(0, device.gpu.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...launch.workgroups);
    pass.end();
    device.submit(`check ${node.op.name} ${launch.shader.kernel.file}`, [encoder.finish()]);
  }
  await device.done();
  const results = [];
  for (const t of node.outputs) {
    const buffer = buffers.get(storageOf(t))!;
    const words = new Uint32Array(
      (await device.read(buffer, 0, GUARD * 2 + padded(t))).slice().buffer,
    );
    const bytes = Math.ceil(bytesOf(t) / 4);
    words.forEach((word, i) => {
      const inside = i >= GUARD / 4 && i < GUARD / 4 + bytes;
      if (!inside && word !== SENTINEL) {
        throw new Error(`${node.op.name} wrote outside ${show(t)}, word ${i - GUARD / 4}`);
      }
    });
    const type = t.dtype === "f16" ? Float16Array : t.dtype === "u32" ? Uint32Array : Float32Array;
    results.push(new type(words.buffer, GUARD, count(t.shape)));
  }
  for (const buffer of new Set(buffers.values())) device.free(buffer);
  return results;
}
