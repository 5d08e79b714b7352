import { Exit, Fail } from "../base/fail.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { GgufValue, Metadata } from "../formats/gguf_types.ts";

/** A tensor that is computed from config.json instead of read from the model. */
export interface Generated {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Tensors that only say how positions are turned. */
export const generatedNames: readonly string[] = [
  "rope_freqs.weight",
  "rope_factors_long.weight",
  "rope_factors_short.weight",
];

/**
 * How one model family is written to GGUF. Names leave out ".weight" and ".bias"; "{}" stands for
 * the layer number. Another family is another object of this kind and a line in gguf_families.ts.
 */
export interface GgufFamily {
  /** general.architecture */
  readonly arch: string;
  /** Values of "architectures" in config.json. */
  readonly architectures: readonly string[];
  /** Of families with the same architectures: whether a config.json is of this one. */
  owns?(config: Record<string, unknown>): boolean;
  /** Checkpoint name -> GGUF name. Every one of them needs a ".weight", but the optional ones. */
  readonly names: Readonly<Record<string, string>>;
  readonly optional?: readonly string[];
  /** Names that a checkpoint may hold and the file has no need of. */
  readonly dropped?: readonly string[];
  /** Whether the head is the embedding where config.json does not say. */
  readonly tied?: boolean;
  /** Model keys in the converter's order, general.file_type among them. */
  metadata(config: Record<string, unknown>, fileType: GgufValue): [string, GgufValue][];
  /** Tokenizer keys that depend on the model: before and after the others. */
  tokenizer?(config: Record<string, unknown>, tokenizer: Tokenizer): {
    readonly before?: [string, GgufValue][];
    readonly after?: [string, GgufValue][];
  };
  /**
   * Rows per attention head where the halves of each head must be interleaved (row h,j,i becomes
   * h,i,j: rotary pairs side by side instead of half a head apart), undefined for other tensors.
   */
  interleavedRows?(name: string, config: Record<string, unknown>): number | undefined;
  /** Rows at a tensor's beginning that the file leaves out; 0 for most. */
  rowsBefore?(name: string, config: Record<string, unknown>): number;
  /** What is added to the values of a tensor, undefined for most. */
  shift?(name: string): number | undefined;
  generated?(config: Record<string, unknown>): Generated[];
  /** The way back: a config.json that says what the file says, its generated tensors by their names. */
  config(
    metadata: Metadata,
    vocabSize: number,
    generated: ReadonlyMap<string, Float32Array>,
  ): Record<string, unknown>;
}

const left = /(\.attention\.masked_bias|\.attention\.bias|\.rotary_emb\.inv_freq)$/;

export interface TensorName {
  /** Checkpoint name without suffix, layer number replaced by "{}". */
  readonly pattern: string;
  readonly gguf: string;
}

/**
 * The GGUF name of a checkpoint tensor, undefined for those that are never written.
 *
 * @throws Fail when the family has no such tensor
 */
export function ggufName(family: GgufFamily, name: string): TensorName | undefined {
  if (left.test(name)) return undefined;
  const [, base = name, suffix = ""] = /^(.*)(\.weight|\.bias)$/.exec(name) ?? [];
  if (family.dropped?.includes(base)) return undefined;
  const layer = /\.(?:layers?|h)\.(\d+)\./.exec(base)?.[1];
  const pattern = layer === undefined ? base : base.replace(`.${layer}.`, ".{}.");
  const found = Object.hasOwn(family.names, pattern) ? family.names[pattern] : undefined;
  if (found === undefined || suffix === "") {
    throw new Fail(`tensor ${name} has no place in a ${family.arch} GGUF`, {
      why: "the model has a part that this family does not have",
      fix: "export it with --merge and convert it with a newer llama.cpp",
      exit: Exit.data,
    });
  }
  return { pattern, gguf: found.replace("{}", layer ?? "") + suffix };
}

/** @throws Fail naming the first weight of the family that the model lacks */
export function checkComplete(
  family: GgufFamily,
  layers: number,
  tensors: ReadonlyMap<string, unknown>,
  tied: boolean,
): void {
  for (const pattern of Object.keys(family.names)) {
    if (family.optional?.includes(pattern) || (tied && pattern === "lm_head")) continue;
    const count = pattern.includes("{}") ? layers : 1;
    for (let layer = 0; layer < count; layer++) {
      const name = `${pattern.replace("{}", String(layer))}.weight`;
      if (!tensors.has(name)) {
        throw new Fail(`the model has no tensor ${name}`, {
          why: "config.json promises it",
          fix: "download the model again",
          exit: Exit.data,
        });
      }
    }
  }
}

/** The checkpoint name of a GGUF tensor, undefined for generated and unknown ones. */
export function checkpointName(family: GgufFamily, gguf: string): string | undefined {
  const [, base = gguf, suffix = ""] = /^(.*)(\.weight|\.bias)$/.exec(gguf) ?? [];
  const layer = /^blk\.(\d+)\./.exec(base)?.[1];
  const pattern = layer === undefined ? base : base.replace(`blk.${layer}.`, "blk.{}.");
  const found = Object.keys(family.names).find((name) => family.names[name] === pattern);
  return found === undefined ? undefined : found.replace("{}", layer ?? "") + suffix;
}
