// jina-embeddings-v3 (Sturua et al. 2024): XLM-RoBERTa with rotary positions in the place of learnt ones, one
// projection for queries, keys and values, and in the checkpoint a low-rank adapter of every matrix for each of
// its tasks. Which of them is merged in is chosen when the folder is opened.
import { Exit, Fail } from "../base/fail.ts";
import { add } from "../../kernels/add/add.ts";
import { embed } from "../../kernels/embedding/embedding.ts";
import { gelu } from "../../kernels/gelu/gelu.ts";
import { geluNew } from "../../kernels/gelu_new/gelu_new.ts";
import { layernorm } from "../../kernels/layernorm/layernorm.ts";
import { thousands } from "../base/text.ts";
import type { Tensor } from "../graph/tensor.ts";
import { selfAttention, type Stream } from "../nn/attention.ts";
import { inChunks } from "../nn/chunks.ts";
import { linear } from "../nn/linear.ts";
import type { Net } from "../nn/net.ts";
import { rotaryTables } from "../nn/rotary.ts";
import type { Architecture, Sizes } from "./architecture.ts";
import { ConfigReader } from "./config.ts";
import { firstTypes } from "./bert.ts";

export interface JinaConfig extends Sizes {
  readonly inner: number;
  readonly eps: number;
  readonly types: number;
  readonly theta: number;
  readonly tanh: boolean;
  readonly tasks: readonly string[];
}

export const jina: Architecture<JinaConfig> = {
  modelType: "xlm-roberta",
  owns: (json) => json.lora_adaptations !== undefined || json.position_embedding_type === "rotary",
  linears: ["Wqkv", "out_proj", "fc1", "fc2"],
  defaultTargets: ["Wqkv"],
  bidirectional: true,
  checkpoint: {
    rename: (name) => name.replace(/^roberta\./, ""),
    unused: /^(pooler\.|lm_head\.|classifier\.)/,
  },

  config(json) {
    const c = new ConfigReader(json);
    c.only("hidden_act", ["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"], "gelu");
    c.only("position_embedding_type", ["rotary"], "rotary");
    c.only("rotary_emb_interleaved", [false], false);
    c.only("rotary_emb_scale_base", [null], null);
    const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
    const headDim = width / heads;
    c.only("rotary_emb_dim", [headDim], headDim);
    return {
      vocab: c.size("vocab_size"),
      width,
      layers: c.size("num_hidden_layers"),
      heads,
      kvHeads: heads,
      headDim,
      // Counted as if positions began after the padding id, as RoBERTa's do.
      context: c.size("max_position_embeddings") - c.number("pad_token_id", 1) - 1,
      inner: c.size("intermediate_size"),
      eps: c.number("layer_norm_eps", 1e-5),
      types: c.size("type_vocab_size", 1),
      theta: c.number("rotary_emb_base", 10000),
      tanh: json.hidden_act !== undefined && json.hidden_act !== "gelu",
      tasks: tasksOf(json)?.names ?? [],
    };
  },
  sizes: (config) => config,
  tasks: tasksOf,
  describe: ({ theta, tasks }) => [
    ["positions", `rotary with base ${thousands(theta)} in all layers`],
    ...(tasks.length > 0 ? [["tasks", tasks.join(", ")] as [string, string]] : []),
  ],

  hidden(net, c, stream) {
    const { g } = net;
    const shape = {
      ...c,
      rotary: c.headDim,
      tables: rotaryTables({ theta: c.theta, rotary: c.headDim, positions: net.positions }),
      bias: true,
      scope: "mixer",
      fused: "Wqkv",
      out: "out_proj",
    };
    let x: Tensor | undefined;
    for (let i = 0; i < c.layers; i++) {
      const given = x; // the first block embeds, so that nothing must be held for it
      x = g.block("", () => {
        const from = given ?? embeddings(net, c, stream);
        return g.scope(`encoder.layers.${i}`, () => {
          const mixed = selfAttention(net, stream, from, shape);
          const middle = norm(net, c, "norm1", g.add(add, [mixed, from], null)[0]!);
          return inChunks(net, middle, c.inner, (part) => {
            const fed = mlp(net, c, part);
            return norm(net, c, "norm2", g.add(add, [fed, part], null)[0]!);
          });
        });
      });
    }
    return x!;
  },
};

/** The tasks of a config.json, and what stands before a text of each. @throws Fail (data) */
function tasksOf(json: Record<string, unknown>) {
  const { lora_adaptations: names, task_instructions: given } = json;
  if (names === undefined || names === null) return undefined;
  const known = Array.isArray(names) && names.length > 0 &&
    names.every((name) => typeof name === "string");
  if (!known) {
    throw new Fail("config.json: lora_adaptations must be a list of names", {
      fix: "check that this is the config.json of a Hugging Face model folder",
      exit: Exit.data,
    });
  }
  const c = new ConfigReader(json), prompts = (given ?? {}) as Record<string, unknown>;
  return {
    names: names as string[],
    prompts: Object.fromEntries(
      Object.entries(prompts).filter((entry): entry is [string, string] =>
        typeof entry[1] === "string"
      ),
    ),
    scale: c.number("lora_alpha", 1) / c.size("lora_rank", 4),
  };
}

/** Words and the first token type, normed. */
function embeddings(net: Net, c: JinaConfig, { ids, sorted }: Stream): Tensor {
  const { g } = net, T = ids.shape[0]!;
  const sum = g.scope("embeddings", () => {
    const table = (name: string, rows: number) => net.weight(`${name}.weight`, [rows, c.width]);
    const words = embed(g, table("word_embeddings", c.vocab), ids, sorted);
    const types = firstTypes(net, table("token_type_embeddings", c.types), T);
    return g.add(add, [words, types], null)[0]!;
  });
  return norm(net, c, "emb_ln", sum);
}

function norm(net: Net, c: JinaConfig, name: string, x: Tensor): Tensor {
  return net.g.scope(name, () => {
    const weight = net.weight("weight", [c.width]), bias = net.weight("bias", [c.width]);
    return layernorm(net.g, x, weight, bias, c.eps); // f32: it is the residual stream
  });
}

function mlp(net: Net, c: JinaConfig, x: Tensor): Tensor {
  return net.g.scope("mlp", () => {
    const wide = linear(net, "fc1", x, c.inner, { bias: true });
    const activated = c.tanh ? geluNew(net.g, wide) : gelu(net.g, wide);
    return linear(net, "fc2", activated, c.width, { bias: true, out: "f32" });
  });
}
