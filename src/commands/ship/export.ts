import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { Exit, Fail } from "../../base/fail.ts";
import { humanBytes, parseBytes, short } from "../../base/text.ts";
import type { ExportForm } from "../../export/export.ts";
import type { GgufQuant } from "../../export/gguf_mixtures.ts";
import { type ExportSettings, exportSettings } from "../../settings/use.ts";
import { merged, taskOf } from "../train/tasks.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { command } from "../command.ts";
import type { Trained } from "./exporting.ts";
import type { Io } from "../io.ts";
import { baseAndAdapter } from "../use/adapted.ts";

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
    const task = taskOf({ ...settings, adapter: source });
    if (form === "merged" && merged(task) !== undefined) {
      throw new Fail(`--merge is not built for an adapter on --task ${task}`, {
        why: "the checkpoint of its base has no place for weights into which that is merged",
        fix: "--gguf, or neither: the adapter in PEFT format",
        exit: Exit.usage,
      });
    }
    const [{ exportTrained, trainedOf }, { noteExport }] = await Promise.all([
      import("./exporting.ts"),
      import("../../report/folder.ts"),
    ]);
    const trained = trainedOf(source);
    const report = await exportTrained(
      {
        source,
        base,
        task: merged(task),
        out: settings.output,
        form,
        quant: settings.quant as GgufQuant,
        pretokenizer: settings.pretokenizer,
        ollama: settings.ollama,
        imatrix: settings.imatrix,
        shardBytes: parseBytes(settings.shard_size),
        splitBytes: settings.split_max_size && parseBytes(settings.split_max_size) || undefined,
        keep: !settings.force,
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
    if (report.files.length > 1 && form === "gguf") {
      io.out(
        `in ${report.files.length} parts, of which the first is named: ${report.files.join(" ")}`,
      );
    }
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
    const asked = settings.verify === "answers" && await predicts(settings);
    const found = asked ? await compared(settings, report.path, trained, io) : undefined;
    if (existsSync(join(source, "run.json"))) {
      await noteExport(source, {
        file: basename(report.path),
        format: form === "gguf" ? settings.quant : form,
        bytes: report.bytes,
        sha256: report.sha256,
        imatrix: settings.imatrix && basename(settings.imatrix),
        drift: found && {
          kl_mean: found.kl_mean,
          same_top: found.same_top,
          places: found.places,
          passed: found.failed.length === 0,
        },
        at: new Date().toISOString(),
      }).catch((error) => {
        if (!(error instanceof Fail)) throw error;
        io.warn("WH0308", `the model card of ${source} does not name the file: ${error.message}`);
      });
    }
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

/** What was exported, as it was trained: a model, or an adapter on its base. */
const trainedPair = async ({ source, base }: ExportSettings) =>
  base === undefined ? await baseAndAdapter({ model: source }) : { model: base, adapter: source };

/** Whether the model predicts tokens: an encoder has no answers that could be compared. */
async function predicts(settings: ExportSettings): Promise<boolean> {
  const { openModel } = await import("../../architectures/model.ts");
  const { model } = await trainedPair(settings);
  const { architecture, folder } = await openModel(model, settings.task);
  folder.close();
  return architecture.head !== undefined;
}

/** Answers of what was written beside those of what was trained. */
async function compared(
  settings: ExportSettings & CommonSettings,
  written: string,
  { quant, rows, reading }: Trained,
  io: Io,
) {
  const { merge_base, verify_data, verify_rows, max_tokens } = settings;
  const kept = merge_base === "original" ? undefined : quant;
  const { equivalence } = await import("./verifying.ts");
  return await equivalence(
    {
      source: {
        ...await trainedPair(settings),
        quant: kept?.type,
        double_quant: kept?.type === "nf4" && kept.double,
        template: reading.template,
      },
      written,
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
