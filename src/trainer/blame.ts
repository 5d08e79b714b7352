import { allFinite, toF32 } from "../base/bits.ts";
import type { Model } from "../architectures/model.ts";
import type { TokenRow } from "../architectures/packed.ts";
import type { Node } from "../graph/graph.ts";
import type { Memory, Place } from "../graph/memory.ts";
import { Runner } from "../graph/runner.ts";
import { bytesOf, type DType, type Tensor } from "../graph/tensor.ts";
import { type Recipe, recordValidation } from "./program.ts";

/** Bytes of intermediate values that are looked at in one pass. */
const KEPT = 64 * 2 ** 20;

/**
 * The first place where a forward pass over these micro-batches leaves the finite numbers: the weight
 * that holds a NaN or an infinity, else the value that overflowed. Runs the model again, without
 * dropout, once for every 64 MiB of intermediate values; nothing trained is touched.
 * @returns a name, or undefined where every value is finite
 */
export async function firstNotFinite(
  model: Model,
  recipe: Recipe,
  memory: Memory,
  micro: readonly (readonly TokenRow[])[],
): Promise<string | undefined> {
  const { g, fill } = recordValidation(model, recipe);
  const nodes = g.nodes.filter((node) => !node.op.updates);
  for (const some of stretches(nodes)) {
    const values = some.flatMap((node) => node.outputs).filter((t) => t.dtype !== "u32");
    const runner = await Runner.prepare("diagnosis", memory, nodes, values);
    try {
      for (const rows of micro) {
        fill(runner, rows, 1);
        await runner.run();
        for (const node of some) {
          for (const t of node.outputs.filter((t) => values.includes(t))) {
            if (await finite(memory, t, runner.place(t))) continue;
            for (const weight of node.inputs) {
              if (await broken(memory, weight)) return weight.name;
            }
            return t.name;
          }
        }
      }
    } finally {
      runner.free();
    }
  }
  return undefined;
}

/** Parts nodes into stretches whose values together take no more than `KEPT`, or one node. */
function* stretches(nodes: readonly Node[]): Generator<Node[]> {
  let some: Node[] = [], bytes = 0;
  for (const node of nodes) {
    const more = node.outputs.reduce((sum, t) => sum + bytesOf(t), 0);
    if (some.length > 0 && bytes + more > KEPT) {
      yield some;
      [some, bytes] = [[], 0];
    }
    some.push(node);
    bytes += more;
  }
  if (some.length > 0) yield some;
}

/** Whether a weight holds a NaN or an infinity. */
async function broken(memory: Memory, t: Tensor): Promise<boolean> {
  return (t.home === "frozen" || t.home === "trained") &&
    !await finite(memory, t, memory.place(t));
}

const floats = new Map<DType, "F32" | "F16" | "BF16">([
  ["f32", "F32"],
  ["f16", "F16"],
  ["bf16", "BF16"],
]);

async function finite(memory: Memory, t: Tensor, { buffer, offset, size }: Place) {
  // What is quantised was looked through when it was made.
  const stored = floats.get(t.dtype);
  if (!stored) return true;
  return allFinite(toF32(await memory.device.read(buffer, offset, size), stored));
}
