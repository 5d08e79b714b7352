import { columnSquareSum } from "../../kernels/column_sum/column_sum.ts";
import { type Model, netOf } from "../architectures/model.ts";
import { PackedBatch } from "../architectures/packed.ts";
import { Graph } from "../graph/graph.ts";
import type { Memory } from "../graph/memory.ts";
import { Runner } from "../graph/runner.ts";
import type { Tensor } from "../graph/tensor.ts";
import { atRest, type Lora } from "../nn/net.ts";

/** What went into a linear layer: Σ x² of each column, over `count` tokens. */
export interface LayerInput {
  readonly squares: Float64Array;
  readonly count: number;
}

/** Ops that are linear layers, their input and weight first. */
const LINEAR = new Set(["matmul", "lora"]);

/**
 * Records a model over T tokens, and beside it the column sums of what goes into its linear layers.
 * Layers with the same input share them.
 */
export function recordInputs(model: Model, tokens: number, adapted: { lora?: Lora } = {}) {
  const g = new Graph();
  const batch = new PackedBatch(g, model.sizes, { tokens, targets: 1 });
  // In one piece: sums of chunks would have to be put together again.
  const net = netOf(model, g, { positions: tokens, lora: atRest(adapted.lora), chunk: Infinity });
  batch.hidden(model, net);
  const sums = new Map<Tensor, Tensor>(), layers = new Map<string, Tensor>();
  for (const { op, inputs: [x, w] } of [...g.nodes]) {
    if (!LINEAR.has(op.name) || w?.home !== "frozen" || !w.name.endsWith(".weight")) continue;
    if (!sums.has(x!)) sums.set(x!, columnSquareSum(g, x!));
    layers.set(w.name, sums.get(x!)!);
  }
  return { g, batch, layers };
}

/** Cuts texts into runs of exactly `tokens` tokens; a text that is cut goes on as another one. */
export function cutRuns(texts: readonly ArrayLike<number>[], tokens: number): number[][][] {
  const runs: number[][][] = [[]];
  let room = tokens;
  for (const text of texts) {
    for (let rest = Array.from(text); rest.length > 0;) {
      const part = rest.slice(0, room);
      runs.at(-1)!.push(part);
      rest = rest.slice(room);
      room -= part.length;
      if (room > 0) continue;
      runs.push([]);
      room = tokens;
    }
  }
  runs.pop(); // what does not fill a run
  return runs;
}

/**
 * Runs a model over texts and sums the squares of what goes into each of its linear layers, by checkpoint
 * name: in f32 over a run on the device, in float64 over the runs.
 *
 * @param most tokens of a run at most; each has as many as make the runs equal
 */
export async function inputSums(
  model: Model,
  memory: Memory,
  texts: readonly ArrayLike<number>[],
  { lora, most = 512, onRun }: {
    readonly lora?: Lora;
    readonly most?: number;
    readonly onRun?: (done: number, of: number) => void;
  } = {},
): Promise<{ layers: Map<string, LayerInput>; runs: number; tokens: number }> {
  const total = texts.reduce((sum, text) => sum + text.length, 0);
  const tokens = Math.floor(total / Math.ceil(total / most));
  const { g, batch, layers } = recordInputs(model, tokens, { lora });
  const read = [...new Set(layers.values())];
  const runner = await Runner.prepare("inputs", memory, g.nodes, read);
  try {
    const runs = cutRuns(texts, tokens);
    const sums = new Map(read.map((sum) => [sum, new Float64Array(sum.shape[0]!)]));
    for (const [i, run] of runs.entries()) {
      batch.fill(runner, run.map((ids) => ({ ids, labels: ids.map(() => -100) })), 1);
      await runner.run();
      for (const sum of read) {
        const into = sums.get(sum)!;
        (await runner.read(sum)).forEach((v, c) => into[c]! += v);
      }
      onRun?.(i + 1, runs.length);
    }
    const count = runs.length * tokens;
    const found = [...layers].map(([name, sum]) =>
      [name, { squares: sums.get(sum)!, count }] as const
    );
    return { layers: new Map(found), runs: runs.length, tokens };
  } finally {
    runner.free();
  }
}
