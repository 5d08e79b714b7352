import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFolder } from "../base/disk.ts";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { columns, plural, short, thousands } from "../base/text.ts";
import { analyse, type Analysis, type Method, tooLittle } from "../data/select.ts";
import { SPLIT_ABOVE } from "../data/split.ts";
import { readRun } from "../report/folder.ts";
import { bestOf, type RunRecord } from "../report/record.ts";
import { commonOf, type CommonSettings } from "../settings/common.ts";
import { dpoSettings } from "../settings/dpo.ts";
import { trainEmbedSettings } from "../settings/embed.ts";
import { fieldsOf, type SettingsSchema } from "../settings/field.ts";
import { type Given, resolve } from "../settings/load.ts";
import { trainSettings } from "../settings/train.ts";
import { PASSED_ON, REMOTE_FIELDS, type TrainAutoSettings } from "../settings/train_auto.ts";
import { openBase } from "./base_model.ts";
import type { Io } from "./io.ts";
import { runTraining } from "./run_training.ts";
import { syntheticRows } from "./synthetic.ts";
import { available, gather, type Gathered, lineOf, skipTable, sourceTable } from "./telemetry.ts";
import { troubleTold } from "./troubles.ts";

type Settings = TrainAutoSettings & CommonSettings;

/** What `whet train auto` ends with: S3's OrchestrationResult, and where the rows came from. */
export interface AutoResult {
  readonly model_type: "llm" | "embedding";
  readonly training_method: Method;
  readonly adapter_path: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly base_model: string;
  readonly lora_config: { readonly use_lora: boolean } & Readonly<Record<string, unknown>>;
  readonly used_synthetic: boolean;
  readonly status: string;
  readonly analysis: Analysis;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * Reads telemetry or files, chooses the training that suits them, has rows written and reviewed where
 * there are too few, trains, and says what came of it.
 * @returns nothing after a dry run, or where it was stopped before it trained
 * @throws Fail: those of each part; (approval, exit 10) while a person's review is awaited
 */
export async function automatic(settings: Settings, io: Io): Promise<AutoResult | undefined> {
  const { model_type, min_sft: sft, min_dpo: dpo, min_triplets: triplets } = settings;
  warnOfRemote(settings, io);
  const parameters = await parametersOf(settings.model);
  const gathered = await gather(filesOf(settings), settings, io);
  if (io.stop.requested) return undefined;
  io.event("extract", { source: gathered.source, ...gathered.counts, ...available(gathered) });
  if (gathered.counts.spans > 0) io.out(sourceTable(gathered));
  const skipped = skipTable(gathered, ["span", "annotation", "sft", "dpo", "triplet"]);
  if (skipped) io.detail(`left out\n${skipped}`);
  const analysis = analyse(available(gathered), { sft, dpo, triplets }, model_type);
  io.event("select", { ...analysis });
  io.out(
    `Method: ${analysis.recommended_method} (${analysis.reason})\nConfidence: ${analysis.confidence}`,
  );

  const { method, rows, synthetic } = await chosen(settings, gathered, analysis, io);
  const own = layerFor(settings, method, rows.length, parameters, io);
  if (settings.dry_run) {
    const folder = mkdtempSync(join(tmpdir(), "whet-auto-"));
    try {
      await trainOn(settings, method, rows, folder, own, io);
    } finally {
      rmSync(folder, { recursive: true });
    }
    return undefined;
  }
  const folder = await folderFor(settings, method);
  try {
    await trainOn(settings, method, rows, folder, own, io);
  } catch (error) {
    // Nothing is left of a run that never began.
    if (!existsSync(join(folder, "run.json"))) {
      rmSync(join(folder, DATA), { force: true });
      try {
        rmdirSync(folder);
      } catch {
        // It holds something else.
      }
    }
    throw error;
  }
  const record = readRun(folder);
  const result = resultOf(settings, method, folder, record, analysis, {
    source: gathered.source,
    project: gathered.project ?? null,
    tenant_id: settings.tenant_id ?? null,
    agent_type: settings.agent ?? null,
    modality: settings.modality ?? null,
    rows: rows.length,
    synthetic,
    file: join(folder, DATA),
  });
  await writeFile(join(folder, "result.json"), JSON.stringify(result, null, 2) + "\n");
  tellResult(result, record, io);
  return result;
}

/** The rows that were trained, in the run folder. */
const DATA = "training_data.jsonl";

/** The files that --from names; none where the server is meant. @throws Fail (usage) */
function filesOf({ from }: Settings): readonly string[] {
  if (!from.includes("phoenix")) return from;
  if (from.length === 1) return [];
  throw new Fail("--from names the server and files", {
    why: "rows come from one or from the others",
    fix: "--from phoenix, or --from FILE,FILE",
    exit: Exit.usage,
  });
}

function warnOfRemote(settings: Settings, io: Io) {
  const given = REMOTE_FIELDS.filter((key) => settings[key] !== undefined);
  if (given.length === 0) return;
  const flags = given.map((key) => `--${key.replaceAll("_", "-")}`).join(", ");
  io.note(`${flags}: of a remote backend, and not used, for this run trains on this machine`);
}

/** How many weights the model has. @throws Fail (data) where it cannot be opened */
async function parametersOf(dir: string): Promise<number> {
  const { folder } = await openBase(dir);
  try {
    return [...folder.tensors.values()].reduce(
      (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
      0,
    );
  } finally {
    folder.close();
  }
}

async function chosen(settings: Settings, gathered: Gathered, analysis: Analysis, io: Io) {
  const rows = { sft: gathered.sft, dpo: gathered.dpo, embedding: gathered.triplets };
  const { recommended_method: method } = analysis;
  if (method !== "insufficient") return { method, rows: rows[method], synthetic: 0 };
  if (settings.model_type === "embedding") throw tooLittle(analysis, "embedding");
  const more = await syntheticRows(settings, gathered.sft, analysis, io);
  return { method: "sft" as const, rows: [...gathered.sft, ...more], synthetic: more.length };
}

const KINDS: Readonly<Record<Method, { schema: SettingsSchema; name: string }>> = {
  sft: { schema: trainSettings, name: "sft" },
  dpo: { schema: dpoSettings, name: "dpo" },
  embedding: { schema: trainEmbedSettings, name: "embed" },
};

/** A fortieth of what examples take: the usual rate of whet train dpo at the usual one of whet train sft. */
const PREFERENCES = 1 / 40;

/** What `whet train KIND` would be given on the command line, but for rows and output. */
function layerFor(
  settings: Settings,
  method: Method,
  rows: number,
  parameters: number,
  io: Io,
): Given[] {
  const { schema, name } = KINDS[method];
  const known = new Set(fieldsOf(schema).map(({ key }) => key));
  const bySize = parameters < 1e9 ? 2e-4 : parameters < 6e9 ? 5e-5 : 2e-5;
  const usual = method === "embedding" ? 2e-5 : method === "dpo" ? bySize * PREFERENCES : bySize;
  const full = !settings.use_lora;
  if (full && method === "dpo") {
    throw new Fail("--no-use-lora: preferences train an adapter only", {
      why: "the reference is the same weights without the adapter",
      fix: `leave it out, or train on the ${plural(rows, "row")} as examples: --min-dpo ${
        rows + 1
      }`,
      exit: Exit.usage,
    });
  }
  const used = Math.min(rows, settings.limit ?? rows, settings.smoke ? 0 : rows);
  const split = settings.val_split === undefined ? used > SPLIT_ABOVE : settings.val_split > 0;
  const canBeFull = !full && !settings.init_adapter && (settings.quant ?? "none") === "none";
  const values: Record<string, unknown> = {
    model: settings.model,
    seed: settings.seed,
    epochs: settings.epochs,
    batch: settings.batch ?? (method === "embedding" ? 16 : 4),
    lr: settings.lr ?? usual,
    ...(full ? { full } : { rank: 8 }),
    ...(canBeFull && known.has("on_lora_failure") ? { on_lora_failure: "full" } : {}),
    ...(settings.val !== undefined || split ? { patience: 2 } : {}),
    ...(method === "dpo" ? { beta: settings.beta } : {}),
    ...(method === "embedding" ? defined(settings, ["margin", "distance", "pooling"]) : {}),
  };
  for (const [key, value] of Object.entries(defined(settings, PASSED_ON))) {
    if (known.has(key)) values[key] = value;
    else {io.note(
        `--${key.replaceAll("_", "-")} means nothing to whet train ${name}, and is not used`,
      );}
  }
  return Object.entries(values).map(([key, value]) => ({
    key,
    value,
    from: `--${key.replaceAll("_", "-")}`,
  }));
}

function defined(settings: Settings, keys: readonly (keyof Settings)[]): Record<string, unknown> {
  return Object.fromEntries(
    keys.map((key) => [key, settings[key]] as const).filter(([, value]) => value !== undefined),
  );
}

async function trainOn(
  settings: Settings,
  method: Method,
  rows: readonly unknown[],
  folder: string,
  own: readonly Given[],
  io: Io,
): Promise<void> {
  const data = join(folder, DATA);
  await writeFile(data, rows.map(lineOf));
  const layer: Given[] = [
    ...own,
    { key: "data", value: data, from: "--from" },
    { key: "output", value: folder, from: "--output" },
  ];
  // What was decided here is all there is: a config file's sections are of other commands.
  const whole = { ...commonOf(settings), config: undefined };
  if (method === "embedding") {
    const { prepareEmbedRun } = await import("./prepared_embed.ts");
    const { settings: of } = resolve(trainEmbedSettings, [layer]);
    await runTraining({ ...whole, ...of }, prepareEmbedRun, io);
    return;
  }
  const { prepareRun } = await import("./prepared.ts");
  if (method === "dpo") {
    const { settings: of } = resolve(dpoSettings, [layer]);
    await runTraining({ ...whole, ...of }, prepareRun, io);
  } else {
    const { settings: of } = resolve(trainSettings, [layer]);
    await runTraining({ ...whole, ...of }, prepareRun, io);
  }
}

/** A new folder of its own for every run, however many begin in one second. */
async function folderFor(settings: Settings, method: Method, now = new Date()): Promise<string> {
  if (settings.output !== undefined) {
    await makeFolder(settings.output);
    return settings.output;
  }
  const { output_dir, agent, modality, model_type } = settings;
  await makeFolder(output_dir);
  const stamp = now.toISOString().replace(/[-:]|\..*/g, "").replace("T", "_");
  const about = (model_type === "embedding" ? modality : agent) ?? model_type;
  const path = join(output_dir, `${method}_${about}_${stamp}`);
  for (let n = 1;; n++) {
    const free = n === 1 ? path : `${path}_${n}`;
    try {
      mkdirSync(free);
      return free;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Names of what was measured on rows that are not trained. */
const MEASURED: Readonly<Record<string, string>> = {
  val_loss: "eval_loss",
  ppl: "eval_perplexity",
  exact_match: "eval_exact_match",
  json_valid: "eval_json_valid",
  "rewards/accuracies": "eval_reward_accuracy",
  "rewards/margins": "eval_reward_margin",
  accuracy: "eval_accuracy",
  "recall@1": "eval_recall@1",
  "mrr@10": "eval_mrr@10",
};

/** Losses of the last epoch, and what was measured where the weights were the best. */
function metricsOf({ steps, evals }: RunRecord): Record<string, number> {
  const last = steps.at(-1);
  const epoch = steps.filter((step) => step.epoch > (last?.epoch ?? 0) - 1);
  const found: Record<string, number> = {};
  const add = (name: string, values: readonly (number | undefined)[]) => {
    const numbers = values.filter((v): v is number => v !== undefined && Number.isFinite(v));
    if (numbers.length > 0) found[name] = mean(numbers);
  };
  add("train_loss", epoch.map(({ loss }) => loss));
  add("train_reward_accuracy", epoch.map((step) => step["rewards/accuracies"]));
  add("train_reward_margin", epoch.map((step) => step["rewards/margins"]));
  const best = bestOf(evals);
  for (const [key, name] of Object.entries(MEASURED)) {
    add(name, [best?.[key as keyof typeof best] as number | undefined]);
  }
  return found;
}

function resultOf(
  settings: Settings,
  method: Method,
  folder: string,
  record: RunRecord,
  analysis: Analysis,
  data: Record<string, unknown>,
): AutoResult {
  const { full, rank, alpha, target, dropout } = record.manifest.settings;
  return {
    model_type: settings.model_type,
    training_method: method,
    adapter_path: folder,
    metrics: metricsOf(record),
    base_model: settings.model,
    lora_config: full ? { use_lora: false } : {
      use_lora: true,
      r: rank,
      lora_alpha: alpha,
      target_modules: target,
      lora_dropout: dropout,
    },
    used_synthetic: Number(data.synthetic) > 0,
    status: record.manifest.status,
    analysis,
    data,
  };
}

/** Below these, what was learnt is hardly better than chance. */
const LOW: Readonly<Record<string, number>> = {
  eval_reward_accuracy: 0.6,
  eval_accuracy: 0.6,
  eval_exact_match: 0.3,
};

/** A last validation loss above the best by more than this is over-fitting. */
const OVERFIT = 1.1;

function tellResult(result: AutoResult, { evals }: RunRecord, io: Io) {
  const { metrics, training_method, adapter_path, data } = result;
  for (const [name, least] of Object.entries(LOW)) {
    const value = metrics[name];
    if (value !== undefined && value < least) {
      io.warn("WH0315", `${name} is ${short(value)}`, troubleTold("accuracy"));
    }
  }
  const [best, last] = [bestOf(evals), evals.at(-1)];
  if (best && last && last.val_loss > OVERFIT * best.val_loss) {
    io.warn(
      "WH0316",
      `validation loss rose from ${short(best.val_loss)} to ${short(last.val_loss)}`,
      troubleTold("overfitting"),
    );
  }
  io.out(
    "\n" + columns([
      ["method", training_method],
      ["rows", thousands(Number(data.rows))],
      ...Object.entries(metrics).map(([name, value]) => [name, short(value)]),
      ["adapter", adapter_path],
      ["result", join(adapter_path, "result.json")],
    ]),
  );
  io.result(result);
}
