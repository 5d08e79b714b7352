import { columns, thousands } from "../../base/text.ts";
import { analyse, tooLittle } from "../../data/select.ts";
import { selectSettings } from "../../settings/telemetry.ts";
import { command } from "../command.ts";
import { available, gather, skipTable, sourceTable } from "./telemetry.ts";

export const dataSelect = command({
  examples: [
    "whet data select --project cogniverse-tenant1 --agent routing",
    "whet data select spans.json --min-sft 50 --min-dpo 20 --json",
    "whet data select pairs.jsonl rows.jsonl",
    "whet data select triplets.jsonl --model-type embedding --min-triplets 100",
  ],
  details:
    "20 or more preference pairs recommend dpo, else 50 or more approved examples sft; for an embedding " +
    "model 100 triplets. The confidence of a method is 0.5 where rows are just enough and 1 from twice as " +
    "many. Exit 3 where there is too little of everything. Reads what whet data from-phoenix reads, and " +
    "rows for training.",
  settings: selectSettings,
  async run(settings, io) {
    const gathered = await gather(settings.files, settings, io);
    const { min_sft: sft, min_dpo: dpo, min_triplets: triplets, model_type } = settings;
    const analysis = analyse(available(gathered), { sft, dpo, triplets }, model_type);
    const { recommended_method: method, confidence, reason } = analysis;
    io.result({ ...analysis, model_type, source: gathered.source, skipped: gathered.skips.list() });
    if (gathered.counts.spans > 0) io.out(`${sourceTable(gathered)}\n`);
    const rows: [string, number, number][] = model_type === "embedding"
      ? [["triplets", analysis.triplets, triplets]]
      : [
        ["preference pairs", analysis.preference_pairs, dpo],
        ["approved examples", analysis.approved_examples, sft],
      ];
    io.out(columns([
      ["", "found", "needed"],
      ...rows.map(([name, n, least]) => [name, thousands(n), thousands(least)]),
    ], [1, 2]));
    const kinds = model_type === "embedding" ? ["triplet"] : ["span", "annotation", "sft", "dpo"];
    const skipped = skipTable(gathered, kinds);
    if (skipped && io.verbose) io.out(`\nleft out\n${skipped}`);
    io.out(`\nMethod: ${method} (${reason})\nConfidence: ${confidence}`);
    if (method === "insufficient") throw tooLittle(analysis, model_type);
  },
});
