import { reasoningSettings } from "../../settings/data_reasoning.ts";
import { command } from "../command.ts";

export const dataReasoning = command({
  stops: true,
  examples: [
    "whet data reasoning rows.jsonl --preview 5",
    "whet data reasoning --input rows.jsonl --output rows_with_reasoning.jsonl",
    "whet data reasoning rows.jsonl --schema gh --teacher anthropic --estimate",
    "whet data reasoning rows.jsonl --teacher openai:gpt-5-mini --max-cost 5",
    "whet data reasoning rows_with_reasoning.jsonl --check",
  ],
  details:
    'Adds to rows of a request and its JSON answer why the one follows from the other: {"gtm_prompt", ' +
    '"reasoning", "intent_ir"}, or {"prompt", "reasoning", "response"}. whet data convert --to cot or ' +
    "--to messages puts them into <reasoning> and <intent_ir> sections. Rows that have a reasoning keep " +
    "it. Each reply of a teacher is on the disk before the next call; the same command goes on.\n" +
    "Chains are judged. shallow: fewer than eight words, or next to nothing but the JSON. copied: half " +
    "of its runs of five words from the prompt, quotations aside, or six in ten from another row. " +
    "templated: the same words but for the values, in five rows and one in twenty. contradicting: gives " +
    "a field of the JSON another value. What a teacher writes is asked for again where it is shallow, " +
    "copied or contradicting.",
  settings: reasoningSettings,
  async run(settings, io) {
    const { runReasoning } = await import("./chains.ts");
    await runReasoning(settings, io);
  },
});
