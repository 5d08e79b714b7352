/** What a run folder says of itself that an export needs, and the export with it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import type { Quant } from "../architectures/model.ts";
import { PROMPT_FILE, type PromptLock } from "../data/prompt_lock.ts";
import { type ExportOptions, type ExportReport, exportRun } from "../export/export.ts";
import { readRun } from "../report/folder.ts";
import { quantOf } from "../settings/model.ts";
import { readText } from "./io.ts";

/** Onto which weights an adapter is merged. */
export type MergeBase = "dequant" | "original";

/** How a source was trained: of what is no run, nothing is known. */
export interface Trained {
  readonly quant?: Quant;
  readonly prompt?: PromptLock;
  /** Files of rows that can be asked, the likeliest to tell something first. */
  readonly rows: readonly string[];
  /** How rows were read. */
  readonly reading: {
    readonly map?: string;
    readonly system?: string;
    readonly json_indent?: number;
    readonly template?: string;
  };
}

/** @throws Fail (data) where a file of the folder is broken */
export function trainedOf(source: string): Trained {
  const prompt = existsSync(join(source, PROMPT_FILE))
    ? JSON.parse(readText(join(source, PROMPT_FILE), "the prompt of the training")) as PromptLock
    : undefined;
  if (!existsSync(join(source, "run.json"))) return { prompt, rows: [], reading: {} };
  const { settings, validation, data } = readRun(source).manifest;
  const rows = [validation?.path, data.path].filter((path) => path !== undefined && path !== "-");
  return {
    prompt,
    quant: settings.full === true ? undefined : quantOf(settings),
    reading: settings,
    rows: [...new Set(rows as string[])].filter((path) => existsSync(path)),
  };
}

export interface Exported extends ExportReport {
  /** Onto what the adapter was merged; only where one was. */
  readonly merged_onto?: string;
}

/**
 * Exports a run under the prompt it was trained with, its adapter merged onto the base as the training saw
 * it: an adapter of a quantised training has learnt to correct what quantisation did.
 * @throws Fail: see exportRun
 */
export async function exportTrained(
  options: Omit<ExportOptions, "asTrained" | "prompt">,
  trained: Trained,
  onto?: MergeBase,
): Promise<Exported> {
  const { quant, prompt } = trained;
  if (onto === "dequant" && !quant) {
    throw new Fail("--merge-base dequant: the training did not quantise its base", {
      why: existsSync(join(options.source, "run.json"))
        ? "run.json says --quant none"
        : `${options.source} has no run.json that says how it was quantised`,
      fix: "--merge-base original",
      exit: Exit.usage,
    });
  }
  const merges = options.form === "gguf" || options.form === "merged";
  const asTrained = merges && onto !== "original" ? quant : undefined;
  const report = await exportRun({ ...options, asTrained, prompt });
  if (!merges || !existsSync(join(options.source, "adapter_config.json"))) return report;
  return { ...report, merged_onto: asTrained ? `${named(asTrained)}, dequantised` : "original" };
}

const named = (quant: Quant) =>
  quant.type === "int8" ? "int8" : quant.double ? "nf4 with double quantisation" : "nf4";
