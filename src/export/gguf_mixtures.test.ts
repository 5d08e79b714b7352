import { expect, test } from "bun:test";
import { inFileOrder, storedTypes } from "./gguf_mixtures.ts";

const roles = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/** A model with rows of `width`, with or without a head of its own. */
function model(layers: number, { width = 256, tied = false } = {}) {
  const names = ["token_embd.weight", "output_norm.weight", ...tied ? [] : ["output.weight"]];
  for (let i = 0; i < layers; i++) {
    names.push(`blk.${i}.attn_norm.weight`, `blk.${i}.attn_q.bias`);
    for (const role of roles) names.push(`blk.${i}.${role}.weight`);
  }
  return names.map((name) => ({ name, shape: /norm|bias/.test(name) ? [width] : [64, width] }));
}

function typesOf(
  quant: Parameters<typeof storedTypes>[0],
  tensors: ReturnType<typeof model>,
  config: Record<string, unknown> = {},
) {
  const { types, warnings } = storedTypes(quant, tensors, config);
  const byName = Object.fromEntries(tensors.map(({ name }, i) => [name, types[i]!.name]));
  const layersWith = (role: string, type: string) =>
    tensors.filter(({ name }) => name.includes(`.${role}.weight`) && byName[name] === type)
      .map(({ name }) => Number(name.split(".")[1]));
  return { byName, layersWith, warnings };
}

test("some layers of 8 get more bits", () => {
  for (const [quant, base] of [["q4_k_m", "q4_K"], ["q5_k_m", "q5_K"]] as const) {
    const { byName, layersWith } = typesOf(quant, model(8));
    expect(layersWith("attn_v", "q6_K")).toEqual([0, 3, 6, 7]);
    expect(layersWith("ffn_down", "q6_K")).toEqual([0, 3, 6, 7]);
    expect(layersWith("attn_v", base)).toEqual([1, 2, 4, 5]);
    expect(layersWith("ffn_up", base).length).toBe(8);
    expect([byName["output.weight"], byName["token_embd.weight"]]).toEqual(["q6_K", base]);
    expect([byName["output_norm.weight"], byName["blk.0.attn_q.bias"]]).toEqual(["f32", "f32"]);
  }
  const small = typesOf("q4_k_s", model(16));
  expect(small.layersWith("attn_v", "q5_K")).toEqual([0, 1, 2, 3]);
  expect(small.layersWith("ffn_down", "q5_K")).toEqual([0, 1]);
  expect(typesOf("q5_k_s", model(8)).layersWith("attn_v", "q5_K").length).toBe(8);
});

test("embeddings that are also the head are stored as the head", () => {
  const quants = ["q4_0", "q4_k_m", "q5_k_s", "q6_k", "q8_0", "f16"] as const;
  expect(
    quants.map((quant) => typesOf(quant, model(2, { tied: true })).byName["token_embd.weight"]),
  )
    .toEqual(["q6_K", "q6_K", "q6_K", "q6_K", "q8_0", "f16"]);
});

test("rows that are no whole blocks get shorter blocks, and a warning", () => {
  const { byName, warnings } = typesOf("q4_k_m", model(1, { width: 96 }));
  expect(byName["blk.0.attn_q.weight"]).toBe("q5_0");
  expect(byName["blk.0.attn_v.weight"]).toBe("q8_0");
  expect(byName["output.weight"]).toBe("q8_0");
  expect(warnings).toEqual([
    "6 tensors are q5_0 because their rows are not whole q4_K blocks: token_embd.weight, " +
    "blk.0.attn_q.weight, blk.0.attn_k.weight …",
    "2 tensors are q8_0 because their rows are not whole q6_K blocks: blk.0.attn_v.weight, " +
    "blk.0.ffn_down.weight",
  ]);
  expect(typesOf("q5_k_m", model(1, { width: 96 })).byName["blk.0.attn_q.weight"]).toBe("q5_1");
  for (const quant of ["q4_k_m", "q4_0", "q8_0"] as const) {
    expect(typesOf(quant, model(1, { width: 40 })).byName["blk.0.attn_q.weight"]).toBe("f16");
  }
  // Rows of q4_0 blocks that are no q6_K blocks.
  expect(typesOf("q4_0", model(1, { width: 96 })).byName["output.weight"]).toBe("q8_0");
});

test("where eight query heads share a value head, 70B models keep more of it", () => {
  const config = { model_type: "llama", num_hidden_layers: 80, num_attention_heads: 64 };
  const shared = typesOf("q4_k_m", model(80), { ...config, num_key_value_heads: 8 });
  expect(shared.layersWith("attn_v", "q4_K")).toEqual([]);
  expect(shared.layersWith("ffn_down", "q4_K").length).toBeGreaterThan(30);
  expect(typesOf("q4_k_m", model(80), config).layersWith("attn_v", "q4_K").length)
    .toBeGreaterThan(30);
});

test("the order is by layer, then by name; only in mixtures", () => {
  const tensors = ["blk.10.a", "output", "blk.2.b", "blk.2.a", "Z"].map((name) => ({
    name,
    shape: [1],
  }));
  expect(inFileOrder("q6_k", tensors).map(({ name }) => name)).toEqual([
    "Z",
    "output",
    "blk.2.a",
    "blk.2.b",
    "blk.10.a",
  ]);
  expect(inFileOrder("q8_0", tensors)).toBe(tensors);
});
