import { expect, test } from "bun:test";
import { noise } from "../../kernels/check.ts";
import { accumulate } from "../../kernels/accumulate/accumulate.ts";
import { add } from "../../kernels/add/add.ts";
import { concatRows, splitRows } from "../../kernels/concat_rows/concat_rows.ts";
import { geluNew } from "../../kernels/gelu_new/gelu_new.ts";
import { matmul } from "../../kernels/matmul/matmul.ts";
import { runReference } from "../../kernels/reference.ts";
import { rmsnorm } from "../../kernels/rmsnorm/rmsnorm.ts";
import { siluMulBackward } from "../../kernels/silu_mul/silu_mul.ts";
import { squareSum } from "../../kernels/square_sum/square_sum.ts";
import { revolve } from "../base/revolve.ts";
import { backward, type Checkpoints } from "./backward.ts";
import { Graph } from "./graph.ts";
import { layoutArena } from "./memory.ts";
import { type Plan, plan, prune } from "./plan.ts";
import { bytesOf, count, offsetOf, storageOf, type Tensor } from "./tensor.ts";

const T = 6, C = 8, LAYERS = 4;

/** A few residual blocks whose weights all learn; a scalar at the end. */
function network(keep?: Checkpoints) {
  const g = new Graph();
  let x = g.input("x", [T, C], "f32");
  for (let i = 0; i < LAYERS; i++) {
    x = g.block(`layers.${i}`, () => {
      const h = rmsnorm(g, x, g.frozen("norm", [C]), 1e-5);
      const inner = geluNew(g, matmul(g, h, g.trained("up", [3 * C, C]), { form: "nt" }));
      const y = matmul(g, inner, g.trained("down", [C, 3 * C]), { form: "nt" });
      return g.add(add, [x, y], null)[0]!;
    });
  }
  // One number that depends on all of x, through an op that has a derivative.
  const pooled = matmul(
    g,
    matmul(g, g.frozen("row", [1, T]), x, { form: "nn" }),
    g.frozen("out", [1, C]),
    {
      form: "nt",
    },
  );
  const loss = g.add(add, [pooled, pooled], null)[0]!;
  const forward = g.nodes.slice();
  const grads = new Map<string, Tensor>();
  backward(g, loss, {
    sum: add,
    trained: (t, d) => grads.set(t.name, accumulate(g, g.gradient(t), d)),
    keep,
  });
  return { g, loss, forward, grads };
}

function values(g: Graph): Map<Tensor, Float64Array> {
  const next = noise(5), given = new Map<Tensor, Float64Array>();
  for (const home of ["input", "frozen", "trained"] as const) {
    for (const t of g.all(home)) given.set(t, Float64Array.from({ length: count(t.shape) }, next));
  }
  for (const t of g.all("gradient")) given.set(t, new Float64Array(count(t.shape)));
  return given;
}

/** Every way of keeping four blocks' values, and results between them. */
const SCHEDULES = [0, 1, 2, 3, 4].flatMap((whole) =>
  [...Array(Math.max(1, LAYERS - whole)).keys()].map((held): Checkpoints => ({ whole, held }))
);

test("the derived backward agrees with differences through a whole network, whatever blocks keep", () => {
  const found = [undefined, ...SCHEDULES].map((keep) => {
    const { g, loss, forward, grads } = network(keep), given = values(g);
    const after = runReference(g.nodes, given);
    for (const t of g.all("trained")) {
      const at = given.get(t)!, gradient = after.get(grads.get(t.name)!)!;
      for (const i of [0, 7, at.length - 1]) {
        const keep = at[i]!, h = 1e-5;
        const moved = (v: number) => (at[i] = v, runReference(forward, given).get(loss)![0]!);
        const slope = (moved(keep + h) - moved(keep - h)) / (2 * h);
        at[i] = keep;
        expect(Math.abs(slope - gradient[i]!)).toBeLessThan(1e-7 * Math.max(1, Math.abs(slope)));
      }
    }
    return new Map([...grads].map(([name, t]) => [name, after.get(t)!]));
  });
  for (const other of found) expect(other).toEqual(found[0]!);
});

/** How often the blocks' first product is computed, and the bytes alive at the worst moment. */
function work(keep?: Checkpoints) {
  const { g, loss } = network(keep), nodes = prune(g.nodes, [loss]);
  const forward = new Set(g.all("trained").filter((t) => t.name.endsWith("up")));
  const computed =
    nodes.filter(({ op, inputs: [, w], attrs }) =>
      op.name === "matmul" && forward.has(w!) && (attrs as { form: string }).form === "nt"
    ).length;
  return { computed, bytes: plan(nodes, [loss]).peakLive };
}

test("blocks that keep less are computed again as often as the schedule says, and take less memory", () => {
  expect(work().computed).toBe(LAYERS);
  for (const { whole, held } of SCHEDULES) {
    const chain = LAYERS - whole; // its first way is the forward pass itself
    const again = chain === 0 ? 0 : chain + revolve(chain, held).advances - (chain - 1);
    expect(work({ whole, held }).computed).toBe(LAYERS + again);
  }
  const [all, results, few] = [undefined, { whole: 0, held: 3 }, { whole: 0, held: 0 }].map(work);
  expect(results!.bytes).toBeLessThan(all!.bytes);
  expect(few!.bytes).toBeLessThan(results!.bytes);
});

test("norms and activations are made again rather than kept", () => {
  const { g, loss } = network(), nodes = prune(g.nodes, [loss]), { lives } = plan(nodes, [loss]);
  const back = nodes.findIndex((node) => node.outputs.includes(loss));
  for (const [t, { born, dies }] of lives) {
    const light = nodes[born]!.op.light && t === nodes[born]!.outputs[0];
    if (light) expect(born > back || dies <= back).toBe(true);
  }
  const gelus = nodes.filter((node) => node.op.name === "gelu_new");
  expect(gelus).toHaveLength(2 * LAYERS);
});

test("revolve() takes no more advances than Griewank and Walther's formula", () => {
  const choose = (n: number, k: number): number => k === 0 ? 1 : choose(n - 1, k - 1) * n / k;
  for (let blocks = 1; blocks <= 40; blocks++) {
    for (let held = 0; held < blocks; held++) {
      const c = held + 1;
      let r = 0;
      while (choose(c + r, c) < blocks) r++;
      expect(revolve(blocks, held).advances).toBe(r * blocks - choose(c + r, c + 1));
    }
  }
  expect(revolve(10, 2)).toEqual({ step: 4, advances: 15 }); // by hand: 4, then 6 on 1, then 4 on 2
});

test("a value lies untouched from its making to its last use, apart from what a node writes", () => {
  for (const keep of [undefined, ...SCHEDULES]) {
    const { g, loss } = network(keep), nodes = prune(g.nodes, [loss]);
    const { placeOf, slotBytes, peakLive, first } = plan(nodes, [loss]);
    // Every 256 bytes of every slot, and what is in them.
    const holders = slotBytes.map((bytes) => new Array<Tensor | undefined>(bytes / 256));
    const blocks = (t: Tensor) => {
      const { slot, offset } = placeOf.get(t)!, from = offset / 256;
      return { slot, from, to: from + Math.ceil(bytesOf(t) / 256) };
    };
    const holds = (t: Tensor) => {
      const { slot, from, to } = blocks(t);
      return holders[slot]!.slice(from, to).every((other) => other === t);
    };
    for (const node of nodes) {
      const read = node.inputs.filter((t) => placeOf.has(t));
      const written = node.outputs.filter((t) => placeOf.has(t));
      expect(read.every(holds)).toBe(true);
      for (const t of written) {
        const held = first.get(t) ?? t, { slot, from, to } = blocks(t);
        const others = [...read, ...written].filter((other) =>
          (first.get(other) ?? other) !== held
        );
        expect(others.every((other) => placeOf.get(other)!.slot !== slot)).toBe(true);
        expect(to * 256).toBeLessThanOrEqual(slotBytes[slot]!);
        holders[slot]!.fill(t, from, to);
      }
    }
    expect(holds(loss)).toBe(true);
    expect(slotBytes.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(peakLive);
  }
});

test("prune() drops what nothing needs and keeps updates in place", () => {
  const g = new Graph(), x = g.input("x", [4], "f32");
  const used = g.add(add, [x, x], null)[0]!;
  g.add(add, [used, x], null);
  accumulate(g, g.state("s", [1]), squareSum(g, used));
  const kept = prune(g.nodes, []).map((node) => node.op.name);
  expect(kept.filter((name) => name === "add")).toHaveLength(1);
  expect(kept.at(-1)).toBe("accumulate");
});

test("the arena keeps tensors whole, aligned and apart", () => {
  const g = new Graph();
  const tensors = [65, 1, 200, 64].map((n, i) => g.trained(`t${i}`, [n]));
  const { pages, at } = layoutArena(tensors, 256);
  expect(pages).toEqual([192, 256, 64]);
  expect([...at.values()]).toEqual([
    { page: 0, offset: 0 },
    { page: 0, offset: 128 },
    { page: 1, offset: 0 },
    { page: 2, offset: 0 },
  ]);
});

test("tensors of different groups share no page", () => {
  const g = new Graph();
  const tensors = [64, 65, 128, 64, 1].map((n, i) => g.trained(`t${i}`, [n]));
  const odd = ({ name }: { readonly name: string }) => Number(name.slice(1)) % 2;
  const { pages, groups, at } = layoutArena(tensors, 256, odd);
  expect([pages, groups]).toEqual([[256, 192], [0, 1]]);
  for (const t of tensors) expect(groups[at.get(t.name)!.page]).toBe(odd(t));
  expect([...at.values()].map(({ offset }) => offset)).toEqual([0, 0, 64, 128, 192]);
});

/** A random record of products, sums, activations, norms and stretches, and every value that it makes. */
function tangle(seed: number) {
  const g = new Graph(),
    next = noise(seed),
    below = (n: number) => Math.floor((next() + 1) / 2 * n);
  const made = [g.input("a", [128, 8], "f32"), g.input("b", [128, 8], "f32")];
  const gain = g.frozen("gain", [8]), w = g.frozen("w", [8, 8]);
  const one = () => made[Math.max(0, made.length - 1 - below(5))]!;
  for (let i = 0; i < 60; i++) {
    const x = one(), others = made.filter((t) => t.shape[0] === x.shape[0]);
    const y = others[below(others.length)]!;
    switch (below(7)) {
      case 0:
        made.push(matmul(g, x, w, { form: "nt", add: y }));
        break;
      case 1:
        made.push(...g.add(siluMulBackward, [x, y, others.at(-1)!], null));
        break;
      case 2:
        made.push(rmsnorm(g, x, gain, 1e-5));
        break;
      case 3:
        made.push(geluNew(g, x));
        break;
      case 4:
        if (x.shape[0] === 128) made.push(...splitRows(g, x, 64));
        break;
      case 5:
        if (x.shape[0] === 64) made.push(concatRows(g, [x, y]));
        break;
      default:
        made.push(g.add(add, [x, y], null)[0]!);
    }
  }
  return { g, made };
}

/** Runs a plan in float64 the way a device does: every value lies in its slot, and only there. */
function runInSlots({ nodes, placeOf, slotBytes }: Plan, given: Map<Tensor, Float64Array>) {
  const slots = slotBytes.map((bytes) => new Float64Array(bytes / 4).fill(NaN));
  const view = (t: Tensor) => {
    const held = storageOf(t), place = placeOf.get(held);
    const from = ((place?.offset ?? 0) + offsetOf(t)) / 4;
    return (place ? slots[place.slot]! : given.get(held)!).subarray(from, from + count(t.shape));
  };
  for (const node of nodes) {
    const out = node.op.reference(node.inputs.map((t) => view(t).slice()), node.attrs, node);
    node.outputs.forEach((t, o) => {
      // WebGPU: what is written is not bound to be read as well, unless all of it is one binding.
      const bound = node.inputs.flatMap((x, i) => view(x).buffer === view(t).buffer ? [i] : []);
      if (!t.storage && bound.length > 0) {
        expect(bound).toHaveLength(1);
        expect(node.op.inPlace?.(node.attrs)).toContainEqual([o, bound[0]!]);
        expect(view(node.inputs[bound[0]!]!).byteOffset).toBe(view(t).byteOffset);
      }
      view(t).set(out[o]!);
    });
  }
  return view;
}

test("values in slots, in place of each other and as stretches are what they are apart", () => {
  let shared = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const { g, made } = tangle(seed), given = values(g);
    const keep = [made.at(-1)!, made[30]!],
      nodes = prune(g.nodes, keep),
      planned = plan(nodes, keep);
    const want = runReference(nodes, given), view = runInSlots(planned, given);
    for (const t of keep) expect(view(t)).toEqual(want.get(t)!);
    shared += planned.first.size;
  }
  expect(shared).toBeGreaterThan(100);
});
