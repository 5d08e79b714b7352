import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { Fail } from "../base/fail.ts";
import { field, fieldsOf, fromText, positive, whole } from "./field.ts";
import { fromEnvironment, fromSet, type Given, readConfig, resolve } from "./load.ts";
import { configJsonSchema, sections } from "./mod.ts";
import { trainSettings } from "./train.ts";

const caught = (body: () => unknown): Fail => {
  try {
    body();
  } catch (error) {
    if (error instanceof Fail) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};
const given = (values: Record<string, unknown>, from = "flag"): Given[] =>
  Object.entries(values).map(([key, value]) => ({ key, value, from: `--${key} ${from}` }));
const needed = given({ model: "base", data: "rows.jsonl" });
const train = (...layers: Given[][]) => resolve(trainSettings, [...layers, needed]);

describe("values", () => {
  const number = z.number();
  test.each<[string, unknown, z.ZodType]>([
    ["1e-4", 1e-4, number],
    ["-2.5", -2.5, number],
    [".5", 0.5, number],
    ["10_000", 10_000, number],
    ["abc", "abc", number],
    ["", "", number],
    ["0x10", "0x10", number],
    ["off", false, z.boolean()],
    ["maybe", "maybe", z.boolean()],
    ["q_proj, v_proj", ["q_proj", "v_proj"], z.array(z.string())],
    ["0.9,0.95", [0.9, 0.95], z.tuple([number, number]).default([0, 0])],
    ["50", 50, z.union([z.literal("epoch"), z.int()])],
    ["epoch", "epoch", z.union([z.literal("epoch"), z.int()])],
    ["12", "12", z.string()],
  ])("%p is read as %p", (text, value, schema) => expect(fromText(schema, text)).toEqual(value));
});

describe("config files", () => {
  const read = (text: string, section = "train") =>
    readConfig("whet.yaml", text, sections(), section);

  test("sections win over the top level, other commands' sections are left alone", () => {
    const text = "model: ./base\ntrain:\n  lr: 1e-4\n  model: ./other\ninfer:\n  temp: 0.7\n";
    const { settings, origins } = resolve(trainSettings, [given({ data: "r" }), read(text)]);
    expect(settings).toMatchObject({ model: "./other", lr: 1e-4 });
    expect(origins).toMatchObject({ model: "whet.yaml:4:3", lr: "whet.yaml:3:3", rank: "default" });
    expect(read(text, "infer").map((g) => g.key)).toEqual(["model", "temp"]);
  });

  test("YAML 1.1 traps: 1e-4 is a number, no is refused where a list of names is meant", () => {
    expect(read("lr: 1e-4")[0]!.value).toBe(1e-4);
    expect(train(read('lr: "1e-4"')).settings.lr).toBe(1e-4);
    expect(train(read("target: q_proj,v_proj")).settings.target).toEqual(["q_proj", "v_proj"]);
    expect(train(read("target: [q_proj, v_proj]")).settings.target).toEqual(["q_proj", "v_proj"]);
  });

  test("JSON is read too", () => {
    expect(train(read('{"$schema": "x", "train": {"rank": 4}}')).settings.rank).toBe(4);
  });

  test.each([
    [
      "train:\n  rnak: 8\n",
      'whet.yaml:2:3: unknown setting of train "rnak"',
      'did you mean "rank"?',
    ],
    ["trian:\n  rank: 8\n", 'whet.yaml:1:1: unknown section "trian"', 'did you mean "train"?'],
    ["\n\nlearningrate: 1\n", 'whet.yaml:3:1: unknown setting "learningrate"', "known here:"],
    ["lr: 1\nlr: 2\n", "whet.yaml:2:1: not valid YAML", "unique"],
    ["lr: [1, 2\n", "whet.yaml:", ""],
    ["- a\n- b\n", "whet.yaml: expected settings", "a - b"],
    ["train: 5\n", "whet.yaml:1:1: the section train must hold settings", "5"],
  ])("refuses %p", (text, what, why) => {
    const fail = caught(() => read(text));
    expect(fail.exit).toBe(2);
    expect(fail.message).toStartWith(what);
    expect(fail.why ?? "").toContain(why);
    expect(fail.fix).toBeTruthy();
  });

  test("an empty file and comments give nothing", () => {
    expect(read("")).toEqual([]);
    expect(read("# later\n")).toEqual([]);
  });
});

describe("precedence", () => {
  test("flag > environment > --config > whet.yaml > built-in", () => {
    const env = fromEnvironment(fieldsOf(trainSettings), { WHET_LR: "3e-4", WHET_RANK: "3" });
    const layers = [
      given({ lr: 4e-4 }),
      env,
      given({ lr: 2e-4, rank: 2, seed: 2 }),
      given({ seed: 1, keep: 1 }),
    ];
    const { settings, origins } = train(...layers);
    expect(settings).toMatchObject({ lr: 4e-4, rank: 3, seed: 2, keep: 1, batch: 8 });
    expect(origins.rank).toBe("WHET_RANK");
  });

  test("a stronger --iters replaces a weaker --epochs; both in one place is refused", () => {
    expect(train(given({ iters: 5 }), given({ epochs: 9 })).settings).toMatchObject({
      iters: 5,
      epochs: 3,
    });
    expect(train(given({ epochs: 2 }), given({ iters: 9 })).settings.iters).toBeUndefined();
    expect(caught(() => train(given({ iters: 5, epochs: 2 }))).exit).toBe(2);
  });

  test("--set reaches this command's settings only", () => {
    const pairs = ["train.lr=1e-5", "infer.temp=1", "rank=2"];
    expect(fromSet(pairs, sections(), "train").map((g) => [g.key, g.value])).toEqual([
      ["lr", "1e-5"],
      ["rank", "2"],
    ]);
    expect(caught(() => fromSet(["train.rnak=2"], sections(), "train")).why).toContain('"rank"');
    expect(caught(() => fromSet(["nope"], sections(), "train")).exit).toBe(2);
  });
});

describe("checks", () => {
  test("what follows from other settings is filled", () => {
    expect(train().settings).toMatchObject({ lr: 2e-4, alpha: 32, accum: 1, epochs: 3 });
    expect(train(given({ full: true })).settings.lr).toBe(2e-5);
    expect(train(given({ rank: "4", batch: "2", effective_batch: "16" })).settings).toMatchObject({
      alpha: 8,
      accum: 8,
    });
  });

  test.each<[Record<string, unknown>, string, string]>([
    [{ rank: "x" }, "--rank flag: expected a number", '"x"'],
    [{ rank: "1.5" }, "--rank flag: expected a whole number", "1.5"],
    [{ rank: "0" }, "--rank flag: must be at least 1", "0"],
    [{ lr: "-1" }, "--lr flag: must be above 0", "-1"],
    [{ dropout: "1" }, "--dropout flag: must be at most 0.999", "1"],
    [
      { scheduler: "cosin" },
      "--scheduler flag: expected constant, linear, cosine or wsd",
      '"cosin"',
    ],
    [{ betas: "0.9" }, "--betas flag: expected 2 values joined by commas", "[0.9]"],
    [
      { eval_every: "0" },
      "--eval_every flag: expected epoch or a whole number of at least 1",
      '"0"',
    ],
    [{ batch: "3", effective_batch: "16" }, "--effective_batch flag: must be a multiple", "16"],
    [{ full: true, init_adapter: "a" }, "--full flag: trains all weights", "true"],
    [{ patience: "2", val_split: "0" }, "--patience flag: needs rows", "2"],
    [{ val: "v", val_split: "0.1" }, "--val_split flag: splits rows off", "0.1"],
    [{ best: "exact_match", samples: "0" }, "--best flag: is measured on", '"exact_match"'],
    [{ double_quant: true }, "--double_quant flag: belongs to --quant nf4", "true"],
    [{ double_quant: true, quant: "int8" }, "--double_quant flag: belongs to --quant nf4", "true"],
    [{ full: true, quant: "int8" }, "--full flag: trains all weights, and --quant int8", "true"],
    [{ full: true, quant: "nf4" }, "--full flag: trains all weights, and --quant nf4", "true"],
    [{ model: "" }, "--model flag: must not be empty", '""'],
  ])("refuses %p", (values, what, value) => {
    const fail = caught(() => train(given(values)));
    expect(fail.exit).toBe(2);
    expect(fail.message).toStartWith(what);
    expect(fail.message).toContain(`got ${value}`);
  });

  test("trackers are a list of known names", () => {
    const trackers = (value: unknown) => train(given({ report_to: value })).settings.report_to;
    expect(trackers("tensorboard, mlflow")).toEqual(["tensorboard", "mlflow"]);
    expect(trackers(["wandb"])).toEqual(["wandb"]);
    expect(train(given({})).settings.report_to).toEqual(["none"]);
    const fail = caught(() => trackers("tensorbord"));
    expect(fail.message).toContain("expected none, jsonl, tensorboard, mlflow or wandb");
    expect(fail.fix).toContain("--report-to tensorboard");
    expect(caught(() => trackers("none,wandb")).message).toContain("none goes with no other");
    expect(caught(() => trackers([])).exit).toBe(2);
  });

  test("a near choice is suggested", () => {
    expect(caught(() => train(given({ scheduler: "cosin" }))).fix).toContain("--scheduler cosine");
  });

  test("missing settings are asked for by their flags", () => {
    const fail = caught(() => resolve(trainSettings, [given({ rank: 4 })]));
    expect(fail.message).toBe("missing: --model, --data");
    expect(fail.fix).toBe("add -m DIR -d FILE");
  });
});

test("flags and aliases are unique within a command", () => {
  const common = sections()[""]!;
  for (const [name, fields] of Object.entries(sections())) {
    const flags = [...fields, ...(name ? common : [])]
      .flatMap((f) => [f.flag.slice(2), ...(f.info.aliases ?? []), ...(f.info.short ?? [])]);
    expect(flags.filter((flag, i) => flags.indexOf(flag) !== i)).toEqual([]);
  }
});

test("the JSON Schema of whet.yaml follows from the fields", () => {
  const schema = configJsonSchema() as {
    additionalProperties: boolean;
    properties: Record<string, { properties: Record<string, Record<string, unknown>> }>;
  };
  expect(schema.additionalProperties).toBe(false);
  const rank = schema.properties.train!.properties.rank!;
  expect(rank).toMatchObject({ type: "integer", minimum: 1, default: 16 });
  expect(rank.description).toContain("rank of the LoRA");
  expect(schema.properties).toHaveProperty("model");
  expect(schema.properties).not.toHaveProperty("json");
  expect(JSON.stringify(schema)).not.toContain('"required"');
});

test("a setting without field() is a programming error", () => {
  expect(() => fieldsOf(z.object({ bare: z.number() }))).toThrow("bare");
  const one = fieldsOf(
    z.object({ a: field(positive().default(1), { help: "x" }), b: field(whole(), { help: "y" }) }),
  );
  expect(one.map((f) => [f.key, f.flag, f.kind, f.required, f.default])).toEqual([
    ["a", "--a", "number", false, 1],
    ["b", "--b", "number", true, undefined],
  ]);
});

test("every training setting is known to change the result, or known not to", () => {
  const unmarked = fieldsOf(trainSettings).filter(({ info }) => info.changes === undefined);
  expect(unmarked.map(({ key }) => key)).toEqual([
    // compared by their content
    "model",
    "output",
    "init_adapter",
    "on_lora_failure", // is in the weights of every checkpoint
    // how long, which a resumed run may change, and what others follow from
    "epochs",
    "iters",
    "effective_batch",
    // how it is fitted to memory; the micro-batch is kept
    "grad_checkpoint",
    "micro_tokens",
    "target_mem",
    // what is looked at, kept and told
    "eval_every",
    "samples",
    "save_every",
    "keep",
    "patience",
    "resume",
    "allow_change",
    "ui",
    "ui_port",
    "log_every",
    "report_to",
    "mlflow_uri",
    "experiment",
  ]);
});
