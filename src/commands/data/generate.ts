import { generateSettings } from "../../settings/data_generate.ts";
import { command } from "../command.ts";

export const dataGenerate = command({
  stops: true,
  examples: [
    "whet data generate gh --num 5000",
    "whet data generate gh --teacher anthropic --estimate",
    "whet data generate gh --teacher anthropic --max-cost 40",
    "whet data generate ./my-tool.yaml --teacher openai:gpt-5-mini -n 500 -o rows.jsonl",
    "whet data generate gh -n 200 --review             # a person decides before they train",
    "whet data generate gh --emit-prompts prompts",
    "whet data generate gh --import answers/1.txt,answers/2.txt",
  ],
  details:
    "Rows are requests in plain words, with or without a context, and the answer that the schema " +
    "allows: six in ten with context, two without, two that need a question back. Every answer is " +
    "checked against the schema; rows that break it are asked for again. Each reply is on the disk " +
    "before the next call, in FILE_progress.jsonl: the same command goes on after any interruption. " +
    "Keys come from the environment: ANTHROPIC_API_KEY; OPENAI_API_KEY and OPENAI_BASE_URL. What is " +
    "there already is kept unless --force is given.",
  settings: generateSettings,
  async run(settings, io) {
    const { runGenerate } = await import("./generating.ts");
    await runGenerate(settings, io);
  },
});
