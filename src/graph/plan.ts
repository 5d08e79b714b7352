import { type Item, type Life, pack, type PackedAt } from "../base/packing.ts";
import type { Node } from "./graph.ts";
import { bytesOf, storageOf, type Tensor } from "./tensor.ts";

/** When which bytes are needed. */
export interface Lives {
  /** By the value that is first in its bytes; later ones in the same bytes are in `first`. */
  readonly lives: ReadonlyMap<Tensor, Life>;
  readonly first: ReadonlyMap<Tensor, Tensor>;
  /** The lower bound of any plan: bytes alive at the worst moment, while node `worst` runs. */
  readonly peakLive: number;
  readonly worst: number;
}

/** Where each computed value lies. One slot is one GPUBuffer. */
export interface Plan extends Lives {
  readonly nodes: readonly Node[];
  readonly placeOf: ReadonlyMap<Tensor, PackedAt>;
  readonly slotBytes: readonly number[];
}

/** The nodes that `keep`, or an update in place, depends on, in their order. */
export function prune(nodes: readonly Node[], keep: readonly Tensor[]): Node[] {
  const needed = new Set(keep), kept: Node[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.op.updates && !node.outputs.some((t) => needed.has(t))) continue;
    kept.push(node);
    for (const t of node.inputs) needed.add(t);
  }
  return kept.reverse();
}

/**
 * When each value is alive. The output of an op that works in place takes the bytes of an input that
 * nothing needs any more.
 * @param keep values that must still hold when the run is over
 */
export function livesOf(nodes: readonly Node[], keep: readonly Tensor[]): Lives {
  const lives = new Map<Tensor, { born: number; dies: number }>();
  const first = new Map<Tensor, Tensor>();
  nodes.forEach((node, i) => {
    for (const t of node.outputs) if (!t.storage) lives.set(t, { born: i, dies: i });
    for (const t of [...node.inputs, ...node.outputs]) {
      const life = lives.get(storageOf(t));
      if (life) life.dies = i;
    }
  });
  for (const t of keep) {
    const life = lives.get(storageOf(t));
    if (life) life.dies = nodes.length;
  }
  const bytesHeld = (t: Tensor) => first.get(storageOf(t)) ?? storageOf(t);
  nodes.forEach(({ op, inputs, outputs, attrs }, i) => {
    const taken = new Set<Tensor>();
    for (const [o, from] of op.inPlace?.(attrs) ?? []) {
      const y = outputs[o]!, x = inputs[from]!;
      const held = bytesHeld(x), life = lives.get(held);
      const fits = x.dtype === y.dtype && bytesOf(x) === bytesOf(y) && bytesOf(x) === bytesOf(held);
      const shared = inputs.filter((t) => bytesHeld(t) === held).length > 1;
      if (life?.dies !== i || !fits || shared || taken.has(held) || first.has(y)) continue;
      taken.add(held);
      first.set(y, held);
      life.dies = lives.get(y)!.dies;
      lives.delete(y);
    }
  });

  const change = new Float64Array(nodes.length + 2);
  for (const [t, { born, dies }] of lives) {
    change[born]! += bytesOf(t);
    change[dies + 1]! -= bytesOf(t);
  }
  let live = 0, peakLive = 0, worst = 0;
  change.forEach((bytes, i) => {
    live += bytes;
    if (live > peakLive) [peakLive, worst] = [live, i];
  });
  return { lives, first, peakLive, worst };
}

/** A slot may begin anything at a multiple of this: WebGPU's bindings do. */
const ALIGN = 256;

/**
 * Gives every computed value a place in a slot.
 *
 * Several slots and not one arena: WebGPU refuses a dispatch that reads and writes the same GPUBuffer,
 * even at disjoint ranges. So what a node writes never shares a slot with anything else it touches.
 * @param keep values that must still hold when the run is over
 */
export function plan(nodes: readonly Node[], keep: readonly Tensor[]): Plan {
  const known = livesOf(nodes, keep), { lives, first } = known, items = new Map<Tensor, Item>();
  for (const [t, life] of lives) {
    items.set(t, { ...life, bytes: ALIGN * Math.ceil(bytesOf(t) / ALIGN), apart: new Set() });
  }
  const itemOf = (t: Tensor) => items.get(first.get(storageOf(t)) ?? storageOf(t));
  for (const { inputs, outputs } of nodes) {
    const written = outputs.map(itemOf), touched = [...inputs.map(itemOf), ...written];
    for (const w of written) {
      for (const v of touched) if (w && v && v !== w) v.apart.add(w), w.apart.add(v);
    }
  }
  const { placeOf: at, slotBytes } = pack([...items.values()], known.peakLive);
  const all = [...lives.keys(), ...first.keys()];
  const placeOf = new Map(all.map((t) => [t, at.get(itemOf(t)!)!]));
  return { nodes, ...known, placeOf, slotBytes };
}
