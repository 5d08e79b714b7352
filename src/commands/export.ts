import { Exit, Fail } from "../base/fail.ts";
import { humanBytes, short } from "../base/text.ts";
import type { ExportForm } from "../export/export.ts";
import type { GgufQuant } from "../export/gguf_mixtures.ts";
import { type ExportSettings, exportSettings } from "../settings/use.ts";
import { merged, taskOf } from "./tasks.ts";
import { command } from "./command.ts";

export const exportCommand = command({
  section: "export",
  examples: [
    "whet export ./run -o model.gguf --gguf",
    "whet export ./run -o model-q8.gguf --gguf --quant q8_0 --verify --ollama my-model",
    "whet export ./run -o ./merged --merge",
  ],
  details:
    "Without --gguf or --merge the adapter alone is written, in PEFT format. --verify reads a GGUF " +
    "file back and compares every tensor with its source; exit code 9 where one differs by more than " +
    "its number format explains.",
  settings: exportSettings,
  async run(settings, io) {
    const form = formOf(settings);
    const task = taskOf({ ...settings, adapter: settings.source });
    if (form === "merged" && merged(task) !== undefined) {
      throw new Fail(`--merge is not built for an adapter on --task ${task}`, {
        why: "the checkpoint of its base has no place for weights into which that is merged",
        fix: "--gguf, or neither: the adapter in PEFT format",
        exit: Exit.usage,
      });
    }
    const { exportRun } = await import("../export/export.ts");
    const report = await exportRun({
      source: settings.source,
      base: settings.base,
      task: merged(task),
      out: settings.output,
      form,
      quant: settings.quant as GgufQuant,
      pretokenizer: settings.pretokenizer,
      ollama: settings.ollama,
      verify: settings.verify,
      onProgress: ({ done, total, tensor }) =>
        io.progress(`${Math.round((100 * done) / total)} %  ${tensor}`),
    });
    io.progress();
    for (const warning of report.warnings) io.warn("WH0308", warning);
    io.result(report);
    io.out(
      `${report.path}  ${humanBytes(report.bytes)}${
        report.sha256 ? `  sha256 ${report.sha256}` : ""
      }`,
    );
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
    if (report.modelfile) {
      io.out(report.modelfile);
      io.note(`\nNext: ollama create ${settings.ollama} -f ${report.modelfile}`);
    }
  },
});

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
