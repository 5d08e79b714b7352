import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { commit } from "../base/assets.ts";
import { makeFolder } from "../base/disk.ts";
import { writeFile } from "../base/durable.ts";
import { PROMPT_FILE, promptLock } from "../data/prompt_lock.ts";
import { listCheckpoints, loadCheckpoint } from "../formats/checkpoint.ts";
import { bytesIn, parseObject } from "../formats/model_files.ts";
import { loraDefaults, writeAdapter } from "../formats/peft.ts";
import { hubIdOf, licenceOf } from "../report/origin.ts";
import type { LayerPoint, Manifest, Sample } from "../report/record.ts";
import type { CommonSettings } from "../settings/common.ts";
import type { TrainSettings } from "../settings/train.ts";
import { findChatTemplate } from "../text/chat_template.ts";
import { chosenLayers } from "../trainer/adapter.ts";
import type { ModuleNorms } from "../trainer/inspect.ts";
import type { Best } from "../trainer/loop.ts";
import type { Trainer } from "../trainer/trainer.ts";
import { objectiveOf } from "../trainer/program.ts";
import { ownSettings } from "./objectives.ts";
import type { PreparedRun } from "./prepared.ts";
import { version } from "./version.ts";

type Settings = TrainSettings & CommonSettings & { readonly output: string };

/** run.json as it is when a run begins. */
export function manifestOf(
  settings: Settings,
  { prepared, data, validation, targets, date, tokenizer, template }: PreparedRun,
  capabilities: object,
): Omit<Manifest, "started"> {
  const { model, plan, batches, recipe } = prepared;
  const { kind } = objectiveOf(recipe);
  const { json: _, quiet: _q, verbose: _v, debug: _d, color: _c, set: _s, ...told } = settings;
  return {
    format: 1,
    kind,
    name: basename(resolve(settings.output)),
    status: "running",
    whet: { version, commit: commit(), bun: Bun.version },
    git_commit: gitCommit(),
    command: ["whet", ...process.argv.slice(2)],
    device: { ...capabilities },
    settings: { ...ownSettings(kind, told), target: targets, date },
    model: {
      path: settings.model,
      type: model.architecture.modelType,
      parameters: plan.parameters,
      trainable: plan.trainable,
      sha256: model.folder.hash(),
      id: hubIdOf(settings.model),
      license: licenceOf(settings.model),
    },
    data: data!.facts,
    validation: validation?.facts,
    prompt: promptLock(data!.examples, template?.source, tokenizer),
    steps: batches.steps,
    computed: {
      micro_tokens: recipe.size.tokens,
      recomputed_blocks: plan.blocks.recomputed,
      bytes: plan.bytes,
    },
  };
}

/** What trackers are told of a run: its settings, and the hashes that say what it was made from. */
export function factsOf(
  { name, settings, model, data, whet }: Manifest,
  folder: string,
  from: number,
) {
  const config = {
    ...settings,
    whet: `${whet.version} ${whet.commit}`,
    model_sha256: model.sha256,
    data_sha256: data.sha256,
  };
  return { name, folder, config, from, started: Date.now() };
}

/** The commit of this folder, with "+" where tracked files differ from it; nothing without git. */
function gitCommit(): string | undefined {
  const git = (...words: string[]) => {
    try {
      const { exitCode, stdout } = Bun.spawnSync(["git", ...words], { stderr: "ignore" });
      return exitCode === 0 ? stdout.toString().trim() : undefined;
    } catch {
      return undefined; // no git on this machine
    }
  };
  const head = git("rev-parse", "HEAD");
  return head && head + (git("status", "--porcelain", "--untracked-files=no") ? "+" : "");
}

/** Files of the base model that belong beside weights. */
const COMPANIONS = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.txt",
  "tokenizer.model",
  "sentencepiece.bpe.model",
  "chat_template.jinja",
];

/** Writes the best weights (the last ones without validation rows), and the tokenizer beside them. */
export async function writeWeights(
  settings: Settings,
  { targets, prepared, data, tokenizer, template }: PreparedRun,
  trainer: Trainer,
  best: Best | undefined,
) {
  const out = settings.output;
  const { model } = prepared;
  const tensors = best === undefined || best.step === trainer.step
    ? await trainer.weights()
    : await bestOf(out, best.step, trainer);
  for (const name of COMPANIONS) {
    const path = join(model.folder.dir, name);
    if (existsSync(path)) await writeFile(join(out, name), readFileSync(path));
  }
  const lock = promptLock(data!.examples, template?.source, tokenizer);
  if (lock.template_sha256) await keepTemplate(out, model.folder.dir, template!.source);
  await writeFile(join(out, PROMPT_FILE), JSON.stringify(lock, null, 2) + "\n");
  if (settings.full) {
    const { writeModel } = await import("./full_weights.ts");
    return { path: out, ...await writeModel(out, model.folder, tensors) };
  }
  const { size, sha256 } = await writeAdapter(out, {
    ...loraDefaults,
    base_model_name_or_path: resolve(settings.model),
    task_type: model.architecture.head ? "CAUSAL_LM" : "FEATURE_EXTRACTION",
    r: settings.rank,
    lora_alpha: settings.alpha,
    lora_dropout: settings.dropout,
    use_rslora: settings.use_rslora,
    use_dora: settings.use_dora,
    fan_in_fan_out: model.architecture.checkpoint?.turned !== undefined,
    target_modules: [...targets],
    layers_to_transform: settings.layers === undefined
      ? null
      : chosenLayers(settings.layers, model.sizes.layers),
  }, tensors);
  return { path: out, sha256, bytes: size };
}

/** What was trained under another template than the model's own is to be asked and exported under that one. */
async function keepTemplate(out: string, base: string, source: string) {
  const bytes = bytesIn(base, "tokenizer_config.json", 16 * 2 ** 20);
  const config = bytes ? parseObject(bytes, join(base, "tokenizer_config.json")) : {};
  if (source === await findChatTemplate(base, config)) return;
  const { chat_template: _, ...rest } = config;
  await writeFile(join(out, "tokenizer_config.json"), JSON.stringify(rest, null, 2) + "\n");
  await writeFile(join(out, "chat_template.jinja"), source);
}

/** The weights of the best step's checkpoint, which rotation keeps. */
async function bestOf(out: string, step: number, trainer: Trainer) {
  const entry = listCheckpoints(out).find((checkpoint) => checkpoint.step === step);
  if (!entry) return await trainer.weights();
  const { tensors } = await loadCheckpoint(entry.path);
  return new Map([...tensors].map(([name, { shape, w }]) => [name, { shape: shape!, data: w }]));
}
/** The answers of one measurement, each beside what was expected. */
export async function writePredictions(out: string, step: number, samples: readonly Sample[]) {
  const lines = samples.map((sample) => JSON.stringify({ step, ...sample }) + "\n");
  const folder = join(out, "predictions");
  await makeFolder(folder);
  await writeFile(join(folder, `step-${step}.jsonl`), lines.join(""));
}

/** Norms by module as they are written down: four digits are plenty for a picture. */
export function layersOf(
  step: number,
  modules: readonly (readonly [string, ModuleNorms])[],
): LayerPoint {
  const round = (n: number) => Number(n.toPrecision(4));
  return {
    step,
    modules: modules.map(([name]) => name),
    gradient: modules.map(([, m]) => round(m.gradient)),
    update: modules.map(([, m]) => round(m.update)),
    weight: modules.map(([, m]) => round(m.weight)),
  };
}
