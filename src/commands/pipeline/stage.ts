import { existsSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../../base/fail.ts";
import { sha256File } from "../../base/sha256.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { StageName } from "../../settings/pipeline.ts";
import type { Io } from "../io.ts";
import type { Inputs, PipelineRecord } from "./record.ts";

/** A named training: what was asked for, and where its files are. */
export interface Pipeline {
  readonly name: string;
  /** With what the defaults and earlier commands add. */
  readonly asked: {
    readonly num: number;
    readonly quant: string;
    readonly teacher: string;
    readonly pairs: number;
    readonly model: string | undefined;
  };
  readonly common: CommonSettings;
  readonly places: Places;
}

export interface Places {
  readonly schema: string;
  readonly train: string;
  readonly val: string;
  readonly preferences: string;
  readonly sft: string;
  readonly dpo: string;
  readonly gguf: string;
  readonly eval: string;
  readonly failures: string;
  readonly models: string;
  readonly record: string;
}

/** The layout below the current folder. */
export function placesOf(name: string, quant: string): Places {
  const data = (file: string) => join("training", "data", name, file);
  const model = (...path: string[]) => join("training", "models", name, ...path);
  const schema = [".yaml", ".yml", ".json"].map((ending) => join("schemas", name + ending));
  return {
    schema: schema.find((path) => existsSync(path)) ?? schema[0]!,
    train: data("train.jsonl"),
    val: data("train_val.jsonl"),
    preferences: data("preferences.jsonl"),
    sft: model("sft"),
    dpo: model("dpo"),
    gguf: model(`clitron-${name}-${quant}.gguf`),
    eval: model("eval", `${quant}.json`),
    failures: model("eval", `${quant}_failures.jsonl`),
    models: model(),
    record: model("pipeline.json"),
  };
}

/** What a stage came to: nothing was made where `empty` says why. */
export interface Made {
  readonly result: string;
  readonly empty?: boolean;
  /** It was stopped, and goes on with the next command. */
  readonly unfinished?: boolean;
  /** For programs. */
  readonly value?: unknown;
}

/** One stage: what it is made from, what it has made, and how it is made. */
export interface Stage {
  readonly name: StageName;
  /** Its output, as people look for it. */
  place(p: Pipeline): string;
  /** Files that it writes over: those that no pipeline made are copied aside first. */
  over?(p: Pipeline): readonly string[];
  /** What it is made from now. @throws Fail where a stage before it has to come first */
  inputs(p: Pipeline): Promise<Inputs>;
  /** Identity of a finished output; undefined where there is none or it is not finished. */
  output(p: Pipeline): Promise<string | undefined>;
  /** What was made, for people, where an output is there that nobody recorded. */
  told(p: Pipeline): string;
  /** What can be said before the first stage begins. @throws Fail where this one could never begin */
  check?(p: Pipeline): void;
  /** Why there is nothing to do, where that is so. */
  idle?(p: Pipeline, all: PipelineRecord): string | undefined;
  /** Goes on only with the inputs it was begun with. */
  readonly resumes?: boolean;
  /** @param again begin anew and put aside what is there; else go on where there is something begun */
  run(p: Pipeline, again: boolean, io: Io): Promise<Made>;
}

export const hash = async (path: string) => (await sha256File(path)).sha256;

/** A file that another stage makes. @throws Fail (usage) where it is not there */
export async function needed(path: string, p: Pipeline, stage: StageName): Promise<string> {
  if (existsSync(path)) return await hash(path);
  throw missing(path, p, stage);
}

export const missing = (path: string, { name }: Pipeline, stage: StageName) =>
  new Fail(`${path} is not there yet`, {
    why: `the stage ${stage} makes it`,
    fix: `whet pipeline ${name} --stage ${stage}`,
    exit: Exit.usage,
  });
