import { describe, expect, test } from "bun:test";
import { ggufFamily } from "./gguf_families.ts";
import { checkComplete, ggufName } from "./gguf_family.ts";
import { interleave, separate, sizeLabel } from "./gguf_model.ts";
import { checkRange, rowRanges } from "./weights.ts";

const llama = ggufFamily({ architectures: ["LlamaForCausalLM"] });

test("tensor names", () => {
  expect(ggufName(llama, "model.layers.11.self_attn.q_proj.weight")).toEqual({
    pattern: "model.layers.{}.self_attn.q_proj",
    gguf: "blk.11.attn_q.weight",
  });
  expect(ggufName(llama, "model.layers.0.self_attn.q_proj.bias")!.gguf).toBe("blk.0.attn_q.bias");
  expect(ggufName(llama, "model.layers.0.self_attn.rotary_emb.inv_freq")).toBeUndefined();
  for (const name of ["model.layers.0.mlp.experts.0.weight", "lm_head", "constructor.weight"]) {
    expect(() => ggufName(llama, name)).toThrow(`tensor ${name} has no place`);
  }
});

test("unknown families are refused with what is known", () => {
  expect(() => ggufFamily({ architectures: ["MambaForCausalLM"] })).toThrow("MambaForCausalLM");
  expect(() => ggufFamily({})).toThrow("cannot be exported");
});

test("a missing weight is named; a tied head may be missing", () => {
  const names = Object.keys(llama.names).flatMap((name) =>
    [0, 1].map((layer) => `${name.replace("{}", String(layer))}.weight`)
  );
  const all = new Map(names.map((name) => [name, null]));
  checkComplete(llama, 2, all, false);
  all.delete("lm_head.weight");
  checkComplete(llama, 2, all, true);
  expect(() => checkComplete(llama, 2, all, false)).toThrow("lm_head.weight");
  expect(() => checkComplete(llama, 3, all, true)).toThrow("model.layers.2.");
});

test("interleaving puts the two halves of each head side by side", () => {
  const rows = Float32Array.from([...Array(16).keys()]);
  expect(separate(interleave(rows, 4, 2), 4, 2)).toEqual(rows);
  expect([...interleave(rows, 4, 2)]).toEqual([
    0,
    1,
    4,
    5,
    2,
    3,
    6,
    7,
    8,
    9,
    12,
    13,
    10,
    11,
    14,
    15,
  ]);
});

test("row ranges cover every row once, in multiples of a head", () => {
  for (
    const [shape, step] of [[[10, 3], 1], [[96_000, 512], 64], [[7], 1], [
      [128, 9_000_000],
      32,
    ]] as const
  ) {
    let next = 0;
    for (const [from, to] of rowRanges(shape, step)) {
      expect(from).toBe(next);
      if (to < shape[0]) expect((to - from) % step).toBe(0);
      next = to;
    }
    expect(next).toBe(shape[0]);
  }
});

test("size labels", () => {
  const counts = [781_000, 1_770_000, 9_440_000, 9_500_000, 494e6, 1.24e9, 70.6e9];
  expect(counts.map(sizeLabel)).toEqual(["781K", "1.8M", "9.4M", "10M", "494M", "1.2B", "71B"]);
});

describe("values that a type cannot hold", () => {
  test("are refused before they become infinite", () => {
    checkRange("w", Float32Array.of(65519, -65519), "f16");
    expect(() => checkRange("w", Float32Array.of(1, 65520), "f16")).toThrow("w holds 65520");
    expect(() => checkRange("w", Float32Array.of(NaN), "f32")).toThrow("w holds NaN");
    expect(() => checkRange("w", Float32Array.of(-Infinity), "bf16")).toThrow("-Infinity");
    expect(() => checkRange("w", Float32Array.of(9e6), "q8_0")).toThrow("q8_0 cannot hold");
  });
});
