import { existsSync } from "node:fs";
import { join } from "node:path";
import { findModel, modelNamed } from "../../base/model_names.ts";
import { plural, short } from "../../base/text.ts";
import { readRun } from "../../report/folder.ts";
import type { Manifest } from "../../report/record.ts";
import { demoSettings } from "../../settings/demo.ts";
import { dpoSettings } from "../../settings/dpo.ts";
import { fieldsOf, type SettingsSchema } from "../../settings/field.ts";
import { type Layer, resolve, words } from "../../settings/load.ts";
import { trainSettings } from "../../settings/train.ts";
import type { Io } from "../io.ts";
import { call, configs, given, layers } from "./call.ts";
import type { Inputs } from "./record.ts";
import { hash, type Made, missing, needed, type Pipeline, type Stage } from "./stage.ts";

/** The record of a run that came to its end. */
export function finishedRun(dir: string): Manifest | undefined {
  if (!existsSync(join(dir, "run.json"))) return undefined;
  const { manifest } = readRun(dir);
  return ["finished", "early"].includes(manifest.status) ? manifest : undefined;
}

/** Of the weights that a run made, and of when: two runs may come to the same bytes. */
const runIdentity = (run: Manifest | undefined) => run && `${weightsOf(run)} ${run.started}`;
export const weightsOf = (run: Manifest) => run.adapter?.sha256 ?? run.started;

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
  from: () => readonly Layer[],
): Promise<Made> {
  const begun = !again && existsSync(join(dir, "run.json"));
  const how = given(begun ? { resume: "auto" } : {}, "pipeline");
  // A yes puts aside what is there.
  const asked = { ...p, common: { ...p.common, yes: again } };
  const value = await call(name, asked, io, () => [how, ...from()]);
  const { manifest } = readRun(dir);
  return manifest.status === "stopped"
    ? { result: "stopped", unfinished: true }
    : { result: toldRun(dir), value };
}

export const sft: Stage = {
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

/** The built-in model is tiny: what serves larger ones teaches it nothing. */
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
export function sftRun(p: Pipeline): Manifest {
  const run = finishedRun(p.places.sft);
  if (!run) throw missing(`${p.places.sft} (a finished run)`, p, "sft");
  return run;
}

/** How the SFT run is used: its adapter on its base, or all of its weights. */
export function trainedModel(p: Pipeline, run: Manifest): { model: string; adapter?: string } {
  if (run.settings.full) return { model: p.places.sft };
  const { path } = run.model;
  const model = existsSync(path) || !p.asked.model ? path : modelNamed(p.asked.model) ?? path;
  return { model, adapter: p.places.sft };
}

/** Settings of the SFT run that what follows must share. */
export function kept({ settings }: Manifest, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    keys.filter((key) => settings[key] !== undefined && settings[key] !== null)
      .map((key) => [key, settings[key]]),
  );
}

export const HELD = ["quant", "double_quant", "compute", "template"];
const LENGTH = ["max_seq", "overlong"];
const FORM = ["rank", "alpha", "target", "use_rslora", "use_dora", "layers"];

export const dpo: Stage = {
  name: "dpo",
  resumes: true,
  place: ({ places }) => places.dpo,
  async inputs(p) {
    const { model: _, ...settings } = settingsTold(dpoLayers(p), dpoSettings);
    const pairs = await needed(p.places.preferences, p, "preferences");
    return { "sft weights": weightsOf(sftRun(p)), pairs, ...settings };
  },
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
  const form = given(kept(run, [...HELD, ...LENGTH, ...(adapter ? FORM : [])]), "the sft run");
  const [local, shipped] = configs("dpo_config.yaml", dpoSettings);
  const micro = modelIn(sftLayers(p)) === MICRO ? [MICRO_DPO] : [];
  return layers(p, "dpo", dpoSettings, own, [local, ...micro, shipped, form]);
}
