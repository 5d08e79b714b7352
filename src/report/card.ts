import { humanBytes, humanSeconds, short, thousands } from "../base/text.ts";
import { type Field, fieldsOf } from "../settings/field.ts";
import { settingsOf } from "../settings/kinds.ts";
import { bestOf, FOUND, type Manifest, type RunRecord, type StepPoint } from "./record.ts";
import type { ExportEntry } from "./exports.ts";
import { labelOf } from "./tags.ts";

/** Settings that say how a model was trained: all that change its weights, and what was done to rows. */
const toldFor = (kind: string) =>
  fieldsOf(settingsOf(kind)).filter(({ info }) => info.changes && info.group !== "Main");

/** What was done to the model, in words. */
const HOW: Readonly<Record<string, string>> = {
  sft: "supervised fine-tuning",
  dpo: "preference optimisation (DPO) on pairs of answers",
  orpo: "preference optimisation by odds ratio (ORPO) on pairs of answers",
  simpo: "preference optimisation without a reference (SimPO) on pairs of answers",
  kto: "Kahneman-Tversky optimisation (KTO) on answers that are wanted or not",
  embed: "contrastive training of its embeddings",
};

/** What a reader is told of one of them: the way rows are read only where it is not the usual one. */
function toldOf(field: Field, settings: Manifest["settings"]): unknown {
  const value = settings[field.key];
  if (field.key !== "full" && settings.full && field.info.group === "Adapter") return undefined;
  return field.info.changes === "rows" && value === field.default ? undefined : value;
}

/**
 * The README.md of a run's result: a model card as the Hugging Face Hub reads it (YAML header, then
 * Markdown), with base, data, hyper-parameters, measures, seed and limits.
 */
export function modelCard(record: RunRecord): string {
  const { manifest, evals, steps } = record;
  const { model, data, validation, settings, whet, adapter } = manifest;
  const versions = (record.tags ?? []).filter(({ version }) => version !== undefined);
  const full = settings.full === true, how = HOW[manifest.kind] ?? manifest.kind;
  const best = bestOf(evals), embeds = manifest.kind === "embed";
  const place = full ? "-m ." : `-m ${model.path} -a .`;
  const lines: (string | undefined)[] = [
    "---",
    // The Hub takes names of its own only.
    ...(model.id ? [`base_model: ${quoted(model.id)}`] : []),
    ...(model.license ? [`license: ${quoted(model.license)}`] : []),
    ...(full ? [] : ["library_name: peft"]),
    `pipeline_tag: ${embeds ? "sentence-similarity" : "text-generation"}`,
    `tags: [${full ? "full-fine-tune" : "lora"}, ${manifest.kind}, whet]`,
    "---",
    "",
    `# ${manifest.name}`,
    "",
    ...versions.flatMap((tag) => [
      `Version **${labelOf(tag)}**, ${tag.at.slice(0, 10)}` +
      (tag.sha256 && adapter && tag.sha256 !== adapter.sha256
        ? `, of other weights: sha256 ${code(tag.sha256)}.`
        : "."),
      "",
    ]),
    full
      ? `All weights of ${code(model.path)}, trained further by ${how}.`
      : `A LoRA adapter for ${code(model.path)}, trained by ${how}. It holds no weights ` +
        "of the base model and is of use only with it.",
    "",
    "## Use",
    "",
    "```sh",
    ...(embeds ? [`whet embed ${place} --json < texts.jsonl`] : [
      `whet infer ${place} ${data.chat ? "--chat " : ""}-p "your prompt"`,
      full
        ? "whet export . -o model.gguf --gguf"
        : "whet export . -o model.gguf --gguf   # adapter merged",
    ]),
    "```",
    ...(embeds ? ["", 'sentence-transformers loads it too: `SentenceTransformer(".")`.'] : []),
    "",
    ...(full
      ? []
      : ['PEFT loads this folder as it is: `PeftModel.from_pretrained(base, ".")`.', ""]),
    "## Base and data",
    "",
    "| | |",
    "|---|---|",
    row("base model", code(model.id ?? model.path)),
    row("licence of the base model", model.license),
    row("architecture", model.type),
    row("base model sha256", model.sha256 && code(model.sha256)),
    row("training rows", `${code(data.path)}, ${thousands(data.rows)} rows`),
    row(
      "tokens",
      data.tokens &&
        `${thousands(data.tokens)}, of which ${
          thousands(data.supervised_tokens ?? data.tokens)
        } trained`,
    ),
    row("training rows sha256", data.sha256 && code(data.sha256)),
    row(
      "validation rows",
      validation && `${code(validation.path)}, ${thousands(validation.rows)} rows`,
    ),
    row(
      "trained weights",
      model.trainable && model.parameters &&
        `${thousands(model.trainable)} of ${thousands(model.parameters)} (${
          short((100 * model.trainable) / model.parameters)
        } %)`,
    ),
    row("adapter sha256", adapter && code(adapter.sha256)),
    "",
    "## Hyper-parameters",
    "",
    "| | |",
    "|---|---|",
    row("steps", `${thousands(steps.at(-1)?.step ?? 0)} of ${thousands(manifest.steps)}`),
    row("epochs", settings.iters === undefined ? settings.epochs : undefined),
    ...toldFor(manifest.kind).map((field) => row(field.key, toldOf(field, settings))),
    "",
    "## Measures",
    "",
  ];
  if (manifest.before || manifest.after) {
    lines.push("| measure | before | after |", "|---|---:|---:|");
    const names = new Set([
      ...Object.keys(manifest.before ?? {}),
      ...Object.keys(manifest.after ?? {}),
    ]);
    const cell = (value: number | undefined) => value === undefined ? "" : short(value);
    for (const name of names) {
      lines.push(
        `| ${name} | ${cell(manifest.before?.[name])} | ${cell(manifest.after?.[name])} |`,
      );
    }
    lines.push("");
  }
  if (best) {
    const names = (["rewards/accuracies", "rewards/margins", ...FOUND] as const).filter((name) =>
      best[name] !== undefined
    );
    const titles = ["step", "epoch", "validation loss", best.ppl ? "perplexity" : "", ...names]
      .filter(Boolean);
    lines.push(`| ${titles.join(" | ")} |`, `|${titles.map(() => "---:").join("|")}|`);
    for (const e of evals) {
      const mark = e === best ? "**" : "";
      const cells = [String(e.step), short(e.epoch), short(e.val_loss)];
      if (best.ppl) cells.push(short(e.ppl!));
      for (const name of names) cells.push(short(e[name] ?? NaN));
      lines.push(`| ${cells.map((cell) => mark + cell + mark).join(" | ")} |`);
    }
  } else if (!manifest.after) lines.push("Nothing was measured: the run had no validation rows.");
  lines.push("", ...training(steps));
  lines.push(
    "## How it was made",
    "",
    `whet ${whet.version} (${whet.commit})${whet.bun ? `, Bun ${whet.bun},` : ""} on ${
      String(manifest.device.adapter ?? "an unknown device")
    }${manifest.device.driver ? ` (driver ${String(manifest.device.driver)})` : ""}, ` +
      `started ${manifest.started}, ${
        humanSeconds(manifest.seconds ?? 0)
      }, seed ${settings.seed}. ` +
      "The same program, device, driver, rows and settings give the same bytes: " +
      `\`whet train ${manifest.kind} --config run.json -o again\`. The seed is that of data order, dropout and new ` +
      "adapter weights alike, each a stream of its own.",
    ...(manifest.git_commit ? ["", `Git commit ${code(manifest.git_commit)}.`] : []),
    "",
    "`run.json` has every setting and hash, `metrics.jsonl` every step, `report.html` the curves.",
    "",
    "## What it needs",
    "",
    full
      ? "whet, llama.cpp after `whet export . -o model.gguf --gguf`, or any program that reads a " +
        "transformers folder. Memory for the weights in the type they are stored in, and for the cache " +
        "of keys and values of each conversation."
      : `The base model ${code(model.path)}` +
        (model.sha256 ? ` with sha256 ${code(model.sha256)}` : "") +
        (settings.quant && settings.quant !== "none"
          ? `, its weights kept as ${settings.quant} as in training,`
          : "") +
        " and whet, PEFT, or after `whet export` llama.cpp. Memory for the base weights, " +
        "the adapter" + (adapter?.bytes ? ` (${humanBytes(adapter.bytes)})` : "") +
        " and the cache of keys and values of each conversation.",
    "",
    ...exported(record.exports ?? []),
    "## Limits",
    "",
    "It answers in the manner of its training rows and is no better than they are; on requests unlike " +
      "them it may answer wrongly and with the same confidence. What the base model may be used for, and " +
      "its licence, hold for this too. Nothing was measured but what stands above.",
    "",
  );
  return lines.filter((line) => line !== undefined).join("\n");
}

/** The files that were exported, and how far their predictions are from those of the trained model. */
function exported(files: readonly ExportEntry[]): string[] {
  if (files.length === 0) return [];
  const drift = ({ drift }: ExportEntry) =>
    drift
      ? `${short(drift.kl_mean)} | ${short(100 * drift.same_top)} %${
        drift.passed ? "" : ", too far"
      }`
      : "not measured | ";
  return [
    "## Exported files",
    "",
    "| file | format | size | drift, nats a token | same likeliest token |",
    "|---|---|---:|---:|---:|",
    ...files.map((file) =>
      `| ${code(file.file)} | ${file.format}${file.imatrix ? `, by ${code(file.imatrix)}` : ""} | ${
        humanBytes(file.bytes)
      } | ${drift(file)} |`
    ),
    "",
    ...files.filter(({ sha256 }) => sha256).map(({ file, sha256 }) =>
      `sha256 of ${code(file)}: ${code(sha256!)}\n`
    ),
  ];
}

/** How training went, in a few numbers. */
function training(steps: readonly StepPoint[]): string[] {
  const losses = steps.map(({ loss }) => loss).filter(Number.isFinite);
  if (losses.length === 0) return [];
  const memory = steps.reduce((most, { mem_bytes }) => Math.max(most, mem_bytes || 0), 0);
  const speeds = steps.map(({ tok_s }) => tok_s).filter(Number.isFinite).sort((a, b) => a - b);
  const table = [
    "| | |",
    "|---|---|",
    row("training loss, first step", losses[0]),
    row("training loss, last step", losses.at(-1)),
    row("memory on the device, at most", memory > 0 ? humanBytes(memory) : undefined),
    row("tokens a second, median", speeds[Math.floor(speeds.length / 2)]),
    "",
  ];
  return table.filter((line) => line !== undefined);
}

/** A line of a two-column table, or undefined where there is nothing to say. */
function row(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const text = Array.isArray(value)
    ? value.join(", ")
    : typeof value === "number"
    ? short(value)
    : String(value);
  return `| ${name} | ${text.replaceAll("|", "\\|")} |`;
}

const code = (text: string) => `\`${text.replaceAll("`", "'")}\``;
const quoted = (text: string) => JSON.stringify(text);
