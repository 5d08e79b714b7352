import { createHash } from "node:crypto";
import { Exit, Fail } from "../base/fail.ts";
import type { JsonObject } from "../base/strict_json.ts";
import { openGguf } from "../formats/gguf.ts";
import { stringsAt } from "../formats/gguf_types.ts";
import { type BlockDType, isBlocks } from "../formats/gguf_planes.ts";
import { type ModelTensor, storedAs } from "../formats/model_folder.ts";
import type { QuantisedFolder } from "../formats/quantised_folder.ts";
import type { ChatTemplate } from "../text/chat_template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { ggufFamilyOf } from "./gguf_families.ts";
import { checkpointName, generatedNames } from "./gguf_family.ts";
import { separate } from "./gguf_model.ts";
import { ggufTemplate, tokenizerFromGguf } from "./gguf_tokenizer_read.ts";

/** A GGUF file seen as the model folder it was made from. */
export interface GgufModel extends QuantisedFolder {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | undefined;
  /** GGUF type of every tensor, by checkpoint name; ", shifted" where the file holds one more. */
  readonly types: ReadonlyMap<string, string>;
}

const plain = { f32: "F32", f16: "F16", bf16: "BF16" } as const;

/**
 * Opens a GGUF file as a model: checkpoint names, config.json in transformers 5 style, rows in the
 * checkpoint's order, block types dequantised to float32 as they are read.
 *
 * @throws Fail when the file is damaged, or its family, tokenizer or tensor types cannot be read
 */
export function openGgufModel(path: string): GgufModel {
  const file = openGguf(path);
  try {
    const { metadata } = file;
    const family = ggufFamilyOf(metadata);
    const tokenizer = tokenizerFromGguf(metadata);
    const vocabSize = stringsAt(metadata, "tokenizer.ggml.tokens")!.length;
    const generated = new Map(
      generatedNames.filter((name) => file.tensors.has(name))
        .map((name) => [name, file.readF32(name)]),
    );

    const stored = new Map<string, string>();
    const tensors = new Map<string, ModelTensor>();
    const types = new Map<string, string>(), quantised = new Map<string, BlockDType>();
    for (const [name, { shape, type }] of file.tensors) {
      if (generated.has(name)) continue;
      const checkpoint = checkpointName(family, name);
      if (checkpoint === undefined) {
        throw new Fail(`tensor ${name} has no place in a ${family.arch} model`, {
          exit: Exit.data,
        });
      }
      const values = shape.reduce((product, size) => product * size, 1);
      const dtype = Object.hasOwn(plain, type.name)
        ? plain[type.name as keyof typeof plain]
        : "F32";
      stored.set(checkpoint, name);
      types.set(checkpoint, family.shift?.(checkpoint) ? `${type.name}, shifted` : type.name);
      if (isBlocks(type.name) && shape.length === 2) quantised.set(checkpoint, type.name);
      tensors.set(checkpoint, { dtype, shape, bytes: values * (dtype === "F32" ? 4 : 2) });
    }
    const config = {
      ...family.config(metadata, vocabSize, generated),
      tie_word_embeddings: !tensors.has("lm_head.weight"),
      eos_token_id: tokenizer.eos ?? null,
      bos_token_id: tokenizer.bos ?? null,
    } as JsonObject;

    const need = (name: string) => {
      const found = tensors.get(name);
      if (found !== undefined) return { ...found, stored: stored.get(name)! };
      throw new Fail(`${path} has no tensor ${name}`, { exit: Exit.data });
    };
    const readF32 = (name: string, from = 0, to?: number): Float32Array => {
      const { shape, stored } = need(name);
      const end = to ?? shape[0]!;
      // A vector is one row of a GGUF file, and one row a value of a checkpoint.
      if (shape.length === 1) {
        const whole = file.readF32(stored), by = family.shift?.(name);
        const perHead = family.interleavedRows?.(name, config);
        const values = (perHead ? separate(whole, perHead, 1) : whole).slice(from, end);
        return by === undefined ? values : values.map((v) => v - by);
      }
      const width = shape[1]!;
      const perHead = family.interleavedRows?.(name, config) ?? 1;
      const first = Math.floor(from / perHead) * perHead;
      const last = Math.ceil(end / perHead) * perHead;
      const values = file.readF32(stored, first, last);
      if (perHead === 1) return values;
      return separate(values, perHead, width).slice((from - first) * width, (end - first) * width);
    };
    const blocks = (name: string, from: number, to: number): Uint8Array => {
      const { stored, shape } = need(name), bytes = file.tensors.get(stored)!.bytes;
      const perHead = family.interleavedRows?.(name, config) ?? 1;
      const first = Math.floor(from / perHead) * perHead;
      const last = Math.ceil(to / perHead) * perHead;
      const rows = file.readBytes(stored, first, last), width = bytes / shape[0]!;
      const whole = perHead === 1 ? rows : separate(rows, perHead, width);
      return whole.subarray((from - first) * width, (to - first) * width);
    };
    let identity: string | undefined;
    return {
      dir: path,
      config,
      generationConfig: undefined,
      tensors,
      readBytes: storedAs(tensors, readF32),
      readF32,
      resolve: (name) => tensors.has(name) ? name : undefined,
      hash: () => identity ??= hashOf(file),
      close: () => file.close(),
      [Symbol.dispose]: () => file.close(),
      tokenizer,
      types,
      quantised: quantised.size > 0 ? quantised : undefined,
      blocks,
      template: ggufTemplate(tokenizer),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** SHA-256 over names, types, places and a row of every tensor. */
function hashOf(file: ReturnType<typeof openGguf>): string {
  const sum = createHash("sha256").update(String(file.size));
  for (const [name, { type, offset, shape }] of file.tensors) {
    const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    const middle = Math.floor(rows / 2);
    sum.update(`${name} ${type.name} ${offset}`).update(file.readBytes(name, middle, middle + 1));
  }
  return sum.digest("hex");
}
