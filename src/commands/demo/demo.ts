import { demoSettings } from "../../settings/demo.ts";
import { command } from "../command.ts";

export const demo = command({
  stops: true,
  examples: ["whet demo", "whet demo -o ~/whet-demo --json"],
  details:
    "Needs no network, no GPU and no files: a tiny language model (1 million weights) is built in. " +
    "The demo writes rows for a small command line that the model has never seen, trains an adapter on " +
    "them, measures on phrasings that no row uses, and exports a GGUF file that llama.cpp runs. With " +
    "--json the last line is one object with the figures and the paths.",
  settings: demoSettings,
  async run(settings, io) {
    const { runDemo } = await import("./run.ts");
    await runDemo(settings, io);
  },
});
