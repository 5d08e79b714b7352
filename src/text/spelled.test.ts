import { expect, test } from "bun:test";
import { join } from "node:path";
import { spelledMarks } from "./spelled.ts";
import { loadTokenizer } from "./tokenizer.ts";

test("marks that are no token of the model are named, its own are not", async () => {
  const tokenizer = await loadTokenizer(join(import.meta.dir, "../../models/micro"));
  const text = "<s>[INST] a < b </s> <|endoftext|> <|user|> <|im_end|></s>";
  expect(spelledMarks(text, tokenizer)).toEqual(["<s>", "</s>", "<|im_end|>"]);
  expect(spelledMarks("if a <s and b> then", tokenizer)).toEqual([]);
});
