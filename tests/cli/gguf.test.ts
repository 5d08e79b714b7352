// A GGUF file in the place of a model folder, and what is said with it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whet } from "./run.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));
const rows = Array.from({ length: 8 }, (_, i) => ({ prompt: `count ${i}`, completion: `${i}` }));

async function ran(argv: string[], stdin?: string): Promise<string> {
  const { code, out, err } = await whet(argv, folder, { stdin });
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  return out;
}
const objects = (out: string) => out.trim().split("\n").map((line) => JSON.parse(line));

beforeAll(async () => {
  cpSync(join(import.meta.dir, "../../models/micro"), join(folder, "model"), { recursive: true });
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  await ran(["export", "model", "-o", "model.gguf", "--gguf", "--quant", "q8_0"]);
  await ran(["train", "sft", "-m", "model.gguf", "-d", "rows.jsonl", "-o", "run", "--iters", "4"]);
});

test("answers, scores and ids are those of the folder", async () => {
  const prompt = "water the pond bed", text = JSON.stringify({ text: prompt });
  const [ids, fromFile] = await Promise.all(
    ["model", "model.gguf"].map((model) =>
      ran(["tokenize", "-m", model, "--json"], JSON.stringify(prompt))
    ),
  );
  expect(fromFile).toBe(ids!);
  const [whole, blocks] = await Promise.all(
    ["model", "model.gguf"].map(async (model) =>
      objects(await ran(["score", "-m", model, "--json"], text))[0]
    ),
  );
  whole.logprobs.forEach((p: number, i: number) =>
    expect(Math.abs(blocks.logprobs[i] - p)).toBeLessThan(0.2)
  );
  expect(blocks.logprobs).not.toEqual(whole.logprobs);
});

test("an adapter can be trained on its blocks, and answers with them", async () => {
  const ask = ["infer", "-m", "model.gguf", "-a", "run", "-p", "count 3", "--max-tokens", "12"];
  const [{ text, finish_reason }] = objects(await ran([...ask, "--json"]));
  expect(finish_reason).toBe("length");
  // As it comes, the text is the same.
  expect(await ran(ask)).toBe(text + "\n");
  const stop = text.slice(3, 5), before = text.slice(0, text.indexOf(stop));
  expect(objects(await ran([...ask, "--json", "--stop", stop]))[0]).toMatchObject({
    text: before,
    finish_reason: "stop",
  });
  const exported = await whet(["export", "run", "-o", "again.gguf", "--gguf"], folder);
  expect(exported.code).toBe(2);
  expect(exported.err).toContain("--base DIR");
});

test("chat: every line is a turn, the base answers beside the adapter", async () => {
  const how = ["chat", "-m", "model.gguf", "--max-tokens", "6", "--template", "plain"];
  const turns = objects(
    await ran([...how, "-a", "run", "--compare", "base", "--json"], "hello\n/reset\nhello\nyes\n"),
  );
  expect(turns.map(({ prompt }) => prompt)).toEqual(["hello", "hello", "yes"]);
  expect(turns[1]).toEqual(turns[0]);
  expect(turns.every(({ base, answer }) => base !== "" && answer !== "")).toBe(true);
  writeFileSync(join(folder, "answer.json"), JSON.stringify({ enum: ["yes", "no"] }));
  const saved = await ran(
    [...how, "--json", "--schema", "answer.json"],
    '/system Be brief.\n"""one\ntwo"""\n/save talk.jsonl\n/system @missing\n/nothing\n/quit\nnever\n',
  );
  const [turn, ...none] = objects(saved);
  expect(turn).toMatchObject({ prompt: "one\ntwo", _valid: true });
  expect(['"yes"', '"no"']).toContain(String(turn!.answer));
  expect(none).toEqual([]);
  expect(JSON.parse(readFileSync(join(folder, "talk.jsonl"), "utf8"))).toEqual({
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "one\ntwo" },
      { role: "assistant", content: turn!.answer },
    ],
  });
  const alone = await whet([...how, "--compare", "base"], folder);
  expect(alone.code).toBe(2);
  expect(alone.err).toContain("needs an adapter");
});

test("model show and data show read a GGUF file", async () => {
  const [shown] = objects(await ran(["model", "show", "model.gguf", "--json"]));
  const [folderShown] = objects(await ran(["model", "show", "model", "--json"]));
  expect(shown.stored[0]).toMatchObject({ type: "q8_0", parameters: 983_040 });
  for (const key of ["family", "parameters", "layers", "width", "vocabulary", "context", "end"]) {
    expect([key, shown[key]]).toEqual([key, folderShown[key]]);
  }
  const rowsOf = (model: string) => ran(["data", "show", "rows.jsonl", "-m", model, "--json"]);
  expect(objects(await rowsOf("model.gguf"))[0].ids).toEqual(
    objects(await rowsOf("model"))[0].ids,
  );
});

const bert = join(import.meta.dir, "../../../shared/fixtures/models/bert/hf");
if (!existsSync(bert)) console.log(`skipped: no encoder at ${bert}`);
test.skipIf(!existsSync(bert))(
  "an encoder's GGUF embeds as its folder does, and is trained",
  async () => {
    await ran(["export", bert, "-o", "bert.gguf", "--gguf", "--quant", "f32"]);
    writeFileSync(
      join(folder, "triplets.jsonl"),
      JSON.stringify({ anchor: "The quick", positive: "soil moist", negative: "beans" }),
    );
    const text = JSON.stringify({ text: "The quick water" });
    const embedded = async (...model: string[]): Promise<number[]> =>
      objects(await ran(["embed", "-m", ...model, "--raw", "--json"], text))[0].embedding;
    const [whole, file] = [await embedded(bert), await embedded("bert.gguf")];
    whole.forEach((v, i) => expect(Math.abs(file[i]! - v)).toBeLessThan(1e-5));
    const train = ["train", "embed", "-m", "bert.gguf", "-d", "triplets.jsonl", "-o", "near"];
    await ran([...train, "--iters", "3", "--lr", "1e-2"]);
    const after = await embedded("bert.gguf", "-a", "near");
    expect(after.some((v, i) => Math.abs(v - file[i]!) > 1e-3)).toBe(true);
  },
);
