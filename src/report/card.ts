import { humanSeconds, short, thousands } from "../base/text.ts";
import type { RunRecord } from "./record.ts";

/** Settings that say how a model was trained, in the order a reader wants them. */
const TOLD = [
  "rank",
  "alpha",
  "target",
  "dropout",
  "use_rslora",
  "full",
  "lr",
  "scheduler",
  "warmup",
  "weight_decay",
  "max_grad_norm",
  "betas",
  "eps",
  "batch",
  "accum",
  "max_seq",
  "packing",
  "overlong",
  "shuffle",
  "seed",
  "quant",
  "compute",
];

/**
 * The README.md of a run's result: a model card as the Hugging Face Hub reads it (YAML header, then
 * Markdown), with base, data, hyper-parameters, measures, seed and limits.
 */
export function modelCard(record: RunRecord): string {
  const { manifest, evals, steps } = record;
  const { model, data, validation, settings, whet, adapter } = manifest;
  const full = settings.full === true;
  const best = evals.filter((e) => Number.isFinite(e.val_loss))
    .reduce<typeof evals[number] | undefined>(
      (a, b) => !a || b.val_loss < a.val_loss ? b : a,
      undefined,
    );
  const lines: (string | undefined)[] = [
    "---",
    `base_model: ${quoted(model.path)}`,
    ...(full ? [] : ["library_name: peft"]),
    "pipeline_tag: text-generation",
    `tags: [${full ? "full-fine-tune" : "lora"}, ${manifest.kind}, whet]`,
    "---",
    "",
    `# ${manifest.name}`,
    "",
    full
      ? `All weights of ${code(model.path)}, trained further by supervised fine-tuning.`
      : `A LoRA adapter for ${
        code(model.path)
      }, trained by supervised fine-tuning. It holds no weights ` +
        "of the base model and is of use only with it.",
    "",
    "## Use",
    "",
    "```sh",
    `whet infer ${full ? "-m ." : `-m ${model.path} -a .`} ${
      data.chat ? "--chat " : ""
    }-p "your prompt"`,
    full
      ? "whet export . -o model.gguf --gguf"
      : "whet export . -o model.gguf --gguf   # adapter merged",
    "```",
    "",
    ...(full
      ? []
      : ['PEFT loads this folder as it is: `PeftModel.from_pretrained(base, ".")`.', ""]),
    "## Base and data",
    "",
    "| | |",
    "|---|---|",
    row("base model", code(model.path)),
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
    ...TOLD.filter((key) =>
      !full || !["rank", "alpha", "target", "dropout", "use_rslora"].includes(key)
    )
      .map((key) => row(key, settings[key])),
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
    lines.push("| step | epoch | validation loss | perplexity |", "|---:|---:|---:|---:|");
    for (const e of evals) {
      const mark = e === best ? "**" : "";
      const cells = [String(e.step), short(e.epoch), short(e.val_loss), short(e.ppl)];
      lines.push(`| ${cells.map((cell) => mark + cell + mark).join(" | ")} |`);
    }
  } else if (!manifest.after) lines.push("Nothing was measured: the run had no validation rows.");
  lines.push(
    "",
    "## How it was made",
    "",
    `whet ${whet.version} (${whet.commit}) on ${
      String(manifest.device.adapter ?? "an unknown device")
    }, ` +
      `started ${manifest.started}, ${
        humanSeconds(manifest.seconds ?? 0)
      }, seed ${settings.seed}. ` +
      "The same program, device, driver, rows and settings give the same bytes.",
    ...(manifest.git_commit ? ["", `Git commit ${code(manifest.git_commit)}.`] : []),
    "",
    "`run.json` has every setting and hash, `metrics.jsonl` every step, `report.html` the curves.",
    "",
    "## Limits",
    "",
    "It answers in the manner of its training rows and is no better than they are; on requests unlike " +
      "them it may answer wrongly and with the same confidence. What the base model may be used for, and " +
      "its licence, hold for this too. Nothing was measured but what stands above.",
    "",
  );
  return lines.filter((line) => line !== undefined).join("\n");
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
