import { accumulate } from "../../kernels/accumulate/accumulate.ts";
import { adamw } from "../../kernels/adamw/adamw.ts";
import { add } from "../../kernels/add/add.ts";
import { clip } from "../../kernels/clip/clip.ts";
import { saturation } from "../../kernels/saturation/saturation.ts";
import { squareSum } from "../../kernels/square_sum/square_sum.ts";
import { type Model, netOf } from "../architectures/model.ts";
import type { PackedSize, TokenRow } from "../architectures/packed.ts";
import { backward, type Checkpoints } from "../graph/backward.ts";
import { Graph, type Node } from "../graph/graph.ts";
import { prune } from "../graph/plan.ts";
import type { ArenaLayout } from "../graph/memory.ts";
import type { Tensor } from "../graph/tensor.ts";
import { atRest, type Lora } from "../nn/net.ts";
import type { Forward, Inputs, Objective } from "./objectives/objective.ts";
import { sft } from "./objectives/sft.ts";

export interface Recorded {
  readonly g: Graph;
  readonly fill: Forward["fill"];
  /** f32[1 + logged]: loss and measures, summed over the micro-batches of a step until the host clears it. */
  readonly total: Tensor;
  /** u32[1], with activations in f16: how many were too large for it, summed in the same way. */
  readonly saturated?: Tensor;
}

export interface Recipe {
  readonly size: PackedSize;
  /** Rows of the rotary tables: the longest sequence. */
  readonly positions: number;
  readonly lora?: Lora;
  readonly full: boolean;
  /** What is minimised; supervised fine-tuning where absent. */
  readonly objective?: Objective;
  /** Of the training loss; validation has neither. */
  readonly smoothing?: number;
  readonly neftune?: number;
  /** LoRA+ (Hayou et al. 2024): the learning rate of B, and of DoRA's magnitudes, as a multiple of the others'; 1 where unset. */
  readonly plus?: number;
  /** Most bytes of a value inside a feed-forward layer, which is done in chunks of rows; see `inChunks`. */
  readonly chunk?: number;
  /** What the blocks of the network keep for the backward pass; everything when absent. */
  readonly keep?: Checkpoints;
}

export const objectiveOf = ({ objective = sft }: Pick<Recipe, "objective">) => objective;

/** One micro-batch: forward, backward, gradients added to the arena. */
export function recordStep(model: Model, recipe: Recipe): Recorded {
  const g = new Graph(), net = netOf(model, g, recipe);
  const { loss, sums, fill } = objectiveOf(recipe).record(model, net, recipe, true);
  const forward = g.nodes.slice();
  backward(g, loss, {
    sum: add,
    trained: (tensor, gradient) => accumulate(g, g.gradient(tensor), gradient),
    keep: recipe.keep,
  });
  const total = accumulate(g, g.state("loss", sums.shape), sums);
  return { g, fill, total, saturated: watch(g, forward, total) };
}

/** Counts what f16 could not hold in the forward pass, each value just after it was made. */
function watch(g: Graph, forward: readonly Node[], keep: Tensor): Tensor | undefined {
  const stored = new Set(forward.flatMap((node) => node.outputs).filter((t) => t.dtype === "f16"));
  if (stored.size === 0) return undefined;
  const count = g.state("saturated", [1], "u32");
  for (const node of prune(g.nodes.splice(0), [keep])) { // else counting would keep what nobody needs
    g.nodes.push(node);
    for (const t of node.outputs) if (stored.has(t) && !t.storage) saturation(g, count, t);
  }
  return count;
}

/** The same network forward only, without dropout, noise or smoothing: loss and measures of one micro-batch of validation rows. */
export function recordValidation(model: Model, recipe: Recipe): Recorded {
  const g = new Graph(), net = netOf(model, g, { ...recipe, lora: atRest(recipe.lora) });
  const { sums, fill } = objectiveOf(recipe).record(model, net, recipe, false);
  return { g, fill, total: accumulate(g, g.state("validation loss", sums.shape), sums) };
}

export interface RecordedReference {
  readonly g: Graph;
  /** f32[n, 1]: minus the log-probability of each answer. */
  readonly nll: Tensor;
  fill(inputs: Inputs, rows: readonly TokenRow[]): void;
}

/** What the objective compares the model with; most objectives compare with nothing. */
export function recordReference(model: Model, recipe: Recipe): RecordedReference | undefined {
  const { reference } = objectiveOf(recipe);
  if (!reference) return undefined;
  const g = new Graph(), lora = reference.adapter ? atRest(recipe.lora) : undefined;
  const compared = reference.record(model, netOf(model, g, { ...recipe, lora }), recipe);
  return { g, nll: compared.nll, fill: (inputs, rows) => compared.fill(inputs, rows) };
}

/** Which hyper-parameters a trained tensor is updated with: 1 for what LoRA+ trains faster, else 0. */
export const rateGroup = ({ plus = 1 }: Recipe) => ({ name }: Tensor): number =>
  plus !== 1 && /\.lora_(B\.weight|magnitude_vector)$/.test(name) ? 1 : 0;

export interface RecordedUpdate {
  readonly g: Graph;
  /** What each group of tensors is updated with. */
  readonly hyper: readonly Tensor[];
  /** f32[4]: scale, global norm before clipping, 1 when finite, 0 */
  readonly clip: Tensor;
}

/** The optimiser step over the arenas: global norm, clipping, AdamW; leaves the gradients zero. */
export function recordUpdate(layout: ArenaLayout, hyperSize: number): RecordedUpdate {
  const g = new Graph();
  const groups = 1 + Math.max(0, ...layout.groups);
  const hyper = Array.from({ length: groups }, (_, i) => g.input(`hyper ${i}`, [hyperSize], "f32"));
  const page = (which: string, p: number) => g.arena(`${which}.${p}`, [layout.pages[p]!]);
  const total = layout.pages
    .map((_, p) => squareSum(g, page("g", p)))
    .reduce((sum, part) => g.add(add, [sum, part], null)[0]!);
  const clipped = clip(g, total, hyper[0]!);
  layout.pages.forEach((_, p) => {
    adamw(g, {
      w: page("w", p),
      g: page("g", p),
      m: page("m", p),
      v: page("v", p),
      clip: clipped,
      hyper: hyper[layout.groups[p]!]!,
    });
  });
  return { g, hyper, clip: clipped };
}
