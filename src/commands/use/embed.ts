import { plural } from "../../base/text.ts";
import { embedSettings } from "../../settings/use.ts";
import { command } from "../command.ts";
import { badRows, type Complaint, readRows, type TextOrIds, textOrIds } from "./rows.ts";
import { instructionOf, merged, taskOf } from "../train/tasks.ts";
import { textsOf } from "./texts.ts";

const EXAMPLE = '{"text":"The sky is blue"} or {"ids":[1,2,3]}';

/** Tokens and sentences of one run: shorter texts share it. */
const TOKENS = 512, SENTENCES = 64;

export const embedCommand = command({
  section: "embed",
  examples: [
    `echo '{"text":"The sky is blue"}' | whet embed -m ./model --json`,
    "whet embed -m ./model -a ./run --json < rows.jsonl > embeddings.jsonl",
    'whet embed -m ./model --prompt "query: " --json < questions.jsonl',
    "whet embed -m ./jina-embeddings-v3 --task retrieval.query --json < questions.jsonl",
  ],
  details:
    "One embedding a row, in the order of the rows. Which hidden states it is made of, and whether it is " +
    "made of unit length, is what modules.json says in the folder of the adapter or of the model. Any " +
    "model embeds: encoders (BERT, RoBERTa, XLM-RoBERTa, jina-embeddings-v3) and decoders. Texts longer than the model " +
    "takes are cut.",
  settings: embedSettings,
  async run(settings, io) {
    const rows = await readRows<TextOrIds>(io, settings.rows, textOrIds, EXAMPLE);
    const needsTokenizer = rows.some(({ row }) => "text" in row);
    // Only now what computes is needed: help and bad rows are answered without it.
    const [{ load, openBoth }, { Embedder }, { encode, limitOf, promptOf, sentenceConfig }] =
      await Promise.all([
        import("./loaded.ts"),
        import("../../evaluate/embed.ts"),
        import("./sentences.ts"),
      ]);
    const task = taskOf(settings);
    using opened = await openBoth({ ...settings, task: merged(task) });
    const { model } = opened, { vocab } = model.sizes, instruction = instructionOf(model, task);
    const config = sentenceConfig(settings, model);
    const tokenizer = needsTokenizer ? (await textsOf(settings.model)).tokenizer : undefined;
    const limit = limitOf(config, model), prompt = promptOf(settings, config, instruction);
    let cut = 0;
    const sentences = rows.map(({ line, row }) => {
      if ("ids" in row) return { line, ids: row.ids };
      const sentence = encode(row.text, { tokenizer: tokenizer!, config, limit, prompt });
      if (sentence.cut) cut++;
      return { line, ...sentence };
    });
    const complaints = sentences.flatMap(({ line, ids }): Complaint[] => {
      const outside = ids.find((id) => id >= vocab);
      const reason = ids.length === 0
        ? "it has no tokens"
        : outside !== undefined
        ? `id ${outside} is outside the vocabulary of ${vocab}`
        : ids.length > model.sizes.context
        ? `${ids.length} tokens, this model takes ${model.sizes.context}`
        : undefined;
      return reason ? [{ line, reason, text: JSON.stringify(ids.slice(0, 12)) }] : [];
    });
    if (complaints.length > 0) {
      const name = settings.rows === "-" ? "stdin" : settings.rows;
      throw badRows(name, complaints.slice(0, 20), complaints.length, rows.length, EXAMPLE);
    }
    if (cut > 0) {
      io.warn("WH0306", `${plural(cut, "text")} longer than ${limit} tokens, the rest was cut off`);
    }
    using loaded = await load(opened, settings, io, undefined, Embedder.tensors);
    const longest = Math.max(TOKENS, ...sentences.map(({ ids }) => ids.length));
    const size = { tokens: longest, sentences: SENTENCES };
    const { memory, adapted } = loaded;
    const embedder = await Embedder.create(loaded.model, memory, size, config, adapted);
    let done = 0;
    for await (const row of embedder.embeddings(sentences)) {
      if (io.closed || io.stop.requested) break;
      const embedding = [...row], length = Math.hypot(...embedding);
      io.result({ embedding });
      const first = embedding.slice(0, 6).map((v) => v.toFixed(4)).join("  ");
      io.out(`${embedding.length} numbers, length ${length.toFixed(4)}:  ${first}  ...`);
      io.progress(`${++done} of ${rows.length} rows`);
    }
    io.progress();
    embedder.free();
  },
});
