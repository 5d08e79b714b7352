import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../../base/fail.ts";
import { putAside } from "../../base/folder.ts";
import { findModel, modelNamed } from "../../base/model_names.ts";
import { asset } from "../../base/assets.ts";
import { sha256, sha256File } from "../../base/sha256.ts";
import { humanBytes, plural, short, thousands } from "../../base/text.ts";
import { readRun } from "../../report/folder.ts";
import type { Manifest } from "../../report/record.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { dpoSettings } from "../../settings/dpo.ts";
import { demoSettings } from "../../settings/demo.ts";
import { fieldsOf, type SettingsSchema } from "../../settings/field.ts";
import { type Given, type Layer, resolve, words } from "../../settings/load.ts";
import type { StageName } from "../../settings/pipeline.ts";
import { trainSettings } from "../../settings/train.ts";
import { readTrainingConfig } from "../../settings/training_config.ts";
import type { Io } from "../io.ts";
import { layersOf } from "../layers.ts";
import { table } from "../mod.ts";
import { findSchema } from "../schemas.ts";
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
  /** Files that it writes over: those that no pipeline made are put aside first. */
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

const hash = async (path: string) => (await sha256File(path)).sha256;
const given = (values: Readonly<Record<string, unknown>>, from: string): Given[] =>
  Object.entries(values).map(([key, value]) => ({ key, value, from }));

/** A file that another stage makes. @throws Fail (usage) where it is not there */
async function needed(path: string, p: Pipeline, stage: StageName): Promise<string> {
  if (existsSync(path)) return await hash(path);
  throw missing(path, p, stage);
}

const missing = (path: string, { name }: Pipeline, stage: StageName) =>
  new Fail(`${path} is not there yet`, {
    why: `the stage ${stage} makes it`,
    fix: `whet pipeline ${name} --stage ${stage}`,
    exit: Exit.usage,
  });

/** The settings of each stage's command; the strongest places come first. */
function layers(p: Pipeline, section: string, fields: SettingsSchema, own: Layer, base: Layer[]) {
  const { config, set } = p.common;
  const typed = given({ ...(config ? { config } : {}), ...(set.length > 0 ? { set } : {}) }, "");
  const all = layersOf(typed, section, fieldsOf(fields));
  // whet.yaml is the last of them: files that are for this stage say it more closely.
  return [own, ...all.slice(0, -1), ...base.slice(0, 1), ...all.slice(-1), ...base.slice(1)];
}

/** training/configs/FILE of this folder, and as it is shipped. */
function configs(file: string, schema: SettingsSchema): [own: Layer, shipped: Layer] {
  const path = join("training", "configs", file);
  const fields = fieldsOf(schema);
  const shipped = new TextDecoder().decode(asset(`training/configs/${file}`));
  return [
    existsSync(path) ? readTrainingConfig(path, readFileSync(path, "utf8"), fields) : [],
    readTrainingConfig(`${path} (shipped)`, shipped, fields),
  ];
}

/** Runs a command of whet with these settings, and catches its result. */
async function call(
  name: string,
  p: Pipeline,
  io: Io,
  from: (schema: SettingsSchema) => readonly Layer[],
): Promise<unknown> {
  const command = await table.find((entry) => entry.name === name)!.load();
  const { settings } = resolve(command.settings, from(command.settings));
  const results: unknown[] = [];
  const listening = new Proxy(io, {
    get(target, key) {
      if (key === "result") return (value: unknown) => results.push(value);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  try {
    await command.run({ ...p.common, ...(settings as object) }, listening);
  } catch (error) {
    // What there was to say is known, though it is an error to the command.
    if (!(error instanceof Fail) || error.exit !== Exit.data || results.length === 0) throw error;
  }
  return results.at(-1);
}

function lines(path: string): string {
  if (!existsSync(path)) return "";
  const text = readFileSync(path);
  let n = 0;
  for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) n++;
  return plural(n, "row");
}

const generate: Stage = {
  name: "generate",
  place: ({ places }) => places.train,
  over: ({ places }) => [places.train, places.val],
  inputs: async (p) => ({
    schema: sha256(findSchema(p.name).schema.text),
    num: String(p.asked.num),
    teacher: p.asked.teacher,
  }),
  output: async ({ places }) =>
    existsSync(places.train) && !existsSync(progressOf(places.train))
      ? await hash(places.train)
      : undefined,
  told: ({ places }) => lines(places.train),
  async run(p, again, io) {
    const { num, teacher } = p.asked;
    const own = { schema: p.places.schema, num, teacher, output: p.places.train, force: again };
    const value = await call("data generate", p, io, () => [given(own, "pipeline")]);
    const { rows, journal } = value as { rows?: number; journal?: string };
    if (journal) return { result: `${thousands(rows ?? 0)} of ${num} rows`, unfinished: true };
    const { train_rows = 0, val_rows = 0 } = value as { train_rows?: number; val_rows?: number };
    return { result: `${plural(train_rows, "row")}, ${thousands(val_rows)} kept back`, value };
  },
};

const progressOf = (path: string) => path.replace(/\.jsonl$/, "_progress.jsonl");

/** The record of a run that came to its end. */
function finishedRun(dir: string): Manifest | undefined {
  if (!existsSync(join(dir, "run.json"))) return undefined;
  const { manifest } = readRun(dir);
  return ["finished", "early"].includes(manifest.status) ? manifest : undefined;
}

/** Of the weights that a run made, and of when: two runs may come to the same bytes. */
const runIdentity = (run: Manifest | undefined) => run && `${weightsOf(run)} ${run.started}`;
const weightsOf = (run: Manifest) => run.adapter?.sha256 ?? run.started;

function toldRun(dir: string): string {
  const run = finishedRun(dir);
  if (!run) return "";
  const loss = run.best ? `, best val loss ${short(run.best.val_loss)}` : "";
  return plural(run.steps, "step") + loss;
}

async function trainStage(
  p: Pipeline,
  dir: string,
  name: string,
  again: boolean,
  io: Io,
  from: (
    schema: SettingsSchema,
  ) => readonly Layer[],
): Promise<Made> {
  const begun = !again && existsSync(join(dir, "run.json"));
  const how = given(begun ? { resume: "auto" } : {}, "pipeline");
  // A yes puts aside what is there.
  const asked = { ...p, common: { ...p.common, yes: again } };
  const value = await call(name, asked, io, (schema) => [how, ...from(schema)]);
  const { manifest } = readRun(dir);
  return manifest.status === "stopped"
    ? { result: "stopped", unfinished: true }
    : { result: toldRun(dir), value };
}

const sft: Stage = {
  name: "sft",
  resumes: true,
  place: ({ places }) => places.sft,
  inputs: async (p) => ({
    rows: await needed(p.places.train, p, "generate"),
    ...(existsSync(p.places.val) ? { "validation rows": await hash(p.places.val) } : {}),
    ...settingsTold(sftLayers(p), trainSettings),
  }),
  output: async ({ places }) => runIdentity(finishedRun(places.sft)),
  told: ({ places }) => toldRun(places.sft),
  check: (p) => void findModel(modelIn(sftLayers(p))),
  run: async (p, again, io) =>
    await trainStage(p, p.places.sft, "train sft", again, io, () => sftLayers(p)),
};

/** The built-in model is tiny and reads 256 tokens: what serves larger ones teaches it nothing. */
const MICRO = "micro";
const MICRO_SFT = given({
  target: "all-linear",
  dropout: 0,
  max_seq: 256,
  overlong: "drop",
  lr: demoSettings.shape.lr.parse(undefined),
  accum: 1,
  epochs: 1,
}, "the micro model");
const MICRO_DPO = given({ lr: 3e-4, accum: 1 }, "the micro model");

function sftLayers(p: Pipeline): Layer[] {
  const { train, val, sft } = p.places;
  const own = given({
    ...(p.asked.model ? { model: p.asked.model } : {}),
    data: train,
    output: sft,
    ...(existsSync(val) ? { val } : {}),
  }, "pipeline");
  const [local, shipped] = configs("sft_config.yaml", trainSettings);
  const all = (base: Layer[]) => layers(p, "train", trainSettings, own, base);
  const plain = all([local, shipped]);
  return modelIn(plain) === MICRO ? all([local, MICRO_SFT, shipped]) : plain;
}

/** The model as it was named: the shipped configuration names one. */
const modelIn = (layers: readonly Layer[]) =>
  String(layers.flat().find(({ key }) => key === "model")!.value);

/** The settings that change what is trained, each where it is not the default; the model by its name. */
function settingsTold(layers: readonly Layer[], schema: SettingsSchema): Inputs {
  const { settings } = resolve(schema, layers);
  const values: Readonly<Record<string, unknown>> = {
    ...settings as object,
    model: modelIn(layers),
  };
  const paths = new Set(["data", "val", "output", "init_adapter"]);
  const told = fieldsOf(schema).filter(({ key, info }) =>
    !paths.has(key) && (key === "model" || key === "epochs" || key === "iters" || info.changes)
  ).flatMap(({ key, default: usual }) => {
    const value = values[key];
    if (value === undefined || JSON.stringify(value) === JSON.stringify(usual)) return [];
    return [[key, words(value)] as const];
  });
  return Object.fromEntries(told);
}

/** The SFT run that later stages go on from. @throws Fail (usage) where there is none */
function sftRun(p: Pipeline): Manifest {
  const run = finishedRun(p.places.sft);
  if (!run) throw missing(`${p.places.sft} (a finished run)`, p, "sft");
  return run;
}

/** How the SFT run is used: its adapter on its base, or all of its weights. */
function trainedModel(p: Pipeline, run: Manifest): { model: string; adapter?: string } {
  if (run.settings.full) return { model: p.places.sft };
  const { path } = run.model;
  const model = existsSync(path) || !p.asked.model ? path : modelNamed(p.asked.model) ?? path;
  return { model, adapter: p.places.sft };
}

/** Settings of the SFT run that what follows must share. */
function kept({ settings }: Manifest, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    keys.filter((key) => settings[key] !== undefined && settings[key] !== null)
      .map((key) => [key, settings[key]]),
  );
}
const HELD = ["quant", "double_quant", "compute", "template"];
const FORM = ["rank", "alpha", "target", "use_rslora", "use_dora", "layers", "max_seq", "overlong"];

const preferences: Stage = {
  name: "preferences",
  place: ({ places }) => places.preferences,
  over: ({ places }) => [places.preferences],
  inputs: async (p) => ({
    "sft weights": weightsOf(sftRun(p)),
    rows: await needed(p.places.train, p, "generate"),
    pairs: String(p.asked.pairs),
  }),
  output: async ({ places }) =>
    existsSync(places.preferences) && !existsSync(progressOf(places.preferences))
      ? await hash(places.preferences)
      : undefined,
  told: ({ places }) => lines(places.preferences).replace("row", "pair"),
  async run(p, again, io) {
    const run = sftRun(p);
    const own = {
      ...trainedModel(p, run),
      ...kept(run, HELD),
      prompts: p.places.train,
      schema: p.places.schema,
      num: p.asked.pairs,
      output: p.places.preferences,
      force: again,
    };
    const value = await call("data preferences", p, io, () => [given(own, "pipeline")]) as {
      complete: boolean;
      pairs: number;
      asked: number;
      identical: number;
    };
    if (!value.complete) return { result: plural(value.pairs, "pair"), unfinished: true };
    const asked = `${thousands(value.identical)} of ${thousands(value.asked)} answers are ideal`;
    if (value.pairs > 0) return { result: `${plural(value.pairs, "pair")}; ${asked}`, value };
    // Those of an SFT model before it, and what was trained on them, must not be shipped.
    rmSync(p.places.preferences, { force: true });
    if (existsSync(p.places.dpo)) io.note(`${p.places.dpo} is now ${putAside(p.places.dpo)}`);
    return { result: `no pairs: ${asked}`, empty: true, value };
  },
};

const dpo: Stage = {
  name: "dpo",
  resumes: true,
  place: ({ places }) => places.dpo,
  inputs: async (p) => ({
    "sft weights": weightsOf(sftRun(p)),
    pairs: await needed(p.places.preferences, p, "preferences"),
    ...settingsTold(dpoLayers(p), dpoSettings),
  }),
  output: async ({ places }) => runIdentity(finishedRun(places.dpo)),
  told: ({ places }) => toldRun(places.dpo),
  idle: (_, { stages }) =>
    stages.preferences?.status === "empty" ? "there is nothing to prefer" : undefined,
  run: async (p, again, io) =>
    await trainStage(p, p.places.dpo, "train dpo", again, io, () => dpoLayers(p)),
};

function dpoLayers(p: Pipeline): Layer[] {
  const run = sftRun(p);
  const { model, adapter } = trainedModel(p, run);
  const own = given({
    model,
    data: p.places.preferences,
    output: p.places.dpo,
    ...(adapter ? { init_adapter: adapter, reference: "sft" } : {}),
  }, "pipeline");
  const form = given(kept(run, [...HELD, ...FORM]), "the sft run");
  const [local, shipped] = configs("dpo_config.yaml", dpoSettings);
  const micro = modelIn(sftLayers(p)) === MICRO ? [MICRO_DPO] : [];
  return layers(p, "dpo", dpoSettings, own, [local, ...micro, shipped, form]);
}

/** The run whose weights are shipped: that of DPO where there is one. */
function lastRun(p: Pipeline): { dir: string; run: Manifest } {
  const better = finishedRun(p.places.dpo);
  return better ? { dir: p.places.dpo, run: better } : { dir: p.places.sft, run: sftRun(p) };
}

const quantize: Stage = {
  name: "quantize",
  place: ({ places }) => places.gguf,
  over: ({ places }) => [places.gguf],
  async inputs(p) {
    const { dir, run } = lastRun(p);
    return { from: dir, weights: weightsOf(run), quant: p.asked.quant };
  },
  output: async ({ places }) => existsSync(places.gguf) ? await hash(places.gguf) : undefined,
  told: ({ places }) => humanBytes(Bun.file(places.gguf).size),
  async run(p, _again, io) {
    const { dir, run } = lastRun(p);
    const { model, adapter } = trainedModel(p, run);
    const own = {
      source: dir,
      ...(adapter ? { base: model } : {}),
      output: p.places.gguf,
      gguf: true,
      quant: p.asked.quant,
    };
    const value = await call(
      "export",
      p,
      io,
      (schema) =>
        layers(p, "export", schema, given(own, "pipeline"), [
          [],
          given({ verify: "tensors" }, "pipeline"),
        ]),
    ) as { bytes: number };
    const from = dir === p.places.dpo ? "dpo" : "sft";
    return { result: `${humanBytes(value.bytes)}, from ${from}`, value };
  },
};

const evaluate: Stage = {
  name: "eval",
  place: ({ places }) => places.eval,
  inputs: async (p) => ({
    model: await needed(p.places.gguf, p, "quantize"),
    rows: await needed(p.places.val, p, "generate"),
  }),
  output: async ({ places }) => existsSync(places.eval) ? await hash(places.eval) : undefined,
  told: ({ places }) => toldMeasures(JSON.parse(readFileSync(places.eval, "utf8"))),
  idle: ({ places: { train, val } }) =>
    existsSync(train) && !existsSync(val)
      ? `there are rows, but no ${val} to measure on`
      : undefined,
  async run(p, _again, io) {
    const own = {
      model: p.places.gguf,
      data: p.places.val,
      schema: p.places.schema,
      output: p.places.eval,
      failures: p.places.failures,
    };
    const value = await call(
      "eval",
      p,
      io,
      (schema) => layers(p, "eval", schema, given(own, "pipeline"), []),
    );
    return { result: toldMeasures(value), value };
  },
};

function toldMeasures(value: unknown): string {
  const { n, exact_match, json_valid } = value as Readonly<Record<string, number>>;
  const percent = (share: number | undefined) => `${(100 * (share ?? 0)).toFixed(1)} %`;
  return `${thousands(n ?? 0)} rows: exact match ${percent(exact_match)}, ` +
    `valid JSON ${percent(json_valid)}`;
}

/** In their order. */
export const stages: readonly Stage[] = [generate, sft, preferences, dpo, quantize, evaluate];
