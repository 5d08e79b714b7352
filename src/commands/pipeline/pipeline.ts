import { pipelineSettings } from "../../settings/pipeline.ts";
import { command } from "../command.ts";

export const pipeline = command({
  section: "pipeline",
  stops: true,
  words: true,
  dryRun: true,
  examples: [
    "whet pipeline gh",
    "whet pipeline gh num=5000 quant=q8_0",
    "whet pipeline garden model=micro teacher=template",
    "whet pipeline gh --stage eval",
    "whet pipeline gh --from sft --force",
    "whet pipeline ls",
  ],
  details:
    "Six stages, each also a command of its own: generate (whet data generate), sft (whet train sft), " +
    "preferences (whet data preferences), dpo (whet train dpo), quantize (whet export --gguf), eval (whet " +
    "eval). The schema is schemas/NAME.yaml, rows go to training/data/NAME/, models to " +
    "training/models/NAME/. num=5000 is --num 5000, as task runners write it; what was asked for is " +
    "remembered.\n\nA stage whose output is there is kept. One that was interrupted goes on. Unlike make and " +
    "dvc, a stage that is out of date is told and kept, because it may have cost days or money: --force " +
    "does the chosen stages again, and puts a run aside as sft.old-1. Where the SFT model " +
    "answers as well as the ideal answers there is nothing to prefer, and dpo is left out.\n\nSettings: " +
    "training/configs/sft_config.yaml and dpo_config.yaml, then whet.yaml (train, dpo, export, eval, " +
    "pipeline); --set train.lr=1e-4 is stronger than both.",
  settings: pipelineSettings,
  async run(settings, io) {
    const { runPipeline } = await import("./run.ts");
    await runPipeline(settings, io);
  },
});
