import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSentenceConfig, type SentenceConfig, writeSentenceConfig } from "./sentence.ts";

const dir = mkdtempSync(join(tmpdir(), "whet-sentence-"));
process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
let n = 0;
function folder(files: Record<string, unknown>): string {
  const at = join(dir, String(n++));
  for (const [name, value] of Object.entries(files)) {
    mkdirSync(join(at, name, ".."), { recursive: true });
    writeFileSync(join(at, name), JSON.stringify(value));
  }
  return at;
}
const modules = (...kinds: string[]) =>
  kinds.map((kind, idx) => ({
    idx,
    name: String(idx),
    path: idx === 0 ? "" : `${idx}_${kind}`,
    type: `sentence_transformers.models.${kind}`,
  }));

test("what is written is read again", async () => {
  for (const pooling of ["mean", "cls", "last", "mean_sqrt_len"] as const) {
    const config: SentenceConfig = {
      pooling,
      normalise: pooling !== "last",
      includePrompt: pooling === "cls",
      maxSeq: 256,
      lowercase: true,
      prompts: { query: "query: " },
      defaultPrompt: "query",
    };
    const at = folder({ "x.json": {} });
    await writeSentenceConfig(at, config, 128);
    expect(readSentenceConfig(at)).toEqual(config);
  }
});
test("both ways of naming a pooling", () => {
  const read = (pooling: unknown) =>
    readSentenceConfig(
      folder({
        "modules.json": modules("Transformer", "Pooling"),
        "1_Pooling/config.json": pooling,
      }),
    );
  expect(read({ pooling_mode: "lasttoken" })?.pooling).toBe("last");
  expect(read({ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false })?.pooling)
    .toBe("cls");
  expect(read({ pooling_mode: "mean" })).toMatchObject({ normalise: false, includePrompt: true });
  expect(() => read({ pooling_mode_max_tokens: true })).toThrow("pooling_mode_max_tokens");
  expect(() => read({ pooling_mode_cls_token: true, pooling_mode_mean_tokens: true })).toThrow(
    "cls and mean",
  );
});
test("a module that cannot be computed is named; a folder without modules has no say", () => {
  const other = { "modules.json": modules("Transformer", "Pooling", "Normalize") };
  expect(readSentenceConfig(folder(other), "cls")).toMatchObject({
    pooling: "cls",
    normalise: true,
  });
  const dense = folder({ "modules.json": modules("Transformer", "Pooling", "Dense") });
  expect(() => readSentenceConfig(dense)).toThrow("Dense");
  expect(() => readSentenceConfig(folder({ "modules.json": [{ type: "a", path: "../b" }] })))
    .toThrow("is no module");
  expect(readSentenceConfig(folder({ "config.json": {} }))).toBeUndefined();
});
test("a tokenizer without a token for padding gets one, another keeps its own", async () => {
  const config = {
    pooling: "mean",
    normalise: true,
    includePrompt: true,
    lowercase: false,
    prompts: {},
  } as const;
  for (const [given, found] of [[{}, "<end>"], [{ pad_token: "<pad>" }, "<pad>"]] as const) {
    const dir = folder({ "tokenizer_config.json": { ...given, eos_token: "<end>" } });
    await writeSentenceConfig(dir, config, 8, "<end>");
    const written = JSON.parse(readFileSync(join(dir, "tokenizer_config.json"), "utf8"));
    expect(written).toEqual({ eos_token: "<end>", pad_token: found });
    expect(readSentenceConfig(dir)).toMatchObject({ pooling: "mean", normalise: true });
  }
});
