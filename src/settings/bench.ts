import { z } from "zod";
import { field, path, whole } from "./field.ts";
import {
  adapterField,
  checkQuant,
  computeField,
  doubleQuantField,
  modelPath,
  quantField,
} from "./model.ts";

/** What `whet bench` measures when it is given no model. */
export const BENCH_GROUPS = [
  "matmul",
  "attention",
  "norm",
  "elementwise",
  "loss",
  "optimizer",
  "dispatch",
] as const;

export const benchSettings = z.strictObject({
  model: field(modelPath().optional(), {
    group: "Main",
    short: "m",
    aliases: ["model-name-or-path", "base-model"],
    value: "DIR",
    help: "the model to measure; without it the kernels alone are measured",
  }),
  adapter: adapterField(),
  train: field(z.boolean().default(false), {
    group: "Main",
    help: "measure training steps instead of generation",
  }),
  roofline: field(z.string().min(1).optional(), {
    group: "Main",
    value: "NAME",
    help:
      "compare with the peaks of this device, for example RTX 4090; measured: with this machine's",
    otherwise: "those of this adapter where they are known, else measured",
  }),
  save: field(path().optional(), {
    group: "Main",
    value: "DIR",
    bare: "bench/results",
    help: "also write the result as .md and .json, named by adapter, driver and date",
  }),
  compare: field(path().optional(), {
    group: "Main",
    value: "FILE",
    help: "a result that was saved as JSON: also print how many times as fast this one is",
  }),
  rounds: field(whole(1).max(1000).optional(), {
    group: "Kernels",
    value: "N",
    help: "most samples of one kernel",
    otherwise: "20, on a software adapter 5",
  }),
  only: field(z.array(z.enum(BENCH_GROUPS)).min(1).optional(), {
    group: "Kernels",
    value: "KINDS",
    help: `some of ${BENCH_GROUPS.join(", ")}, joined by commas`,
  }),
  shapes: field(z.array(z.string()).min(1).optional(), {
    group: "Kernels",
    value: "MxNxK",
    help: "only matrix products, of these sizes, joined by commas",
  }),
  tune: field(z.boolean().default(false), {
    group: "Kernels",
    help: "measure every kernel that could do a matrix product, and use the fastest from now on",
  }),
  portable: field(z.boolean().default(false), {
    group: "Kernels",
    help: "the kernels of a GPU without subgroups",
  }),
  tokens: field(whole(8).max(2 ** 20).optional(), {
    group: "Training",
    value: "N",
    help: "tokens of one step",
    otherwise: "2048, on a software adapter 128; at most the context of the model",
  }),
  steps: field(whole(1).max(10_000).optional(), {
    group: "Training",
    value: "N",
    help: "steps measured, after one that is not",
    otherwise: "10, on a software adapter 3",
  }),
  rank: field(whole(1).max(4096).default(16), {
    group: "Training",
    value: "N",
    help: "rank of the LoRA matrices",
  }),
  target: field(z.union([z.literal("all-linear"), z.array(z.string().min(1)).min(1)]).optional(), {
    group: "Training",
    value: "NAMES",
    help: "layers that get an adapter: names joined by commas, or all-linear",
    otherwise: "the attention projections of the architecture",
  }),
  full: field(z.boolean().default(false), {
    group: "Training",
    help: "train all weights instead of an adapter",
  }),
  grad_checkpoint: field(z.enum(["auto", "on", "off"]).default("auto"), {
    group: "Training",
    bare: "on",
    help: "compute each block again in the backward pass to save memory",
  }),
  prompt: field(whole(1).max(2 ** 20).optional(), {
    group: "Generation",
    value: "N",
    help: "tokens of a prompt",
    otherwise: "512, on a software adapter 64",
  }),
  max_tokens: field(whole(2).max(2 ** 20).optional(), {
    group: "Generation",
    value: "N",
    help: "tokens of an answer",
    otherwise: "128, on a software adapter 32",
  }),
  requests: field(whole(1).max(8).default(1), {
    group: "Generation",
    value: "N",
    help: "requests computed side by side",
  }),
  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
}).superRefine((s, issues) => {
  checkQuant(s, issues);
  const refuse = (key: string, message: string) =>
    issues.addIssue({ code: "custom", path: [key], message });
  const needsModel = [
    "adapter",
    "train",
    "full",
    "target",
    "tokens",
    "steps",
    "prompt",
    "max_tokens",
  ];
  for (const key of needsModel) {
    if (s.model === undefined && s[key as keyof typeof s]) {
      refuse(key, "belongs to a model: -m DIR");
    }
  }
  if (s.tune && s.portable) {
    refuse("tune", "measures the kernels of this device, not --portable ones");
  }
  if (s.train && s.adapter) refuse("adapter", "goes with generation; --train makes its own");
  for (const key of ["tokens", "steps", "target", "full"] as const) {
    if (s.model !== undefined && !s.train && s[key]) refuse(key, "belongs to --train");
  }
  for (const key of ["only", "shapes", "rounds", "portable", "tune"] as const) {
    if (s.model !== undefined && s[key]) refuse(key, "is for kernels: leave --model out");
  }
});

export type BenchSettings = z.output<typeof benchSettings>;
