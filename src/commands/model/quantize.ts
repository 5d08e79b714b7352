import { humanBytes, humanSeconds, parseBytes, plural } from "../../base/text.ts";
import { modelQuantizeSettings, quantOf } from "../../settings/model.ts";
import { command } from "../command.ts";
import { loading } from "../progress.ts";

export const modelQuantize = command({
  examples: [
    "whet model quantize -m ./model -o ./model-nf4 --double-quant",
    "whet model quantize -m ./model -o ./model-int8 --quant int8",
    "whet train sft -m ./model-nf4 -d rows.jsonl -o run",
  ],
  details:
    "The linear layers are quantised as --quant does it while loading, to the same bytes; embeddings, " +
    "head and norms are copied. The folder is one that bitsandbytes and transformers read.",
  settings: modelQuantizeSettings,
  async run(settings, io) {
    const { quantizeModel } = await import("../../export/quantize_model.ts");
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    const report = await quantizeModel({
      model: settings.model,
      out: settings.output,
      quant: quantOf(settings)!,
      shardBytes: parseBytes(settings.shard_size)!,
      onProgress: loading(io, "quantising"),
    });
    io.progress();
    io.result({ ...report, seconds: seconds() });
    const { path, before, bytes, quantised, kept } = report;
    io.out(
      `${path}  ${humanBytes(bytes)}, was ${humanBytes(before)}  ${
        plural(quantised, "matrix", "matrices")
      } quantised, ${plural(kept, "tensor")} as they were  ${humanSeconds(seconds())}, ${
        humanBytes(before / seconds())
      }/s`,
    );
    io.note(`\nNext: whet train sft -m ${path} -d rows.jsonl -o run`);
  },
});
