import { Exit, Fail } from "../base/fail.ts";
import type { Tasks } from "../formats/task_folder.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Stream } from "../nn/attention.ts";
import type { Net } from "../nn/net.ts";

export interface Sizes {
  readonly vocab: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Longest sequence the model was made for. */
  readonly context: number;
  /** Number of the first position, where positions are learnt: 0, or what follows RoBERTa's padding id. */
  readonly firstPosition?: number;
}

/** One model family. Layers record tensors under their checkpoint names, so there is no weight map. */
export interface Architecture<C = unknown> {
  /** config.json's model_type */
  readonly modelType: string;
  /** Of families with the same model_type: whether a config.json is of this one. */
  owns?(json: Record<string, unknown>): boolean;
  /** Reads config.json in transformers 4 or 5 style. Throws Fail, naming the key, on what it cannot run. */
  config(json: Record<string, unknown>): C;
  sizes(config: C): Sizes;
  /** What sets this model apart from others, for people: a word and a sentence each. */
  describe?(config: C): [what: string, text: string][];
  /** [T, width] after the final norm, stored as `net.compute` says. */
  hidden(net: Net, config: C, stream: Stream): Tensor;
  /**
   * The projection to the vocabulary, [V, width], and its bias. The embedding itself when tied. With a cap,
   * logits z are cap · tanh(z / cap). An encoder has none: see `headOf`.
   */
  head?(net: Net, config: C): Head;
  /** Every token sees the whole of its sequence, not only what stands before it. */
  readonly bidirectional?: true;
  /** How a checkpoint's tensors become those that `hidden` records; undefined: they are. */
  readonly checkpoint?: Checkpoint;
  /** The tasks that a checkpoint has adapters for, where it has any. */
  tasks?(json: Record<string, unknown>): Tasks | undefined;
  /** Last names of every linear layer but the head: what `all-linear` means. */
  readonly linears: readonly string[];
  /** What PEFT adapts when no target is named. */
  readonly defaultTargets: readonly string[];
}

/** What a family's files have otherwise than its layers. */
export interface Checkpoint {
  rename(name: string): string;
  /** Names, after renaming, that no layer asks for. */
  readonly unused: RegExp;
  /** Matrices that are stored [in, out], by their names after renaming. */
  readonly turned?: RegExp;
}

export interface Head {
  readonly weight: Tensor;
  readonly bias?: Tensor;
  readonly cap?: number;
}

/** What a config.json describes: a family and its settings, without weights. */
export interface ModelSpec {
  readonly architecture: Architecture;
  readonly config: unknown;
  readonly sizes: Sizes;
}

/** @throws Fail (data) for an encoder, which predicts no tokens */
export function requireHead({ architecture }: Pick<ModelSpec, "architecture">): void {
  if (architecture.head) return;
  throw new Fail(`a ${architecture.modelType} model is an encoder: it does not predict tokens`, {
    why: "training by example, scoring and generating need a causal language model",
    fix: "whet train embed trains an encoder, whet embed runs one",
    exit: Exit.data,
  });
}

/** The projection to the vocabulary. @throws Fail (data) for an encoder, which has none */
export function headOf(model: ModelSpec, net: Net): Head {
  requireHead(model);
  return model.architecture.head!(net, model.config);
}
