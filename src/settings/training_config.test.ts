import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Fail } from "../base/fail.ts";
import { dpoSettings } from "./dpo.ts";
import { fieldsOf } from "./field.ts";
import { resolve } from "./load.ts";
import { trainSettings } from "./train.ts";
import { readTrainingConfig } from "./training_config.ts";

const shipped = (file: string) =>
  readFileSync(join(import.meta.dir, "../../training/configs", file), "utf8");
const train = fieldsOf(trainSettings);

test("the shipped configurations give the settings that they say", () => {
  const sft = readTrainingConfig("sft_config.yaml", shipped("sft_config.yaml"), train);
  const paths = [{ key: "data", value: "rows.jsonl", from: "test" }];
  expect(resolve(trainSettings, [paths, sft]).settings).toMatchObject({
    model: "meta-llama/Llama-3.2-1B-Instruct",
    epochs: 3,
    batch: 8,
    accum: 4,
    lr: 2e-5,
    warmup: 0.1,
    scheduler: "cosine",
    full: false,
    rank: 16,
    alpha: 32,
    dropout: 0.05,
    target: ["q_proj", "v_proj", "k_proj", "o_proj"],
    max_seq: 2048,
    report_to: ["none"],
    log_every: 10,
  });
  const fields = fieldsOf(dpoSettings);
  const dpo = readTrainingConfig("dpo_config.yaml", shipped("dpo_config.yaml"), fields);
  expect(resolve(dpoSettings, [paths, dpo]).settings).toMatchObject({
    epochs: 1,
    batch: 4,
    accum: 8,
    lr: 5e-6,
    beta: 0.1,
    loss_type: "sigmoid",
  });
});

test("paths are those of the pipeline", () => {
  const keys = readTrainingConfig("sft_config.yaml", shipped("sft_config.yaml"), train)
    .map(({ key }) => key);
  for (const path of ["output", "data", "val"]) expect(keys).not.toContain(path);
});

test("use_lora: false trains all weights", () => {
  const given = readTrainingConfig("c.yaml", "training:\n  use_lora: false\n", train);
  expect(given).toEqual([{ key: "full", value: true, from: "c.yaml:2:3" }]);
});

test("an empty file says nothing", () => {
  expect(readTrainingConfig("c.yaml", "# later\n", train)).toEqual([]);
});

const refused = (text: string) => {
  try {
    readTrainingConfig("c.yaml", text, train);
  } catch (error) {
    const { message, why, fix } = error as Fail;
    expect(error).toBeInstanceOf(Fail);
    return `${message} | ${why} | ${fix}`;
  }
  throw new Error("nothing was refused");
};

test("what is wrong is named with its place", () => {
  expect(refused("training:\n  learning_rat: 1e-4\n")).toBe(
    'c.yaml:2:3: unknown setting "training.learning_rat" | did you mean "learning_rate"? | ' +
      "write learning_rate",
  );
  expect(refused("training:\n  beta: 0.1\n")).toContain(
    'c.yaml:2:3: unknown setting "training.beta"',
  );
  expect(refused("training: [\n")).toContain("c.yaml:2:1: not valid YAML");
  expect(refused("training: 3\n")).toContain("training holds none");
  expect(refused("- 1\n")).toContain("c.yaml: expected sections with settings");
});
