// whet data preferences as a stranger meets it, on the built-in model.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPairs } from "../../src/data/pairs.ts";
import { type Behaviour, mockTeacher } from "./mock_teacher.ts";
import { whet } from "./inside.ts";
import { start } from "./run.ts";

setDefaultTimeout(120_000);
const root = mkdtempSync(join(tmpdir(), "whet preferences ü-"));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = () => {
  const path = join(root, String(folders++));
  mkdirSync(path);
  return path;
};
const MODEL = join(import.meta.dir, "../../models/micro");
const rowsOf = (path: string) =>
  readFileSync(path, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const write = (path: string, rows: readonly unknown[]) =>
  writeFileSync(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
const last = (out: string) => JSON.parse(out.trim().split("\n").at(-1)!);
const ideal = (bed: string) =>
  JSON.stringify({ type: "command", command: "bed", subcommand: "soak", args: { bed } });
const asked = (i: number) => ({ prompt: `water bed ${i}`, completion: ideal(String(i)) });

test("chosen is the ideal answer; identical pairs are skipped, invalid ideals dropped", async () => {
  const dir = folder(), prompts = join(dir, "rows.jsonl");
  const argv = [
    "data",
    "preferences",
    "-m",
    MODEL,
    "--prompts",
    "rows.jsonl",
    "--max-tokens",
    "24",
  ];
  write(prompts, [asked(1), asked(2)]);
  const first = await whet([...argv, "--json", "-o", "first.jsonl"], dir);
  expect(first.code).toBe(0);
  const said = rowsOf(join(dir, "first.jsonl")).find(({ prompt }) => prompt === "water bed 1");
  expect(said.chosen).toBe(ideal("1"));
  // The model's own answer as the ideal one; an ideal that is no JSON; one that repeats a prompt.
  write(prompts, [
    { prompt: "water bed 1", completion: said.rejected, metadata: { span_id: "span-7" } },
    asked(2),
    { prompt: "hello", completion: "not JSON" },
    asked(2),
  ]);
  const { code, out, err } = await whet([...argv, "--text", "-o", "text.jsonl"], dir);
  expect(code).toBe(0);
  expect(err).toContain("Skipping identical pair for span span-7");
  expect(out).toMatch(/identical +1/);
  const strict = await whet([...argv, "--json"], dir);
  expect(last(strict.out)).toMatchObject({ complete: true, prompts: 3, repeated: 1 });
  // The first ideal was cut off at 24 tokens, so that without --text it is no JSON either.
  expect(last(strict.out)).toMatchObject({ asked: 3, pairs: 1, invalid_ideals: 2, identical: 0 });
  const [row] = rowsOf(join(dir, "preferences.jsonl"));
  expect(row.metadata).toMatchObject({ from: "rows.jsonl", model: MODEL, ideal: "rows", line: 2 });
  expect((await readPairs(join(dir, "preferences.jsonl"))).examples).toHaveLength(1);
  const again = await whet(argv, dir);
  expect(again.err).toContain("is there already; --force");
});

test("a kill repeats nothing that is in the journal, and changes no byte", async () => {
  const dir = folder();
  write(join(dir, "rows.jsonl"), Array.from({ length: 60 }, (_, i) => asked(i)));
  const argv = (out: string) => [
    ...["data", "preferences", "-m", MODEL, "--prompts", "rows.jsonl", "--best-of", "4", "-o", out],
    ...["--max-tokens", "16", "--json", "-n", "40"],
  ];
  const journal = join(dir, "killed_progress.jsonl");
  const child = start(argv("killed.jsonl"), dir);
  const lines = () => readFileSync(journal, "utf8").split("\n").length - 1;
  while (!existsSync(journal) || lines() < 3) await Bun.sleep(10);
  child.kill("SIGKILL");
  await child.exited;
  expect(existsSync(join(dir, "killed.jsonl"))).toBe(false);
  const kept = lines();
  const other = await whet([...argv("killed.jsonl"), "--seed", "7"], dir);
  expect(other.code).toBe(3);
  expect(other.err).toContain("made with other settings");
  const [resumed, whole] = await Promise.all([
    whet(argv("killed.jsonl"), dir),
    whet(argv("whole.jsonl"), dir),
  ]);
  expect([resumed.code, whole.code]).toEqual([0, 0]);
  const batches = resumed.out.trim().split("\n").map((line) => JSON.parse(line))
    .filter(({ event }) => event === "batch");
  expect(batches[0].asked).toBe(8 * kept);
  expect(readFileSync(join(dir, "killed.jsonl"), "utf8")).toBe(
    readFileSync(join(dir, "whole.jsonl"), "utf8"),
  );
  expect(rowsOf(join(dir, "whole.jsonl"))).toHaveLength(40);
  expect(existsSync(journal)).toBe(false);
});

test("requests come from a schema; bad input is refused before anything is loaded", async () => {
  const dir = folder();
  const made = await whet(
    ["data", "preferences", "-m", MODEL, "--schema", "garden", "-n", "4", "--max-tokens", "8"],
    dir,
  );
  expect(made.code).toBe(0);
  const rows = rowsOf(join(dir, "preferences.jsonl"));
  expect(rows).toHaveLength(4);
  expect(rows[0].prompt[0].role).toBe("user");
  expect(rows[0].metadata).toMatchObject({ schema: "garden", ideal: "template" });
  write(join(dir, "text.jsonl"), [{ prompt: "hello", completion: "good day" }]);
  const text = await whet(
    ["data", "preferences", "-m", MODEL, "--prompts", "text.jsonl", "-o", "x.jsonl"],
    dir,
  );
  expect(text.code).toBe(3);
  expect(text.err).toContain("--text");
  const none = await whet(["data", "preferences", "-m", MODEL], dir);
  expect(none.code).toBe(2);
  const cold = ["--schema", "garden", "--best-of", "4", "--temp", "0"];
  expect((await whet(["data", "preferences", "-m", MODEL, ...cold], dir)).code).toBe(2);
});

test("ideal answers from a teacher: none is paid twice, broken ones are asked for again", async () => {
  const dir = folder();
  write(
    join(dir, "rows.jsonl"),
    Array.from({ length: 12 }, (_, i) => ({ instruction: `water bed ${i}`, context: null })),
  );
  const ask = async (behave: (n: number) => Behaviour, more: string[] = []) => {
    using mock = mockTeacher(behave);
    const env = { OPENAI_API_KEY: "sk-canary-4711-do-not-tell", OPENAI_BASE_URL: `${mock.url}/v1` };
    const ran = await whet(
      [
        ...["data", "preferences", "-m", MODEL, "--prompts", "rows.jsonl", "--schema", "garden"],
        ...["--teacher", "openai:mock", "--batch", "5", "--max-tokens", "8", "--json", ...more],
      ],
      dir,
      { env },
    );
    return { ...ran, seen: mock.seen };
  };
  const estimate = await ask(() => "good", ["--estimate"]);
  expect([estimate.code, estimate.seen.length]).toEqual([0, 0]);
  const first = await ask((n) => n === 2 ? "bad rows" : "good", ["--max-calls", "2"]);
  expect(first.code).toBe(9);
  expect(first.err).toContain("stopped at 5 of 12 ideal answers");
  const second = await ask(() => "good");
  expect(second.code).toBe(0);
  // Five of twelve are there; a call that brought nothing is made again.
  expect(second.seen).toHaveLength(2);
  expect(second.seen[0]!.prompt).toContain("cli_name: garden");
  expect(second.seen[0]!.prompt).toContain("- not valid JSON");
  expect(last(second.out)).toMatchObject({ pairs: 12, invalid_ideals: 0 });
  const rows = rowsOf(join(dir, "preferences.jsonl"));
  expect(rows[0].chosen).toEqual([{
    role: "assistant",
    content:
      '{"type":"command","command":"bed","subcommand":"soak","args":{"bed":"north"},"flags":[],"confidence":0.9}',
  }]);
  expect(rows[0].metadata.ideal).toBe("openai:mock");
  expect(JSON.stringify(rows) + second.err + second.out).not.toContain("canary");
});

test("ideal answers by hand", async () => {
  const dir = folder();
  write(join(dir, "rows.jsonl"), [{ prompt: "water it" }, { prompt: "water them" }]);
  const argv = ["data", "preferences", "-m", MODEL, "--prompts", "rows.jsonl", "--max-tokens", "8"];
  const bare = await whet(argv, dir);
  expect(bare.code).toBe(3);
  expect(bare.err).toContain("a teacher who gives them");
  expect((await whet([...argv, "--emit-prompts", "p"], dir)).code).toBe(0);
  const prompt = readFileSync(join(dir, "p/prompt-0001.md"), "utf8");
  const [, id, asked] = /^\{"id":"(\w+)","prompt":"(.*)"\}/m.exec(prompt)!;
  writeFileSync(join(dir, "a.txt"), JSON.stringify([{ id, answer: { bed: 1 } }]));
  const { code, out } = await whet([...argv, "--import", "a.txt", "--json"], dir);
  expect(code).toBe(0);
  expect(last(out)).toMatchObject({ pairs: 1, prompts: 1 });
  expect(rowsOf(join(dir, "preferences.jsonl"))[0]).toMatchObject({
    prompt: asked,
    chosen: '{"bed":1}',
    metadata: { ideal: "manual" },
  });
});
