// A GGUF file in the place of a model folder, and what is said with it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
  const alone = await whet([...how, "--compare", "base"], folder);
  expect(alone.code).toBe(2);
  expect(alone.err).toContain("needs an adapter");
});
