import { accumulate } from "../../kernels/accumulate/accumulate.ts";
import { adamw } from "../../kernels/adamw/adamw.ts";
import { add } from "../../kernels/add/add.ts";
import { clip } from "../../kernels/clip/clip.ts";
import { squareSum } from "../../kernels/square_sum/square_sum.ts";
import { type Model, netOf } from "../architectures/model.ts";
import { PackedBatch, type PackedSize } from "../architectures/packed.ts";
import { backward, type Checkpoints } from "../graph/backward.ts";
import { Graph } from "../graph/graph.ts";
import type { ArenaLayout } from "../graph/memory.ts";
import type { Tensor } from "../graph/tensor.ts";
import { atRest, type Lora } from "../nn/net.ts";

export interface Recorded {
  readonly g: Graph;
  readonly batch: PackedBatch;
  /** f32[1], summed over the micro-batches of a step until the host clears it. */
  readonly total: Tensor;
}

export interface Recipe {
  readonly size: PackedSize;
  /** Rows of the rotary tables: the longest sequence. */
  readonly positions: number;
  readonly lora?: Lora;
  readonly full: boolean;
  /** Of the training loss; validation has neither. */
  readonly smoothing?: number;
  readonly neftune?: number;
  /** Most bytes of a value inside a feed-forward layer, which is done in chunks of rows; see `inChunks`. */
  readonly chunk?: number;
  /** What the blocks of the network keep for the backward pass; everything when absent. */
  readonly keep?: Checkpoints;
}

/** One micro-batch of supervised fine-tuning: forward, backward, gradients added to the arena. */
export function recordStep(model: Model, recipe: Recipe): Recorded {
  const g = new Graph();
  const batch = new PackedBatch(g, model.sizes.vocab, recipe.size);
  const net = netOf(model, g, recipe);
  const hidden = batch.hidden(model, net, recipe.neftune);
  const { loss } = batch.loss(model, net, hidden, true, recipe.smoothing);
  backward(g, loss, {
    sum: add,
    trained: (tensor, gradient) => accumulate(g, g.gradient(tensor), gradient),
    keep: recipe.keep,
  });
  return { g, batch, total: accumulate(g, g.state("loss", [1]), loss) };
}

/** The same network forward only, without dropout, noise or smoothing: the validation loss of one micro-batch. */
export function recordValidation(model: Model, recipe: Recipe): Recorded {
  const g = new Graph();
  const batch = new PackedBatch(g, model.sizes.vocab, recipe.size);
  const net = netOf(model, g, { ...recipe, lora: atRest(recipe.lora) });
  const { loss } = batch.loss(model, net, batch.hidden(model, net), false);
  return { g, batch, total: accumulate(g, g.state("validation loss", [1]), loss) };
}

export interface RecordedUpdate {
  readonly g: Graph;
  readonly hyper: Tensor;
  /** f32[4]: scale, global norm before clipping, 1 when finite, 0 */
  readonly clip: Tensor;
}

/** The optimiser step over the arenas: global norm, clipping, AdamW; leaves the gradients zero. */
export function recordUpdate(layout: ArenaLayout, hyperSize: number): RecordedUpdate {
  const g = new Graph();
  const hyper = g.input("hyper", [hyperSize], "f32");
  const page = (which: string, p: number) => g.arena(`${which}.${p}`, [layout.pages[p]!]);
  const total = layout.pages
    .map((_, p) => squareSum(g, page("g", p)))
    .reduce((sum, part) => g.add(add, [sum, part], null)[0]!);
  const clipped = clip(g, total, hyper);
  layout.pages.forEach((_, p) => {
    adamw(g, {
      w: page("w", p),
      g: page("g", p),
      m: page("m", p),
      v: page("v", p),
      clip: clipped,
      hyper,
    });
  });
  return { g, hyper, clip: clipped };
}
