import { basename } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { type BlockType, bytesOf } from "../formats/gguf_blocks.ts";
import { f32, type GgufValue, i32, text, u32 } from "../formats/gguf_types.ts";
import { writeGgufParts } from "../formats/gguf_split.ts";
import type { GgufSource } from "../formats/gguf_write.ts";
import type { ImportanceMatrix } from "../formats/imatrix.ts";
import type { Adapter } from "../formats/peft.ts";
import { findChatTemplate } from "../text/chat_template.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { ggufFamily } from "./gguf_families.ts";
import { checkComplete, type GgufFamily, ggufName } from "./gguf_family.ts";
import {
  type GgufQuant,
  ggufQuants,
  inFileOrder,
  isMixture,
  storedTypes,
} from "./gguf_mixtures.ts";
import { tokenizerMetadata } from "./gguf_tokenizer.ts";
import { createQuantizer, type Quantizer } from "./quantizer.ts";
import { checkRange, mergeAdapter, rowRanges, type Weights } from "./weights.ts";

export interface Progress {
  /** Bytes of tensor data written, of how many. */
  readonly done: number;
  readonly total: number;
  readonly tensor: string;
}

export interface GgufOptions {
  /** An open model folder. */
  readonly model: Weights & {
    readonly dir: string;
    readonly generationConfig?: Record<string, unknown>;
  };
  /** Merged into the weights before they are quantised. */
  readonly adapter?: Adapter;
  readonly quant: GgufQuant;
  /** The file to write. */
  readonly out: string;
  /** Where the tokenizer files are, the model's folder by default. */
  readonly tokenizerDir?: string;
  /** general.name, the folder's name by default. */
  readonly name?: string;
  /** How hidden states become an embedding, where llama.cpp is to know it. */
  readonly pooling?: "mean" | "cls" | "last";
  /** Overrides the GGUF pre-tokenizer name. */
  readonly pretokenizer?: string;
  /** Under which prompt the model was trained: kept in the file as JSON, under PROMPT_KEY. */
  readonly prompt?: object;
  /** Weighs the columns while mixtures are quantised. */
  readonly importance?: NamedMatrix;
  /** Bytes of tensors in a file at most; with more the model is split. */
  readonly splitBytes?: number;
  /** Is told every path before anything is written. */
  readonly check?: (path: string) => void;
  readonly onProgress?: (progress: Progress) => void;
}

/** An importance matrix, and the name of its file. */
export interface NamedMatrix extends ImportanceMatrix {
  readonly file: string;
}

/** A key of our own: other programs pass over it. */
export const PROMPT_KEY = "whet.prompt";

export interface ExportResult {
  /** The file, or the first of its parts. */
  readonly path: string;
  /** All parts, in order. */
  readonly paths: readonly string[];
  readonly bytes: number;
  /** Of the one file. */
  readonly sha256?: string;
  readonly tensors: number;
  /** What was not done as asked, in whole sentences. */
  readonly warnings: readonly string[];
}

/** llama.cpp's numbers. */
const POOLING = { mean: 1, cls: 2, last: 3 } as const;

/** A count as llama.cpp names model sizes: two digits at least, then K, M, B or T. */
export function sizeLabel(parameters: number): string {
  const [unit, suffix] = parameters > 1e12
    ? [1e12, "T"] as const
    : parameters > 1e9
    ? [1e9, "B"] as const
    : parameters > 1e6
    ? [1e6, "M"] as const
    : [1e3, "K"] as const;
  const scaled = parameters / unit;
  return `${scaled.toFixed(scaled < 9.5 ? 1 : 0)}${suffix}`;
}

/** Sampling settings of generation_config.json that GGUF has keys for. */
function sampling(generation: Record<string, unknown> = {}): [string, GgufValue][] {
  const keys = [
    ["top_k", "top_k", i32],
    ["top_p", "top_p", f32],
    ["min_p", "min_p", f32],
    ["temperature", "temp", f32],
    ["repetition_penalty", "penalty_repeat", f32],
  ] as const;
  return keys.flatMap(([from, to, make]) => {
    const value = generation[from];
    return typeof value === "number" ? [[`general.sampling.${to}`, make(value)]] : [];
  });
}

/** Moves whole rows: what is in row r of a head of `perHead` rows comes from row `from(r)`. */
function permute<A extends Float32Array | Uint8Array>(
  values: A,
  perHead: number,
  width: number,
  from: (row: number) => number,
): A {
  const out = values.slice() as A;
  for (let start = 0; start < values.length / width; start += perHead) {
    for (let row = 0; row < perHead; row++) {
      const source = (start + from(row)) * width;
      out.set(values.subarray(source, source + width), (start + row) * width);
    }
  }
  return out;
}

/** Interleaves the two halves of every head: row (h, j, i) goes to (h, i, j). */
export const interleave = (values: Float32Array, perHead: number, width: number): Float32Array =>
  permute(values, perHead, width, (row) => (row % 2) * (perHead / 2) + Math.floor(row / 2));

/** Undoes interleave. */
export const separate = <A extends Float32Array | Uint8Array>(
  values: A,
  perHead: number,
  width: number,
): A =>
  permute(
    values,
    perHead,
    width,
    (row) => 2 * (row % (perHead / 2)) + Math.floor(row / (perHead / 2)),
  );

/** Values with a number added, rounded as the converter does: to f16 where the checkpoint is f16. */
function shifted(values: Float32Array, by: number | undefined, dtype: string): Float32Array {
  if (by === undefined) return values;
  return values.map((v) => dtype === "F16" ? Math.f16round(v + by) : v + by);
}

/** A tensor to be written, before its type is chosen. */
interface Planned {
  readonly name: string;
  readonly shape: readonly number[];
  /** Its values in pieces of whole rows, as the file holds them. */
  readonly values: () => Iterable<Float32Array>;
}

function* planTensors(family: GgufFamily, weights: Weights): Generator<Planned> {
  const { config } = weights;
  for (const { name, shape, values } of family.generated?.(config) ?? []) {
    yield { name, shape, values: () => [values] };
  }
  for (const [name, { shape, dtype }] of weights.tensors) {
    const target = ggufName(family, name);
    if (target === undefined) continue;
    const perHead = family.interleavedRows?.(name, config);
    const width = shape.length > 1 ? shape.at(-1)! : 1;
    const before = family.rowsBefore?.(name, config) ?? 0;
    const kept = [shape[0]! - before, ...shape.slice(1)];
    const values = function* () {
      for (const [from, to] of rowRanges(kept, perHead)) {
        const rows = shifted(
          weights.readF32(name, from + before, to + before),
          family.shift?.(name),
          dtype,
        );
        yield perHead ? interleave(rows, perHead, width) : rows;
      }
    };
    yield { name: target.gguf, shape: kept, values };
  }
}

function encoded(
  { name, shape, values }: Planned,
  type: BlockType,
  quantizer: Quantizer,
  importance?: Float32Array,
): GgufSource {
  const chunks = async function* () {
    // One piece is read while the one before is quantised.
    let before: Promise<Uint8Array> | undefined;
    for (const piece of values()) {
      checkRange(name, piece, type.name);
      const bytes = quantizer.quantize(type, piece, importance);
      if (before) yield await before;
      before = bytes;
    }
    if (before) yield await before;
  };
  return { name, type, shape, chunks };
}

const countOf = ({ shape }: { readonly shape: readonly number[] }) =>
  shape.reduce((product, size) => product * size, 1);

/** Counts what passes and reports each piece. */
function watched(
  sources: readonly GgufSource[],
  onProgress: GgufOptions["onProgress"],
): GgufSource[] {
  const total = sources.reduce((sum, source) => sum + bytesOf(source.type, countOf(source)), 0);
  let done = 0;
  return sources.map((source) => ({
    ...source,
    async *chunks() {
      for await (const chunk of source.chunks()) {
        yield chunk;
        done += chunk.length;
        onProgress?.({ done, total, tensor: source.name });
      }
    },
  }));
}

function vocabularyRows(weights: Weights, family: GgufFamily): number {
  const name = Object.keys(family.names).find((key) => family.names[key] === "token_embd")!;
  const rows = weights.tensors.get(`${name}.weight`)?.shape[0];
  if (rows === weights.config.vocab_size) return rows as number;
  throw new Fail(
    `config.json says vocab_size ${String(weights.config.vocab_size)}, ${name} has ${rows} rows`,
    {
      why: "config.json and weights do not belong together",
      fix: "download the model again",
      exit: Exit.data,
    },
  );
}

/** Refuses what a config promises otherwise than the family's table has it. */
function checkWeights(family: GgufFamily, weights: Weights): void {
  const layers = Number(weights.config.num_hidden_layers ?? weights.config.n_layer);
  const tied = weights.config.tie_word_embeddings ?? family.tied;
  checkComplete(family, layers, weights.tensors, tied === true);
}

/**
 * The columns' weights of each tensor that is quantised, and a warning where some have none: those are
 * quantised as without a matrix.
 *
 * @throws Fail where the matrix belongs to a model of another shape, or to no tensor of this one
 */
function weighing(
  planned: readonly Planned[],
  types: readonly BlockType[],
  quant: GgufQuant,
  importance: NamedMatrix | undefined,
): { readonly columns: readonly (Float32Array | undefined)[]; readonly warnings: string[] } {
  if (!importance) return { columns: [], warnings: [] };
  const without: string[] = [];
  const columns = planned.map(({ name, shape }, i) => {
    if (types[i]!.block === 1 || types[i]!.name === "q8_0") return undefined; // nothing is searched
    const found = importance.columns.get(name), width = shape.at(-1)!;
    if (found?.length === width) return found;
    // llama.cpp's tool leaves out embeddings and, mostly, the head.
    if (name === "token_embd.weight" || (name === "output.weight" && !found)) return undefined;
    if (found) {
      throw new Fail(`${importance.file} has ${found.length} columns for ${name} of ${width}`, {
        why: "the importance matrix was made from another model",
        fix: "make one of this model: whet imatrix",
        exit: Exit.data,
      });
    }
    without.push(name);
    return undefined;
  });
  if (columns.some((found) => found)) {
    const warnings = without.length === 0 ? [] : [
      `${importance.file} says nothing of ${without.length} tensors: ${
        without.slice(0, 3).join(", ")
      }${without.length > 3 ? " …" : ""}`,
    ];
    return { columns, warnings };
  }
  const plain = !isMixture(quant);
  throw new Fail(
    plain
      ? `an importance matrix does nothing for ${quant}`
      : `${importance.file} names no tensor of this model`,
    plain ? { fix: "--quant q4_k_m, or without --imatrix", exit: Exit.usage } : {
      why: "the importance matrix was made from another model",
      fix: "make one of this model: whet imatrix",
      exit: Exit.data,
    },
  );
}

/** What llama-quantize says of the matrix it used. */
const matrixMetadata = (importance: NamedMatrix): [string, GgufValue][] => [
  ["quantize.imatrix.file", text(importance.file)],
  ...importance.dataset === undefined
    ? []
    : [["quantize.imatrix.dataset", text(importance.dataset)] as [string, GgufValue]],
  ["quantize.imatrix.entries_count", u32(importance.columns.size)],
  ["quantize.imatrix.chunks_count", u32(importance.chunks)],
];

/**
 * Writes a model, with an adapter merged in if one is given, as one GGUF file that llama.cpp and
 * Ollama load: same keys, values and bytes as llama.cpp's converter, for
 * mixtures of types as its llama-quantize makes from the converter's f32 file.
 *
 * Weights stream through in pieces of some 16 MiB. Matrices whose rows are not whole blocks of their
 * type are written in another one, with a warning.
 * @throws Fail when the family or tokenizer is not known, tensors are missing or unexpected, a value
 *   does not fit its type, or the disk refuses; then there is no file
 */
export async function exportGguf(options: GgufOptions): Promise<ExportResult> {
  const { model, adapter, quant, out, pooling, onProgress } = options;
  const family = ggufFamily(model.config);
  checkWeights(family, model);
  const weights = adapter === undefined ? model : mergeAdapter(model, adapter);
  using quantizer = createQuantizer();
  const planned = inFileOrder(quant, [...planTensors(family, weights)]);
  const { importance } = options;
  const { types, warnings: fallbacks } = storedTypes(
    quant,
    planned,
    model.config,
    importance !== undefined,
  );
  const weighed = weighing(planned, types, quant, importance);
  const sources = planned.map((tensor, i) =>
    encoded(tensor, types[i]!, quantizer, weighed.columns[i])
  );
  const parameters = planned.reduce((sum, tensor) => sum + countOf(tensor), 0);

  const dir = options.tokenizerDir ?? model.dir;
  const tokenizer = await loadTokenizer(dir);
  const { entries, warnings } = tokenizerMetadata(tokenizer, {
    vocabSize: vocabularyRows(model, family),
    modelConfig: model.config,
    chatTemplate: await findChatTemplate(dir, tokenizer.config),
    pretokenizer: options.pretokenizer,
  });
  const extra = family.tokenizer?.(model.config, tokenizer);
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", text(family.arch)],
    ["general.type", text("model")],
    ...sampling(model.generationConfig),
    ["general.name", text(options.name ?? basename(model.dir))],
    ["general.size_label", text(sizeLabel(parameters))],
    ...family.metadata(model.config, u32(ggufQuants[quant])),
    ...(pooling ? [[`${family.arch}.pooling_type`, u32(POOLING[pooling])] as const] : []),
    ["general.quantization_version", u32(2)],
    ...extra?.before ?? [],
    ...entries,
    ...extra?.after ?? [],
    ...importance ? matrixMetadata(importance) : [],
    ...options.prompt ? [[PROMPT_KEY, text(JSON.stringify(options.prompt))] as const] : [],
  ]);
  if (isMixture(quant)) {
    for (const key of ["general.quantization_version", "general.file_type"]) {
      const value = metadata.get(key)!;
      metadata.delete(key);
      metadata.set(key, value);
    }
  }
  const file = { metadata, tensors: watched(sources, onProgress) };
  const { paths, size, sha256 } = await writeGgufParts(
    out,
    file,
    options.splitBytes,
    options.check,
  );
  return {
    path: paths[0]!,
    paths,
    bytes: size,
    sha256,
    tensors: sources.length,
    warnings: [...warnings, ...fallbacks, ...weighed.warnings],
  };
}
