import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DecoderConfig } from "./decoder.ts";
import { specOf } from "./model.ts";

const fixtures = join(import.meta.dir, "../../../shared/fixtures/models");
if (!existsSync(fixtures)) console.warn("SKIPPED configs of real shape: no fixtures");

for (const name of ["llama", "llama_tied", "phi2", "qwen2", "qwen3", "gemma2", "gemma3"]) {
  test.skipIf(!existsSync(fixtures))(`${name}: config.json of transformers 4 and 5`, () => {
    const of = (file: string) =>
      specOf(JSON.parse(readFileSync(join(fixtures, name, file), "utf8"))).config;
    expect(of("config_v4_style.json")).toEqual(of("hf/config.json"));
  });
}

const tiny = {
  hidden_size: 64,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 128,
  vocab_size: 100,
};
const configOf = (json: Record<string, unknown>) =>
  specOf({ ...tiny, ...json }).config as DecoderConfig;

test("gemma: layers that slide, caps and bases, told or left out", () => {
  const two = configOf({ model_type: "gemma2", head_dim: 16, query_pre_attn_scalar: 16 });
  expect(two.windows).toEqual([4096, undefined, 4096, undefined, 4096, undefined]);
  expect([two.scoreCap, two.logitCap, two.scale, two.tied]).toEqual([50, 30, 0.25, true]);
  const plain = configOf({ model_type: "gemma2", attn_logit_softcapping: null });
  expect([plain.scoreCap, plain.logitCap]).toEqual([undefined, 30]);

  const scaling = { rope_type: "linear", factor: 8 };
  const three = configOf({ model_type: "gemma3_text", sliding_window: 512, rope_scaling: scaling });
  expect(three.windows).toEqual([512, 512, 512, 512, 512, undefined]);
  const bases = three.rope.map((rope) => [rope!.theta, rope!.scaling?.type]);
  expect(bases.slice(4)).toEqual([[1e4, undefined], [1e6, "linear"]]);
  expect([three.scoreCap, three.logitCap]).toEqual([undefined, undefined]);
});
test("gemma: a list of layers that does not fit, and a cap of 0, are refused", () => {
  expect(() => configOf({ model_type: "gemma2", layer_types: ["full_attention"] })).toThrow(
    "layer_types must be 6 times sliding_attention or full_attention",
  );
  expect(() => configOf({ model_type: "gemma2", final_logit_softcapping: 0 })).toThrow(
    "final_logit_softcapping must be a number above 0",
  );
});
test("rotary scalings: what is not said follows from what is", () => {
  const scalingOf = (rope_scaling: Record<string, unknown>) =>
    configOf({ model_type: "qwen2", max_position_embeddings: 131072, rope_scaling })
      .rope[0]!.scaling as unknown;
  expect(
    scalingOf({ type: "yarn", factor: 4, original_max_position_embeddings: 32768 }),
  ).toEqual({
    type: "yarn",
    factor: 4,
    originalContext: 32768,
    betaFast: 32,
    betaSlow: 1,
    truncate: true,
    attentionFactor: 0.1 * Math.log(4) + 1,
  });
  expect(scalingOf({ rope_type: "dynamic", factor: 2 })).toEqual({
    type: "dynamic",
    factor: 2,
    context: 131072,
  });
  expect(scalingOf({
    type: "longrope",
    short_factor: [1],
    long_factor: [2],
    original_max_position_embeddings: 4096,
  })).toEqual({
    type: "longrope",
    short: [1],
    long: [2],
    originalContext: 4096,
    attentionFactor: Math.sqrt(1 + Math.log(32) / Math.log(4096)),
  });
  expect(() => scalingOf({ type: "longrope", short_factor: "no" })).toThrow("short_factor must be");
  expect(() => scalingOf({ type: "xpos" })).toThrow('rope type "xpos" is not built yet');
});
