import { scoreSettings } from "../../settings/use.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { command } from "../command.ts";
import { textsOf } from "./texts.ts";
import { badRows, type Complaint, readRows, type TextOrIds, textOrIds } from "./rows.ts";

const EXAMPLE = '{"text":"The sky is blue"} or {"ids":[1,2,3]}';

/** Tokens of one run: rows shorter than this share it. */
const RUN = 256;

export const score = command({
  section: "score",
  examples: [
    `echo '{"text":"The sky is blue"}' | whet score -m ./model --json`,
    "whet score -m ./model -a ./run --json < rows.jsonl > scores.jsonl",
  ],
  details:
    "One answer a row, in the order of the rows. logprobs[i] is the logarithm of the probability " +
    "of token i+1 given the tokens before it; argmax[i] is the likeliest token after position i. " +
    "Without --json: tokens, mean negative log-probability, perplexity.",
  settings: scoreSettings,
  async run(settings, io) {
    const rows = await readRows<TextOrIds>(io, settings.rows, textOrIds, EXAMPLE);
    const needsTokenizer = rows.some(({ row }) => "text" in row);
    const tokenizer = needsTokenizer ? (await textsOf(settings.model)).tokenizer : undefined;
    const encoded = rows.map(({ line, row }) => ({ line, ids: idsOf(row, tokenizer) }));
    // Only now what computes is needed: help and bad rows are answered without it.
    const [{ load, openBoth }, { Scorer }] = await Promise.all([
      import("./loaded.ts"),
      import("../../evaluate/score.ts"),
    ]);
    using opened = await openBoth(settings);
    const { vocab, context, firstPosition } = opened.model.sizes;
    const complaints = encoded.flatMap(({ line, ids }): Complaint[] => {
      const outside = ids.find((id) => id >= vocab);
      const reason = ids.length === 0
        ? "it has no tokens"
        : outside !== undefined
        ? `id ${outside} is outside the vocabulary of ${vocab}`
        : firstPosition !== undefined && ids.length > context // learnt: there are no others
        ? `${ids.length} tokens, this model has ${context} positions`
        : undefined;
      return reason ? [{ line, reason, text: JSON.stringify(ids.slice(0, 12)) }] : [];
    });
    if (complaints.length > 0) {
      const name = settings.rows === "-" ? "stdin" : settings.rows;
      throw badRows(name, complaints.slice(0, 20), complaints.length, rows.length, EXAMPLE);
    }
    using loaded = await load(opened, settings, io);
    const longest = Math.max(RUN, ...encoded.map(({ ids }) => ids.length));
    const scorer = await Scorer.create(loaded.model, loaded.memory, longest, loaded.adapted);
    let done = 0;
    for await (const { logprobs, argmax } of scorer.scores(encoded.map(({ ids }) => ids))) {
      if (io.closed || io.stop.requested) break;
      const nll = -logprobs.reduce((sum, p) => sum + p, 0) / logprobs.length;
      io.result({ logprobs, argmax });
      io.out(
        logprobs.length === 0
          ? "1 token, nothing to predict"
          : `${argmax.length} tokens  nll ${nll.toFixed(4)}  perplexity ${
            Math.exp(nll).toFixed(2)
          }`,
      );
      io.progress(`${++done} of ${rows.length} rows`);
    }
    scorer.free();
  },
});

function idsOf(row: TextOrIds, tokenizer: Tokenizer | undefined): number[] {
  return "ids" in row ? row.ids : tokenizer!.encode(row.text);
}
