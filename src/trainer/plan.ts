import { hyperSize } from "../../kernels/adamw/hyper.ts";
import type { Model } from "../architectures/model.ts";
import { share } from "../base/packing.ts";
import { revolve } from "../base/revolve.ts";
import type { Checkpoints } from "../graph/backward.ts";
import type { Node } from "../graph/graph.ts";
import { layoutArena } from "../graph/memory.ts";
import { livesOf, plan, prune } from "../graph/plan.ts";
import { bytesOf, count, storageOf, type Tensor } from "../graph/tensor.ts";
import { print } from "./print.ts";
import {
  rateGroup,
  type Recipe,
  recordReference,
  recordStep,
  recordUpdate,
  recordValidation,
} from "./program.ts";

/** Device bytes of a run by what they hold. What `Trainer` allocates, to the buffer. */
export interface RunBytes {
  readonly weights: number;
  readonly adapter: number;
  readonly gradients: number;
  readonly optimizer: number;
  readonly activations: number;
  readonly scratch: number;
  readonly total: number;
}

export interface RunPlan {
  readonly bytes: RunBytes;
  /** Arithmetic of one micro-batch's matrix products, forward and backward, and what is done again. */
  readonly flops: number;
  /** The part of `flops` that would not be needed if every block kept its values. */
  readonly extraFlops: number;
  readonly blocks: {
    readonly all: number;
    /** Those that do not keep their values but compute them again in the backward pass. */
    readonly recomputed: number;
  };
  readonly trainable: number;
  readonly parameters: number;
  /** Bytes alive at the worst moment of the step: what the best possible planner could reach. */
  readonly peakLive: number;
  /** The recorded step, one line an op, with the slot of every value. */
  print(): string;
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((a, b) => a + b, 0);
const flopsOf = (nodes: readonly Node[]) => sum(nodes.map((node) => node.op.flops?.(node) ?? 0));
const padded = (bytes: number) => Math.max(16, Math.ceil(bytes / 16) * 16);

/** How often a block may be computed only to get to a later one, on average, to save memory. */
const MOST_ADVANCES = 4;

/** A recipe that says what blocks keep, and its plan. */
export interface Fitted {
  readonly recipe: Recipe;
  readonly plan: RunPlan;
}

/**
 * Decides what the blocks keep for the backward pass.
 * @param budget bytes that the run may take in all
 * @param mode off: everything; on: every block is computed again; auto: what takes the least extra
 *   arithmetic. Where the budget is too small for every result ("on", "auto"), fewer are held, and
 *   blocks are computed more than once.
 * @returns the smallest possible run where none fits the budget: compare `plan.bytes.total`
 */
export function fitRun(
  model: Model,
  recipe: Omit<Recipe, "keep">,
  validation: boolean,
  budget: number,
  mode: "auto" | "on" | "off",
): Fitted {
  const lasting = lastingOf(model, recipe, validation);
  const fitted = (keep?: Checkpoints): Fitted => {
    const r = { ...recipe, keep };
    return { recipe: r, plan: planStep(model, r, lasting) };
  };
  if (mode === "off") return fitted();
  const blocks = model.sizes.layers;
  // From the least arithmetic to the most: first fewer whole blocks, then fewer results between them.
  const ways: Checkpoints[] = [];
  for (let whole = mode === "on" ? 0 : blocks; whole >= 0; whole--) {
    ways.push({ whole, held: blocks - 1 });
  }
  for (let held = blocks - 2; held >= 0; held--) {
    if (revolve(blocks, held).advances <= MOST_ADVANCES * blocks) ways.push({ whole: 0, held });
  }
  // The lower bound is quickly known, and the plan comes within some percent of it.
  let low = 0, high = ways.length - 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2),
      { step, nodes } = needed(model, recipe, ways[middle]);
    const least = lasting.total + inputs(nodes) + livesOf(nodes, [step.total]).peakLive;
    if (least <= budget) high = middle;
    else low = middle + 1;
  }
  let found = fitted(ways[low]);
  while (found.plan.bytes.total > budget && low < ways.length - 1) found = fitted(ways[++low]);
  return found;
}

/** Plans a run without touching a GPU: records it, and adds up what its buffers will take. */
export function planRun(model: Model, recipe: Recipe, validation: boolean): RunPlan {
  return planStep(model, recipe, lastingOf(model, recipe, validation));
}

/** A micro-batch's nodes, recorded with what blocks keep. */
function needed(model: Model, recipe: Recipe, keep?: Checkpoints) {
  const step = recordStep(model, { ...recipe, keep });
  return { step, nodes: prune(step.g.nodes, [step.total]) };
}

type Lasting = ReturnType<typeof lastingOf>;

/** All of a run's plan that does not depend on what blocks keep. */
function lastingOf(model: Model, recipe: Omit<Recipe, "keep">, validation: boolean) {
  const { step: { g }, nodes } = needed(model, recipe);
  const trained = g.all("trained"), frozen = g.all("frozen");
  const layout = layoutArena(trained, undefined, rateGroup(recipe)), arena = sum(layout.pages) * 4;
  const update = recordUpdate(layout, hyperSize);
  const others = [{ nodes: update.g.nodes, keep: [update.clip] }];
  const compared = recordReference(model, recipe);
  if (compared) others.unshift({ nodes: compared.g.nodes, keep: [compared.nll] });
  if (validation) {
    const forward = recordValidation(model, recipe);
    others.push({ nodes: forward.g.nodes, keep: [forward.total] });
  }
  const seen = new Set<unknown>(); // constants of the step lie there already
  inputs(nodes, seen);
  const scratch = others.map(({ nodes, keep }) => {
    const needed = prune(nodes, keep);
    return { inputs: inputs(needed, seen), slots: plan(needed, keep).slotBytes.map(padded) };
  });
  const bytes = {
    weights: sum(frozen.map((t) => padded(bytesOf(t)))),
    adapter: arena,
    gradients: arena,
    optimizer: 2 * arena,
  };
  const trainable = sum(trained.map((t) => count(t.shape)));
  return {
    bytes,
    /** Of the update, of validation and of the reference, which use the slots of the step where they fit. */
    scratch,
    total: sum(Object.values(bytes)) + sum(scratch.map(({ inputs }) => inputs)),
    /** Arithmetic when nothing is done again. */
    flops: flopsOf(nodes),
    blocks: g.blocks.length,
    trainable,
    parameters: trainable + sum(frozen.map((t) => count(t.shape))),
  };
}

function planStep(model: Model, recipe: Recipe, lasting: Lasting): RunPlan {
  const { step, nodes } = needed(model, recipe, recipe.keep);
  const main = plan(nodes, [step.total]), flops = flopsOf(nodes);
  const { blocks, trainable, parameters } = lasting, slots = main.slotBytes.map(padded);
  const activations = sum(slots) + inputs(nodes), own = slots.length;
  for (const { slots: more } of lasting.scratch) {
    share(slots, more).forEach((at, i) => slots[at] ??= more[i]!);
  }
  const scratch = sum(slots.slice(own)) + sum(lasting.scratch.map(({ inputs }) => inputs));
  const bytes = { ...lasting.bytes, activations, scratch };
  return {
    bytes: { ...bytes, total: sum(Object.values(bytes)) },
    flops: flops,
    extraFlops: flops - lasting.flops,
    blocks: { all: blocks, recomputed: Math.max(0, blocks - (recipe.keep?.whole ?? blocks)) },
    trainable,
    parameters,
    peakLive: main.peakLive,
    print: () => print(nodes, main),
  };
}

/** Inputs, constants and states of a record: each one buffer, constants by their content; but for those seen. */
function inputs(nodes: readonly Node[], seen = new Set<unknown>()): number {
  return sum(
    nodes.flatMap((node) => node.inputs).map(storageOf).map((t: Tensor) => {
      const key = t.data ?? t;
      if (!["input", "constant", "state"].includes(t.home) || seen.has(key)) return 0;
      seen.add(key);
      return padded(bytesOf(t));
    }),
  );
}
