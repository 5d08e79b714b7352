import { byteAlphabet } from "./byte_level.ts";

/** For tests: a byte-level BPE of the first `bytes` bytes and three merges. */
export function smallTokenizerFiles(change: Record<string, unknown> = {}, bytes = 256) {
  const tokens = [...byteAlphabet.slice(0, bytes), "Ġt", "he", "Ġthe"];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id + 2]));
  const json: Record<string, unknown> = {
    added_tokens: [
      { id: 0, content: "<s>", special: true },
      { id: 1, content: "</s>", special: true },
    ],
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: [["Ġ", "t"], ["h", "e"], ["Ġt", "he"]] },
    ...change,
  };
  return { json, config: { bos_token: "<s>", eos_token: { content: "</s>" } } };
}
