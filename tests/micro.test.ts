// The base model that is built in: whole, small, known to its own exporter, and what its card says.
import { expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { openModel } from "../src/architectures/model.ts";
import { findPretokenizer } from "../src/export/pretokenizer.ts";
import { loadTokenizer } from "../src/text/tokenizer.ts";

const dir = join(import.meta.dir, "../models/micro");

test("models/micro opens, fits its card, and stays under 8 MB", async () => {
  const model = await openModel(dir);
  const weights = [...model.folder.tensors.values()]
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  expect(readFileSync(join(dir, "README.md"), "utf8")).toContain(weights.toLocaleString("en"));
  expect(statSync(join(dir, "model.safetensors")).size).toBeLessThan(8e6);
  model.folder.close();
});

test("a GGUF of models/micro names its pre-tokenizer without a warning", async () => {
  expect(findPretokenizer(await loadTokenizer(dir))).toEqual({ name: "gpt-2" });
});
