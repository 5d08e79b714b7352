import { type BlockType, blockType } from "../formats/gguf_blocks.ts";

/** Quantisations of a whole file with their number in general.file_type. */
export const ggufQuants = {
  f32: 0,
  f16: 1,
  bf16: 32,
  q8_0: 7,
  q4_0: 2,
  q4_k_s: 14,
  q4_k_m: 15,
  q5_k_s: 16,
  q5_k_m: 17,
  q6_k: 18,
} as const;
export type GgufQuant = keyof typeof ggufQuants;

/** How llama-quantize mixes types in one file. */
interface Mixture {
  /** Most matrices. */
  readonly base: string;
  /** What attn_v and ffn_down of layer i of n have instead, in some layers. */
  readonly value?: (layer: number, layers: number) => string | undefined;
  readonly down?: (layer: number, layers: number, weighted: boolean) => string | undefined;
}

/** The first and the last eighth of the layers, and every third between them. */
const moreBits = (i: number, n: number): boolean => {
  const eighth = Math.floor(n / 8);
  return i < eighth || i >= Math.floor(7 * n / 8) || (i - eighth) % 3 === 2;
};
const q6InSome = (i: number, n: number) => moreBits(i, n) ? "q6_K" : undefined;

const mixtures: Partial<Record<GgufQuant, Mixture>> = {
  q4_0: {
    base: "q4_0",
    // A matrix may let few columns of the first layers take all the weight.
    down: (i, n, weighted) => weighted && i < Math.floor(n / 8) ? "q4_1" : undefined,
  },
  q4_k_s: {
    base: "q4_K",
    value: (i) => i < 4 ? "q5_K" : undefined,
    down: (i, n) => i < Math.floor(n / 8) ? "q5_K" : undefined,
  },
  q4_k_m: { base: "q4_K", value: q6InSome, down: q6InSome },
  q5_k_s: { base: "q5_K" },
  q5_k_m: { base: "q5_K", value: q6InSome, down: q6InSome },
  q6_k: { base: "q6_K" },
};

/** Whether the file is one that llama-quantize would write, instead of llama.cpp's converter. */
export const isMixture = (quant: GgufQuant): boolean => mixtures[quant] !== undefined;

/** What takes the place of a type of 256 values a block where rows are no whole blocks of it. */
const narrower: Readonly<Record<string, string>> = { q4_K: "q5_0", q5_K: "q5_1", q6_K: "q8_0" };

interface Named {
  readonly name: string;
  readonly shape: readonly number[];
}

const layerOf = (name: string): number => Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1);

/** Mixtures have their tensors by layer, those of no layer first, then by the bytes of the name. */
export function inFileOrder<T extends Named>(
  quant: GgufQuant,
  tensors: readonly T[],
): readonly T[] {
  if (!isMixture(quant)) return tensors;
  // Names are ASCII: the order of UTF-16 units is that of bytes.
  return tensors.toSorted((a, b) =>
    layerOf(a.name) - layerOf(b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
}

/** Llama 2 and 3 70B, and Qwen2 72B: eight query heads share the values of one head. */
function sharesValues({ model_type, num_hidden_layers, ...config }: Record<string, unknown>) {
  const kvHeads = config.num_key_value_heads ?? config.num_attention_heads;
  return num_hidden_layers === 80 && (model_type === "llama" || model_type === "qwen2") &&
    kvHeads !== config.num_attention_heads;
}

function mixed(
  { base, value, down }: Mixture,
  { name, shape }: Named,
  tensors: readonly Named[],
  config: Record<string, unknown>,
  weighted: boolean,
): string {
  const head = tensors.some(({ name }) => name === "output.weight")
    ? "output.weight"
    : "token_embd.weight";
  if (name === head) return shape.at(-1)! % blockType(base).block === 0 ? "q6_K" : "q8_0";
  const role = /^blk\.\d+\.(attn_v|attn_qkv|ffn_down)\.weight$/.exec(name)?.[1];
  if (role === undefined) return base;
  const layers = new Set(tensors.map(({ name }) => layerOf(name)).filter((layer) => layer >= 0));
  const rule = role === "ffn_down" ? down : value;
  const type = rule?.(layerOf(name), layers.size, weighted) ?? base;
  return role === "attn_v" && type === "q4_K" && sharesValues(config) ? "q5_K" : type;
}

/** Tables of positions and token types are small, and added to all that follows. */
const kept = (name: string) => name === "position_embd.weight" || name === "token_types.weight";

/**
 * The type of every tensor: vectors, norms and small tables f32; matrices as the quantisation has it, or in a type
 * with shorter blocks (in the end f16) where their rows are no whole blocks.
 *
 * The rules of mixtures are those of llama.cpp's llama-quant.cpp.
 * @param weighted whether there is an importance matrix
 */
export function storedTypes(
  quant: GgufQuant,
  tensors: readonly Named[],
  config: Record<string, unknown>,
  weighted = false,
): { readonly types: readonly BlockType[]; readonly warnings: readonly string[] } {
  const mixture = mixtures[quant];
  const replaced = new Map<string, string[]>();
  const types = tensors.map((tensor) => {
    const { name, shape } = tensor;
    if (
      shape.length <= 1 || name.endsWith("_norm.weight") || !name.endsWith(".weight") || kept(name)
    ) {
      return blockType("f32");
    }
    const wanted = blockType(mixture ? mixed(mixture, tensor, tensors, config, weighted) : quant);
    let type = wanted;
    while (shape.at(-1)! % type.block !== 0) type = blockType(narrower[type.name] ?? "f16");
    if (type !== wanted) {
      const change = `${type.name} because their rows are not whole ${wanted.name} blocks`;
      replaced.set(change, [...replaced.get(change) ?? [], name]);
    }
    return type;
  });
  const warnings = [...replaced].map(([change, names]) =>
    `${names.length} tensors are ${change}: ${names.slice(0, 3).join(", ")}${
      names.length > 3 ? " …" : ""
    }`
  );
  return { types, warnings };
}
