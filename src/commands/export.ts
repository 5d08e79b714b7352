import { existsSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { humanBytes, parseBytes, short } from "../base/text.ts";
import type { ExportForm } from "../export/export.ts";
import type { GgufQuant } from "../export/gguf_mixtures.ts";
import { type ExportSettings, exportSettings } from "../settings/use.ts";
import type { CommonSettings } from "../settings/common.ts";
import { readAdapter } from "../formats/peft.ts";
import { command } from "./command.ts";
import type { Trained } from "./exporting.ts";
import type { Io } from "./io.ts";

export const exportCommand = command({
  section: "export",
  examples: [
    "whet export ./run -o model.gguf --gguf",
    "whet export ./run -o model-q4.gguf --gguf --quant q4_k_m --verify --ollama my-model",
    "whet export ./run -o ./merged --merge --verify",
  ],
  details:
    "Without --gguf or --merge the adapter alone is written, in PEFT format. --verify reads back what " +
    "was written, compares every tensor with its source, then loads both and compares predictions, " +
    "answers, how right they are, template and end tokens; exit code 9 where they differ by more than " +
    "the number format explains. --ollama writes a Modelfile with the template, system prompt and " +
    "stop texts of the training.",
  settings: exportSettings,
  async run(settings, io) {
    const form = formOf(settings), { source, base } = settings;
    checkVerify(settings, form);
    const { exportTrained, trainedOf } = await import("./exporting.ts");
    const trained = trainedOf(source);
    const report = await exportTrained(
      {
        source,
        base,
        out: settings.output,
        form,
        quant: settings.quant as GgufQuant,
        pretokenizer: settings.pretokenizer,
        ollama: settings.ollama,
        imatrix: settings.imatrix,
        shardBytes: parseBytes(settings.shard_size),
        verify: settings.verify !== "off" && form === "gguf",
        onProgress: ({ done, total, tensor }) =>
          io.progress(`${Math.round((100 * done) / total)} %  ${tensor}`),
      },
      trained,
      settings.merge_base,
    );
    io.progress();
    for (const warning of report.warnings) io.warn("WH0308", warning);
    io.out(
      `${report.path}  ${humanBytes(report.bytes)}${
        report.sha256 ? `  sha256 ${report.sha256}` : ""
      }`,
    );
    if (report.merged_onto) io.detail(`merged onto the base: ${report.merged_onto}`);
    if (report.drift) {
      const { worst, bound, tensor } = report.drift;
      io.out(
        worst === 0
          ? "verified: every tensor equals its source"
          : `verified: ${tensor} differs most, by ${short(worst)} (at most ${
            short(bound)
          } is rounding)`,
      );
    }
    const found = settings.verify === "answers" ? await compared(settings, trained, io) : undefined;
    io.result({ ...report, ...(found ? { equivalence: found } : {}) });
    if (found) {
      const { driftTable, requireEquivalent } = await import("./verifying.ts");
      io.out(driftTable(found));
      requireEquivalent(report.path, found);
    }
    if (report.modelfile) {
      io.out(report.modelfile);
      io.note(`\nNext: ollama create ${settings.ollama} -f ${report.modelfile}`);
    }
  },
});

/** Answers of what was written beside those of what was trained. */
async function compared(
  settings: ExportSettings & CommonSettings,
  { quant, rows, reading }: Trained,
  io: Io,
) {
  const { source, base, output, merge_base, verify_data, verify_rows, max_tokens } = settings;
  const adapter = existsSync(join(source, "adapter_config.json"))
    ? (await readAdapter(source)).config
    : undefined;
  const kept = merge_base === "original" ? undefined : quant;
  const { equivalence } = await import("./verifying.ts");
  return await equivalence(
    {
      source: adapter
        ? {
          model: base ?? adapter.base_model_name_or_path!,
          adapter: source,
          quant: kept?.type,
          double_quant: kept?.type === "nf4" && kept.double,
          template: reading.template,
        }
        : { model: source, template: reading.template },
      written: output,
      quant: settings.gguf ? settings.quant : "merged",
      data: verify_data ?? rows[0],
      reading,
      rows: verify_rows,
      max_tokens,
      limit: settings.max_drift,
    },
    settings,
    io,
  );
}

/** @throws Fail (usage) where there is nothing that could be compared */
function checkVerify({ verify, verify_data }: ExportSettings, form: ExportForm) {
  if (verify === "off" && verify_data === undefined) return;
  if (verify === "off") {
    throw new Fail("--verify-data is for --verify", {
      why: "without it nothing is compared",
      fix: "add --verify",
      exit: Exit.usage,
    });
  }
  if (form === "gguf" || (form === "merged" && verify === "answers")) return;
  throw new Fail(`--verify ${verify} does not belong to this export`, {
    why: form === "merged"
      ? "the tensors of a merged folder are not those of its source"
      : "the adapter is written as it is",
    fix: form === "merged" ? "--verify answers" : "leave it out, or add --gguf or --merge",
    exit: Exit.usage,
  });
}

function formOf({ gguf, gguf_lora, merge, quant }: ExportSettings): ExportForm {
  if (gguf) return "gguf"; // the adapter is merged into it, so --merge says nothing more
  if (quant !== "f16") {
    throw new Fail(`--quant ${quant} belongs to --gguf`, {
      why: "model folders keep the number format of the base model",
      fix: "add --gguf, or leave --quant out",
      exit: Exit.usage,
    });
  }
  return gguf_lora ? "gguf-lora" : merge ? "merged" : "adapter";
}
