import { TRIPLET_EXAMPLE } from "../../data/triplets.ts";
import { trainEmbedSettings } from "../../settings/embed.ts";
import { command } from "../command.ts";
import { runTraining } from "./run_training.ts";

export const trainEmbed = command({
  section: "train_embed",
  stops: true,
  dryRun: true,
  examples: [
    "whet train embed -m ./encoder -d triplets.jsonl -o ./run",
    "whet train embed -m ./encoder -d pairs.jsonl --loss mnr --batch 64 -o ./run",
    "whet train embed -m ./encoder -d triplets.jsonl --val val.jsonl --best ndcg@10 --patience 2 -o ./run",
    "whet train embed -m ./encoder -d triplets.jsonl -o ./run --resume",
  ],
  details:
    `A row is one JSON object a line: ${TRIPLET_EXAMPLE}; the negative may be missing with --loss mnr. ` +
    'Token ids do as well: {"anchor_ids":[...],"positive_ids":[...],"negative_ids":[...]}; and pairs for ' +
    '--loss contrastive: {"sentence1":"...","sentence2":"...","label":0 or 1}. Encoders (BERT, RoBERTa, ' +
    "XLM-RoBERTa, jina-embeddings-v3 with --task) and decoders can be trained.\n\nOn validation rows every anchor looks for its positive " +
    "among all texts: recall@k, MRR and NDCG. The run folder loads in sentence-transformers.",
  settings: trainEmbedSettings,
  async run(settings, io) {
    const { prepareEmbedRun } = await import("./prepared_embed.ts");
    await runTraining(settings, prepareEmbedRun, io);
  },
});
